"""`chatstep serve`: everything that one machine needs: the doors over HTTP, runs of flows, and schedules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.logs import announce
from chatstep.cli.screen import styled
from chatstep.cli.session import log_option, open_app, run
from chatstep.cli.stopping import Stop, grace_option

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.server.listening import Listen, Server

__all__ = ["serve"]

_FOR_STEPS = 5.0  # seconds of the grace that requests leave to steps of runs


@click.command(
    epilog="\b\nExamples:\n  chatstep serve\n  chatstep serve --port 9000\n"
    "  chatstep serve --host 0.0.0.0 --host-name bots.example.com"
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=8787,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option(
    "--host-name", "names", metavar="NAME", multiple=True, help="A name under which clients may ask for the server."
)
@click.option(
    "--allow-origin", "origins", metavar="ORIGIN", multiple=True, help="An origin whose pages may ask from a browser."
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 64), default=1, show_default=True, help="So many processes."
)
@click.option("--inherited", hidden=True)
@grace_option
@log_option
def serve(host: str, port: int, names: tuple[str, ...], origins: tuple[str, ...], **how: Any) -> None:
    """Serve the endpoint for OpenAI's clients, webhooks, and published flows, until you stop it.

    Without further set-up only programs on this machine reach it. For any other address it asks for an admin token.

    On SIGTERM and Ctrl-C, requests and streams under way are finished, and runs are kept for the next process. A second
    signal ends it at once.
    """
    from chatstep.server.listening import Listen

    listen = Listen(host=host, port=port, host_names=names, allowed_origins=origins)
    if how["workers"] > 1 and how["inherited"] is None:
        from chatstep.cli.workers import serve_by_many

        code = run(serve_by_many(listen, how["workers"], how["grace"], how["log_format"]))
        click.get_current_context().exit(code)
    run(_serve(listen, how["grace"], how["log_format"], how["inherited"]))


async def _serve(listen: Listen, grace: float, log_format: str | None, inherited: str | None) -> None:
    from chatstep.cli.workers import Inherited
    from chatstep.flows.clock import Clock
    from chatstep.server.listening import Server
    from chatstep.server.together import Place

    given = Inherited.read(inherited) if inherited is not None else None
    place = Place(given.worker, given.folder) if given is not None else None
    async with open_app(log_format) as app, Server(app, listen, given and given.port, place) as server:
        stop = Stop(grace)
        if given is not None:
            given.watch(stop)
        else:
            announce(f"{styled('✓', 'green', bold=True)} Serving at {server.address} until Ctrl-C.")
            announce(f"  Any OpenAI client: base_url={server.address}/v1, model=rehearsal/gpt-4o-mini")
        if await asyncio.to_thread(app.store.flows.all):
            await app.flows.launch()
        async with Clock(app.flows, app.store):
            await stop.asked()
        await _end(server, app, stop)


async def _end(server: Server, app: App, stop: Stop) -> None:
    """Requests end first, since some wait for runs; then the steps that runs are in."""
    runs = app.flows
    if server.under_way or runs.under_way:
        announce(
            f"Stopping: {server.under_way} requests and {runs.under_way} runs are under way. Ctrl-C ends it at once."
        )
    for_steps = min(_FOR_STEPS, stop.left / 4) if runs.under_way else 0.0
    await server.stop(stop.left - for_steps)
    runs.process.grace = max(stop.left, for_steps)
