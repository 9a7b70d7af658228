"""`chatstep rehearse`: the rehearsal provider in the foreground, for any OpenAI client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.completing import files
from chatstep.cli.options import connection_option
from chatstep.cli.screen import clipped, console, note, table
from chatstep.cli.session import open_app, run, settings
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.rehearsal import Received, Rehearsal
    from chatstep.rehearsal.plan import Plan
    from chatstep.rehearsal.provider import Answering

__all__ = ["rehearse"]


@click.command(
    epilog="\b\nExamples:\n  chatstep rehearse --script faults.yaml\n"
    "  chatstep rehearse --record --connection work --to talk.jsonl\n  chatstep rehearse --replay talk.jsonl"
)
@click.option(
    "--script",
    metavar="FILE",
    shell_complete=files,
    help="Replies and faults in YAML. Without one it converses by itself.",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 takes a free one."
)
@click.option("--anywhere", is_flag=True, help="Allow an address that other machines can reach.")
@click.option("--record", is_flag=True, help="Pass requests on to a connection and write the answers --to a file.")
@connection_option
@click.option("--to", metavar="FILE", shell_complete=files, help="Where a recording goes; it holds texts, but no keys.")
@click.option("--replay", metavar="FILE", shell_complete=files, help="Answer from a recording.")
@click.option("--list-faults", is_flag=True, help="List the faults that a script can inject, and exit.")
def rehearse(list_faults: bool, **asked: Any) -> None:
    """Serve the rehearsal provider: the protocol without a key, a bill or a network.

    Point any OpenAI client at the address that is printed. One line per request follows, without its texts. Ctrl-C ends
    it.
    """
    if list_faults:
        _list_faults()
        return
    chosen = [name for name in ("script", "record", "replay") if asked[name]]
    if len(chosen) > 1:
        raise InvalidInput(f"--{chosen[0]} and --{chosen[1]} exclude each other.", place=f"--{chosen[1]}")
    if asked["record"] and not asked["to"]:
        raise InvalidInput("A recording needs --to FILE.", place="--record")
    if not asked["record"] and (asked["connection"] or asked["to"]):
        raise InvalidInput("--connection and --to belong to --record.", place="--record")
    try:
        run(_serve(asked))
    except KeyboardInterrupt:
        note("Ended.")


class _Watched:
    """Whoever answers, with a line for each request; texts are never shown."""

    def __init__(self, desk: Answering) -> None:
        self._desk = desk
        self.open, self.close, self.reset = desk.open, desk.close, desk.reset

    @property
    def unexpected(self) -> list[str]:
        """The requests that were not expected, in words."""
        return self._desk.unexpected

    @unexpected.setter
    def unexpected(self, value: list[str]) -> None:
        self._desk.unexpected = value

    async def answer(self, request: Received, key: str | None) -> Plan:
        """The answer of the one who is watched."""
        from chatstep.rehearsal.refusal import Refusal

        try:
            plan = await self._desk.answer(request, key)
        except Refusal as refusal:
            note(_line(request, refusal.status))
            raise
        note(_line(request, plan.status))
        return plan


async def _serve(asked: dict[str, Any]) -> None:
    from chatstep.rehearsal import Recorder, Replay, Script, load_script
    from chatstep.rehearsal.provider import CREATED
    from chatstep.rehearsal.serving import Desk

    if asked["record"]:
        from chatstep.modules.openai.connection import endpoint_of

        async with open_app() as app:
            name = asked["connection"] or await asyncio.to_thread(app.connections.default)
            endpoint = endpoint_of(await app.connections.get(name))
            if endpoint.auth != "bearer" or endpoint.api_version:
                raise InvalidInput("Only servers with a bearer key can be recorded.", place="--connection")
            await _run(Recorder(endpoint.base_url, endpoint.key or "", asked["to"], app.http), asked)
        return
    settings()  # logging begins
    if asked["replay"]:
        await _run(Replay(asked["replay"]), asked)
        return
    script = await asyncio.to_thread(load_script, Path(asked["script"])) if asked["script"] else Script()
    await _run(Desk(script, CREATED), asked)


async def _run(desk: Answering, asked: dict[str, Any]) -> None:
    from chatstep.rehearsal import serve_forever

    try:
        await serve_forever(
            _Watched(desk), host=asked["host"], port=asked["port"], anywhere=asked["anywhere"], ready=_say_how
        )
    except OSError as error:
        raise InvalidInput(
            f"Nothing can listen at {asked['host']} port {asked['port']}: {error.strerror}.",
            place="--port",
            hint="Use another port; --port 0 takes a free one.",
        ) from None


async def _say_how(provider: Rehearsal) -> None:
    click.echo(f"Rehearsal provider at {provider.base_url}")
    click.echo("Any OpenAI client can use it:")
    click.echo(f"  export OPENAI_BASE_URL={provider.base_url} OPENAI_API_KEY=rehearsal")
    click.echo("  chatstep complete 'Hello'")
    note("Ctrl-C ends it.")


def _line(request: Received, status: int) -> str:
    model = f" {clipped(request.model, 40)}" if request.model else ""
    return f"{request.number:>4} {status} {request.method} {clipped(request.path, 80)}{model}"


def _list_faults() -> None:
    from chatstep.rehearsal import FAULTS

    made = table("Fault", "What happens", "In a script")
    for fault in FAULTS.values():
        made.add_row(fault.name, fault.help, fault.example)
    console().print(made)
