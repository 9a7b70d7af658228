"""`chatstep usage`: what completions took, from the ledger."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.options import json_option
from chatstep.cli.screen import console, for_terminal, money, note, print_json, table
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.store import Total

__all__ = ["usage"]

_COUNTS = ("calls", "failed", "prompt", "cached", "completion", "reasoning")


@click.command(epilog="\b\nExample:\n  chatstep usage --by model --since 2026-11-01")
@click.option(
    "--by",
    type=click.Choice(["day", "model", "connection", "token"]),
    default="day",
    show_default=True,
    help="One row for each.",
)
@click.option("--since", metavar="DATE", help="The first day (UTC), such as 2026-11-01.")
@click.option("--until", metavar="DATE", help="The last day (UTC).")
@json_option("Give a JSON list; costs are dollars.")
def usage(by: str, since: str | None, until: str | None, as_json: bool) -> None:
    """Show what completions took: calls, tokens and money, by day, model, connection or token."""
    first = _day(since, "--since")
    last = _day(until, "--until")
    if first and last and first > last:
        raise InvalidInput("The first day lies after the last.", place="--since")
    with open_store() as store:
        totals = store.ledger.totals(
            by,  # type: ignore[arg-type]  # one of the choices
            _ms(first) if first else None,
            _ms(last + timedelta(days=1)) if last else None,
        )
    if as_json:
        print_json([_as_data(total) for total in totals])
    elif not totals:
        note("Nothing was recorded in that time." if since or until else "Nothing was recorded yet.")
    else:
        _draw(by, totals)


def _day(text: str | None, place: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is no date.", place=place, hint="Write it like 2026-11-01.") from None


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _dollars(nanodollars: int) -> Decimal:
    return Decimal(nanodollars) / 1_000_000_000


def _as_data(total: Total) -> dict[str, Any]:
    return {
        "key": total.key,
        **{name: getattr(total, name) for name in _COUNTS},
        "cost": _dollars(total.cost),
        "unknown_cost_calls": total.unknown,
        "reserved": _dollars(total.reserved),
        "open": total.open,
    }


def _draw(by: str, totals: list[Total]) -> None:
    figures = ("Calls", "Failed", "Prompt", "Cached", "Reply", "Thinking", "Cost")
    made = table(by.capitalize(), *figures, right=figures)
    for total in totals:
        made.add_row(
            for_terminal(total.key) or ("(none)" if by == "token" else "(not ended)"),
            *(f"{getattr(total, name):,}" for name in _COUNTS),
            money(_dollars(total.cost)) + ("+?" if total.unknown else ""),
        )
    if len(totals) > 1:
        made.add_section()
        sums = [f"{sum(getattr(total, name) for total in totals):,}" for name in _COUNTS]
        cost = money(_dollars(sum(total.cost for total in totals)))
        made.add_row("Total", *sums, cost + ("+?" if any(total.unknown for total in totals) else ""), style="bold")
    console().print(made)
    unknown = sum(total.unknown for total in totals)
    reserved = sum(total.reserved for total in totals)
    if unknown:
        calls = "1 call" if unknown == 1 else f"{unknown:,} calls"
        note(f"The cost of {calls} is unknown; it is not in these sums.")
    if reserved:
        note(f"{money(_dollars(reserved))} more counts against spend limits, for calls of unknown cost or end.")
