"""`chatstep serve`: everything that one machine needs: the doors over HTTP, runs of flows, and schedules."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from chatstep.cli.screen import note, styled
from chatstep.cli.session import open_app, run

if TYPE_CHECKING:
    from chatstep.server.listening import Listen

__all__ = ["serve"]


@click.command(
    epilog="\b\nExamples:\n  chatstep serve\n  chatstep serve --port 9000\n"
    "  chatstep serve --host 0.0.0.0 --host-name bots.example.com"
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", metavar="PORT", type=click.IntRange(0, 65535), default=8787, show_default=True)
@click.option(
    "--host-name", "names", metavar="NAME", multiple=True, help="A name under which clients may ask for the server."
)
def serve(host: str, port: int, names: tuple[str, ...]) -> None:
    """Serve the endpoint for OpenAI's clients, webhooks, and published flows, until you stop it.

    Without further set-up only programs on this machine reach it. For any other address it asks for an admin token.
    """
    from chatstep.server.listening import Listen

    run(_serve(Listen(host=host, port=port, host_names=names)))


async def _serve(listen: Listen) -> None:
    from chatstep.flows.clock import Clock
    from chatstep.server.listening import Server

    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app())
        server = await stack.enter_async_context(Server(app, listen))
        note(f"{styled('✓', 'green', bold=True)} Serving at {server.address} until Ctrl-C.")
        note(f"  Any OpenAI client: base_url={server.address}/v1, model=rehearsal/gpt-4o-mini")
        if await asyncio.to_thread(app.store.flows.all):
            await app.flows.launch()
        await stack.enter_async_context(Clock(app.flows, app.store))
        await asyncio.Event().wait()
