"""`chatstep flow chat`: the chat trigger of a flow, in a terminal."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from chatstep.cli.completing import files
from chatstep.cli.failures import INTERRUPTED, print_error
from chatstep.cli.lines import Lines
from chatstep.cli.screen import for_terminal, note
from chatstep.errors import ChatstepError, InvalidInput, from_data
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.flows.definition import Flow

__all__ = ["chat"]


@click.command(
    "chat",
    epilog="\b\nExamples:\n  chatstep flow chat shop.yaml\n  chatstep flow chat shop --conversation ana --name Ana",
)
@click.argument("flow", metavar="FILE_OR_NAME", shell_complete=files)
@click.option("--conversation", metavar="ID", help="What `trigger.conversation` is. [default: a new one]")
@click.option("--name", metavar="NAME", default="You", show_default=True, help="Who you are, for the flow to see.")
def chat(flow: str, conversation: str | None, name: str) -> None:
    """Talk to a flow that has a chat trigger: each message is a run, and its output `message` is the reply.

    A FILE (.yaml, .yml) is published first; a NAME is that of a published flow. Ctrl-C stops waiting for a reply, and
    the run goes on; Ctrl-D leaves. When stdin is a pipe, each line is a message.
    """
    needs_flows()
    if not name.strip() or not name.isprintable():
        raise InvalidInput("The name is empty or unprintable.", place="--name")
    from chatstep.cli.session import open_app

    with asyncio.Runner() as runner:
        app = runner.run(open_app().__aenter__())
        try:
            found = runner.run(_found(app, flow))
            code = _hold(runner, app, found, (conversation or uuid.uuid4().hex[:12], name))
        finally:
            runner.run(app.__aexit__(None, None, None))
    raise click.exceptions.Exit(code)


async def _found(app: App, name: str) -> Flow:
    """The flow, published, with its engine running; raises InvalidInput where it has no chat trigger."""
    from chatstep.cli.flow_run import named

    flow = await named(app, name)
    if not any(trigger.type == "chat" for trigger in flow.on):
        raise InvalidInput(
            f"The flow {flow.name!r} has no chat trigger.",
            place="on",
            hint="Add `chat` to its `on:`, or use `flow run`.",
        )
    await app.flows.launch()
    return flow


def _hold(runner: asyncio.Runner, app: App, flow: Flow, who: tuple[str, str]) -> int:
    """Take messages until there are no more; the exit code is that of the last turn."""
    lines, code = Lines(), 0
    if lines.interactive:
        note(f"Talking to the flow {flow.name}, conversation {who[0]}. Ctrl-D leaves.")
    while (text := lines.next()) is not None:
        if not text.strip():
            continue
        try:
            click.echo(for_terminal(runner.run(_reply(app, flow, text, who))))
            code = 0
        except KeyboardInterrupt:
            note("Stopped waiting; the run goes on. `chatstep flow runs` shows it.")
            code = INTERRUPTED
        except ChatstepError as error:
            print_error(error)
            code = error.exit_code
    return code


async def _reply(app: App, flow: Flow, text: str, who: tuple[str, str]) -> str:
    """One message in, the flow's reply out; raises what the run failed with."""
    from chatstep.flows.events import Event
    from chatstep.message import Author

    conversation, name = who
    event = Event(
        type="chat",
        id=uuid.uuid4().hex,
        text=text,
        author=Author(name),
        conversation=conversation,
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    started = await app.flows.start(flow.name, event)
    record = await app.flows.wait(started.id)
    if record.error is not None:
        raise from_data(record.error)
    message = record.outputs.get("message")
    if isinstance(message, str):
        return message
    raise InvalidInput(
        f"The run {record.id} gave no output `message`, so there is nothing to show.",
        place="outputs",
        hint=f"chatstep flow show {record.id}",
    )
