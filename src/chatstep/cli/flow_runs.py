"""`chatstep flow runs`, `show` and `cancel`: what ran, what runs, and stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from chatstep.cli.completing import words
from chatstep.cli.flow_lines import cost_of, outputs_text, short, taken, when
from chatstep.cli.options import json_option
from chatstep.cli.screen import clipped, console, for_terminal, note, print_json, table
from chatstep.cli.session import open_app, run
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    from chatstep.flows.records import RunRecord, StepRecord

__all__ = ["cancel", "runs", "show"]

_STATES = ("queued", "waiting", "running", "done", "failed", "cancelled", "merged")


@click.command(epilog="\b\nExample:\n  chatstep flow runs --flow shop --state failed")
@click.option("--flow", metavar="NAME", help="Only runs of this flow.")
@click.option("--state", metavar="STATE", shell_complete=words(*_STATES), help=f"Only those: {', '.join(_STATES)}.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@json_option("Give a JSON list of runs with all that is known of each.")
def runs(flow: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first."""
    needs_flows()
    found = run(_runs(flow, state, limit))
    if as_json:
        print_json(found)
        return
    if not found:
        note("There is no such run. Begin one: chatstep flow run FILE")
        return
    made = table("Run", "State", "Began (UTC)", "Took", "Steps", "Cost", right=("Took", "Steps", "Cost"))
    for each in found:
        made.add_row(
            for_terminal(short(each.id)),
            each.state,
            when(each.created),
            taken(each.created, each.ended),
            f"{len(each.steps):,}",
            cost_of(each.steps),
        )
    console().print(made)


async def _runs(flow: str | None, state: str | None, limit: int) -> list[RunRecord]:
    async with open_app() as app:
        return await app.flows.runs(flow=flow, state=state, limit=limit)


@click.command(epilog="\b\nExample:\n  chatstep flow show shop.4f3a91c2 --json")
@click.argument("run_id", metavar="RUN")
@json_option("Give one JSON object with all that is known.")
def show(run_id: str, as_json: bool) -> None:
    """Show RUN: its steps with tries, tokens, cost and times, its outputs or its error.

    Any beginning of a run's id names it, as long as no other run begins so.
    """
    needs_flows()
    found = run(_show(run_id))
    if as_json:
        print_json(found)
        return
    _head(found)
    if found.steps:
        console().print(_steps(found.steps))
    if found.outputs:
        click.echo(outputs_text(found.outputs))
    for step in found.steps:
        if step.error is not None:
            note(f"{for_terminal(step.id)}: {_error(step.error)}")
    if found.error is not None and not any(step.error for step in found.steps):
        note(_error(found.error))


async def _show(run_id: str) -> RunRecord:
    async with open_app() as app:
        return await app.flows.show(run_id)


def _head(found: RunRecord) -> None:
    """What the run is, on stderr: stdout gets its steps and outputs."""
    facts = [f"{for_terminal(found.id)}: {found.state}", f"began {when(found.created)} UTC"]
    if found.ended is not None:
        facts.append(f"took {taken(found.created, found.ended)}")
    if found.conversation is not None:
        facts.append(f"conversation {for_terminal(found.conversation)}")
    if found.recovered:
        facts.append(f"taken up again {found.recovered} time{'' if found.recovered == 1 else 's'}")
    if found.merged_into is not None:
        facts.append(f"answered by {short(found.merged_into)}")
    note(" · ".join(facts))
    event = found.event
    who = f" from {for_terminal(event.author.name)}" if event.author else ""
    text = f": {clipped(event.text, 100)}" if event.text else ""
    note(f"Version {found.version}, started by {event.type} {for_terminal(clipped(event.id, 60))}{who}{text}")


def _steps(steps: tuple[StepRecord, ...]) -> Any:
    made = table("Step", "Uses", "State", "Tries", "Tokens", "Cost", "Took", right=("Tries", "Tokens", "Cost", "Took"))
    for step in steps:
        tokens = [count for count in (step.prompt_tokens, step.completion_tokens) if count is not None]
        state = f"{step.state}, perhaps twice" if step.maybe_repeated else step.state
        made.add_row(
            for_terminal(step.id),
            step.uses,
            state,
            str(step.attempts) if step.attempts else "",
            f"{sum(tokens):,}" if tokens else "",
            cost_of((step,)),
            taken(step.began, step.ended) if step.attempts else "",
        )
    return made


def _error(error: dict[str, Any]) -> str:
    parts = (error.get("place"), error.get("message"), error.get("hint"))
    text = " · ".join(str(part) for part in parts if part)
    return for_terminal(text or msgspec.json.encode(error).decode())


@click.command(epilog="\b\nExample:\n  chatstep flow cancel shop.4f3a91c2")
@click.argument("run_id", metavar="RUN")
def cancel(run_id: str) -> None:
    """Stop RUN: it begins no further step. A request that is under way is not called back."""
    needs_flows()
    id = run(_cancel(run_id))
    note(f"Cancelled {short(id)}. To go on after all: chatstep flow resume {short(id)}")


async def _cancel(run_id: str) -> str:
    async with open_app() as app:
        return await app.flows.cancel(run_id)
