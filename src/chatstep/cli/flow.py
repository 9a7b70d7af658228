"""`chatstep flow`: the group of commands about flows."""

from __future__ import annotations

import click

from chatstep.cli.lazy import LazyGroup, Place

__all__ = ["COMMANDS", "flow"]

COMMANDS = {
    "check": Place("chatstep.cli.flow_check:check", "Say everything that is wrong with flows' files."),
    "schema": Place("chatstep.cli.flow_check:schema", "Print the format of flows as JSON Schema, for editors."),
}


@click.group(cls=LazyGroup, places=COMMANDS, epilog="\b\nExample:\n  chatstep flow check shop.yaml")
def flow() -> None:
    """Flows: steps in a row, started by an event. A flow is a YAML file."""
