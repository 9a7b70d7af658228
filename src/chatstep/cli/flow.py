"""`chatstep flow`: the group of commands about flows."""

from __future__ import annotations

import click

from chatstep.cli.lazy import LazyGroup, Place

__all__ = ["COMMANDS", "flow"]

COMMANDS = {
    "check": Place("chatstep.cli.flow_check:check", "Say everything that is wrong with flows' files."),
    "publish": Place("chatstep.cli.flow_publish:publish", "Store flows, for new runs to take."),
    "unpublish": Place("chatstep.cli.flow_publish:unpublish", "Take a flow back: nothing starts it any more."),
    "list": Place("chatstep.cli.flow_publish:list_all", "List the flows that are published."),
    "run": Place("chatstep.cli.flow_run:run", "Run a flow here and show what its steps do."),
    "chat": Place("chatstep.cli.flow_chat:chat", "Talk to a flow in this terminal."),
    "runs": Place("chatstep.cli.flow_runs:runs", "List runs, the newest first."),
    "show": Place("chatstep.cli.flow_runs:show", "Show a run with its steps."),
    "cancel": Place("chatstep.cli.flow_runs:cancel", "Stop a run."),
    "resume": Place("chatstep.cli.flow_run:resume", "Let a cancelled run go on."),
    "rerun": Place("chatstep.cli.flow_run:rerun", "Run an old run's event again, in whole or from a step."),
    "schema": Place("chatstep.cli.flow_check:schema", "Print the format of flows as JSON Schema, for editors."),
}


@click.group(cls=LazyGroup, places=COMMANDS, epilog="\b\nExample:\n  chatstep flow check shop.yaml")
def flow() -> None:
    """Flows: steps in a row, started by an event. A flow is a YAML file."""
