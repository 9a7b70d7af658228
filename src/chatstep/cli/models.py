"""`chatstep models`: what a connection offers, beside what is known about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.options import connection_option, json_option
from chatstep.cli.screen import console, for_terminal, money, note, print_json, table
from chatstep.cli.session import open_app, run
from chatstep.cli.waiting import Waiting

if TYPE_CHECKING:
    from chatstep.modules.openai.offered import Offered

__all__ = ["models"]


@click.command(epilog="\b\nExample:\n  chatstep models --connection work")
@connection_option
@json_option("Give a JSON list.")
def models(connection: str | None, as_json: bool) -> None:
    """List the models that a connection offers, with window, price and end where they are known."""
    run(_models(connection, as_json))


async def _models(name: str | None, as_json: bool) -> None:
    from chatstep.modules.openai.connection import endpoint_of
    from chatstep.modules.openai.offered import ask_for_all

    async with open_app() as app:
        if name is None:
            name = await asyncio.to_thread(app.connections.default)
        connection = await app.connections.get(name)
        async with Waiting():
            offered = await ask_for_all(app.context, connection)
        priced_at = endpoint_of(connection).priced_at
        rows = await asyncio.to_thread(lambda: [_row(model, priced_at) for model in offered])
    if as_json:
        print_json(rows)
    elif rows:
        await asyncio.to_thread(_draw, rows)
        note(f"{len(rows):,} models on {connection.name}. Window and reply in tokens, prices per million of them.")
    else:
        note(f"{connection.name} offers no models.")


def _row(model: Offered, priced_at: str) -> dict[str, Any]:
    """A model with what is known; None where nothing is."""
    from chatstep.modules.openai.models import facts
    from chatstep.modules.openai.prices import Usage, cost, window

    known = facts(model.id)
    prompt = cost(Usage(prompt=1000), model.id, base_url=priced_at)
    reply = cost(Usage(completion=1000), model.id, base_url=priced_at)
    return {
        "id": model.id,
        "window": known.window or window(model.id, priced_at),
        "max_output": known.max_output,
        "prompt_price": None if prompt is None else prompt * 1000,
        "reply_price": None if reply is None else reply * 1000,
        "shutdown_date": model.shutdown_date or known.shutdown,
        "replacement": known.replacement,
        "chat": known.chat if known.known else None,
    }


def _draw(rows: list[dict[str, Any]]) -> None:
    figures = ("Window", "Reply", "In", "Out")
    made = table("Model", *figures, "Until", "Then", right=figures)
    today = datetime.now(UTC).date()
    for row in rows:
        until, style = _until(row, today)
        made.add_row(
            for_terminal(row["id"]),
            *("–" if row[name] is None else f"{row[name]:,}" for name in ("window", "max_output")),
            *("–" if row[name] is None else money(row[name]) for name in ("prompt_price", "reply_price")),
            until,
            for_terminal(row["replacement"] or "") if until else "",
            style=style,
        )
    console().print(made)


def _until(row: dict[str, Any], today: date) -> tuple[str, str | None]:
    """The last day, and a colour when it is near; models that do not chat are dim."""
    from chatstep.modules.openai.models import shutdown_warning

    dim = "dim" if row["chat"] is False else None
    if not row["shutdown_date"]:
        return ("", dim) if row["chat"] is not False else ("Responses API only", dim)
    near = shutdown_warning(row["id"], today, row["shutdown_date"], None)
    return for_terminal(str(row["shutdown_date"])[:10]), "yellow" if near else dim
