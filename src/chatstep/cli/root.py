"""The root of the command line: `chatstep`, its commands, and what happens to an error of any of them."""

from __future__ import annotations

from typing import Any

import click

from chatstep.cli.failures import Invocation, told
from chatstep.cli.lazy import LazyGroup, Place

__all__ = ["COMMANDS", "cli"]

COMMANDS = {
    "complete": Place("chatstep.cli.complete:complete", "Make one completion: ask for the next message."),
    "chat": Place("chatstep.cli.chat:chat", "Hold a conversation that is kept in the store."),
    "transcript": Place("chatstep.cli.transcript:transcript", "Look into an exported chat; preview and convert it."),
    "conversations": Place(
        "chatstep.cli.conversations:conversations", "List, show, import and export kept conversations."
    ),
    "flow": Place("chatstep.cli.flow:flow", "Check, publish and run flows: steps in a row, started by an event."),
    "worker": Place("chatstep.cli.worker:worker", "Do the runs of flows until told to stop."),
    "connections": Place("chatstep.cli.connections:connections", "Add, list, test and remove connections."),
    "models": Place("chatstep.cli.models:models", "List the models that a connection offers."),
    "usage": Place("chatstep.cli.usage:usage", "Show what completions took: tokens and money."),
    "rehearse": Place("chatstep.cli.rehearse:rehearse", "Serve the rehearsal provider: offline, scripted, free."),
    "serve": Place("chatstep.cli.serve:serve", "Serve OpenAI's clients, webhooks and flows over HTTP."),
    "tokens": Place("chatstep.cli.tokens:tokens", "Make, list and revoke tokens for the server's clients."),
    "backup": Place("chatstep.cli.backup:backup", "Copy the databases while everything goes on."),
    "docs": Place("chatstep.cli.docs:docs", "Read the documentation, or ask it a question."),
    "demo": Place("chatstep.cli.demo:demo", "See a conversation answered, without a key."),
    "completion": Place("chatstep.cli.shell:completion", "Print the completion script for your shell."),
}


class _Root(LazyGroup):
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the options of `chatstep` itself."""
        with told(Invocation()):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error becomes a line on stderr and the exit code of its class."""
        ctx.obj = Invocation()
        with told(ctx.obj):
            return super().invoke(ctx)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"chatstep {version('chatstep')}")
    ctx.exit()


@click.group(
    cls=_Root,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with `chatstep demo`. With OPENAI_API_KEY set: chatstep complete 'Hello'",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Make Chat Completion: from a conversation to its next message."""
