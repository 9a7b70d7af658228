"""A group of commands whose modules are imported only when one of them runs.

For root.py and for groups inside it. The table holds a line of help per command, so that listing them imports nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

__all__ = ["LazyGroup", "Place"]


class Place(NamedTuple):
    """Where a command is (``module:name``), and what it does in one line."""

    target: str
    help: str


class LazyGroup(click.Group):
    """A group that knows its commands by their places."""

    def __init__(self, *args: Any, places: Mapping[str, Place], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one comes with those that are near."""
        if args and args[0] not in self.places and not args[0].startswith("-"):
            from chatstep.registry import near

            close = near(args[0], self.places)
            hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(self.places)}."
            ctx.fail(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in self.places.items()])
