"""`chatstep flow run`, `resume` and `rerun`: a run that is done in this process while somebody watches.

It is durable all the same: when this process ends before the run does, a worker or the next command goes on with it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.completing import files
from chatstep.cli.flow_lines import outputs_text, run_line, short, step_line
from chatstep.cli.options import checked_text, json_option
from chatstep.cli.screen import note, print_json
from chatstep.cli.session import run as run_async
from chatstep.errors import InvalidInput
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatstep.app import App
    from chatstep.flows.definition import Flow
    from chatstep.flows.events import Event
    from chatstep.flows.records import RunRecord, StepRecord

__all__ = ["named", "rerun", "resume", "run"]

_JSON = "Give the run as one JSON object: state, outputs, and every step with what it got, gave and cost."


@click.command(
    epilog="\b\nExamples:\n  chatstep flow run shop.yaml --text 'Where is my parcel?'\n"
    "  chatstep flow run digest --input topic=slugs --json"
)
@click.argument("flow", metavar="FILE_OR_NAME", shell_complete=files)
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input; other types than text as JSON.")
@click.option("--text", default="", help="What `trigger.text` is.")
@click.option("--author", metavar="NAME", help="Who wrote it.")
@click.option("--conversation", metavar="ID", help="What `trigger.conversation` is.")
@click.option(
    "--event-id", metavar="ID", help="The event's id: the same one again is the same run. [default: a new one]"
)
@json_option(_JSON)
def run(flow: str, as_json: bool, **given: Any) -> None:
    """Run a flow here and show what its steps do.

    A FILE (.yaml, .yml) is published first; a NAME is that of a published flow. The outputs go to stdout, progress to
    stderr. A run that fails gives the exit code of its error.
    """
    needs_flows()
    run_async(_watched(as_json, lambda app: _start(app, flow, given)))


@click.command(epilog="\b\nExample:\n  chatstep flow resume shop.4f3a91c2")
@click.argument("run_id", metavar="RUN")
@json_option(_JSON)
def resume(run_id: str, as_json: bool) -> None:
    """Let RUN go on, which was cancelled or given up. Steps that are done are not run again."""
    needs_flows()
    run_async(_watched(as_json, lambda app: app.flows.resume(run_id)))


@click.command(epilog="\b\nExample:\n  chatstep flow rerun shop.4f3a91c2 --from tell")
@click.argument("run_id", metavar="RUN")
@click.option("--from", "step", metavar="STEP", help="Take over what the steps before STEP gave, and begin there.")
@json_option(_JSON)
def rerun(run_id: str, step: str | None, as_json: bool) -> None:
    """Begin a new run with the event and inputs of RUN, on the version that is published now."""
    needs_flows()
    run_async(_watched(as_json, lambda app: app.flows.rerun(run_id, step)))


async def _start(app: App, name: str, given: dict[str, Any]) -> str:
    flow = await named(app, name)
    inputs = _inputs(flow, given["inputs"])
    return (await app.flows.start(flow.name, _event(given), inputs)).id


async def named(app: App, name: str) -> Flow:
    """The flow of a file, which is published first, or the published one of that name."""
    from chatstep.flows.publishing import publish

    file = Path(name)
    if name.endswith((".yaml", ".yml")) or await asyncio.to_thread(file.is_file):
        flow, new = await publish(file, app.flows, app.connections)
        if new:
            note(f"Published {flow.name}, version {flow.version}.")
        return flow
    return await app.flows.current(name)


def _event(given: dict[str, Any]) -> Event:
    from chatstep.flows.events import Event
    from chatstep.message import Author

    author = given["author"]
    return Event(
        type="manual",
        id=checked_text(given["event_id"] or secrets.token_hex(8), "--event-id"),
        text=checked_text(given["text"], "--text"),
        author=Author(checked_text(author, "--author")) if author else None,
        conversation=checked_text(given["conversation"], "--conversation") if given["conversation"] else None,
        time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def _inputs(flow: Flow, pairs: tuple[str, ...]) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = checked_text(pair, "--input").partition("=")
        if not equals:
            raise InvalidInput("Expected NAME=VALUE.", place="--input", hint="Such as --input topic=slugs.")
        found[name] = value
        if name in flow.inputs and flow.inputs[name].type != "text":
            try:
                found[name] = msgspec.json.decode(value)
            except msgspec.DecodeError:
                if flow.inputs[name].type != "any":
                    raise InvalidInput(
                        f"Expected a {flow.inputs[name].type} as JSON.",
                        place=f"--input {name}",
                        hint="Such as 3 or [1].",
                    ) from None
    return found


async def _watched(as_json: bool, begin: Callable[[App], Awaitable[str]]) -> None:
    """Begin a run, show its steps as they are done, and then what came of it."""
    from chatstep.cli.session import open_app

    async with open_app() as app:
        seen = _Seen()
        app.flows.listeners.append(seen)
        id = await begin(app)
        with _kept(id):
            record = await seen.until_end(id, app)
    _end(record, as_json=as_json)


class _Seen:
    """Shows the steps of one run, also those that were done before its id was known here."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._early: list[tuple[str, StepRecord]] = []

    def __call__(self, id: str, record: StepRecord | RunRecord) -> None:
        from chatstep.flows.records import StepRecord

        if not isinstance(record, StepRecord):
            return
        if self._id is None:
            self._early.append((id, record))
        elif id == self._id:
            note(step_line(record))

    async def until_end(self, id: str, app: App) -> RunRecord:
        self._id = id
        for early, record in self._early:
            self(early, record)
        return await app.flows.wait(id)


@contextmanager
def _kept(id: str) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        note(f"{short(id)} is kept and not done; `chatstep worker` goes on with it.")
        raise


def _end(record: RunRecord, *, as_json: bool) -> None:
    from chatstep.errors import StepError, from_data

    if as_json:
        print_json(record)
    else:
        note(run_line(record))
        if record.outputs:
            click.echo(outputs_text(record.outputs))
    if record.state == "failed":
        error = from_data(record.error) if record.error else StepError("The run failed.")
        error.details.pop("step", None)
        if not as_json:
            note(f"All that is known of it: chatstep flow show {short(record.id)}")
        raise error
    if record.state == "cancelled":
        raise StepError("The run was cancelled.", place=record.id, hint=f"chatstep flow resume {short(record.id)}")
