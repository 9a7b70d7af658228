"""`chatstep flow publish` and `list`: which flows there are, and the versions that new runs take."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatstep.cli.completing import files
from chatstep.cli.options import json_option
from chatstep.cli.screen import clipped, console, for_terminal, note, print_json, table
from chatstep.cli.session import open_store, run
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    from chatstep.flows.definition import Flow

__all__ = ["list_all", "publish", "unpublish"]


@click.command(epilog="\b\nExample:\n  chatstep flow publish shop.yaml")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=files)
def publish(files: tuple[str, ...]) -> None:
    """Store the flow in each FILE, for new runs to take.

    A version never changes: runs that are under way end on the version they began with. Nothing is stored of a file
    that `chatstep flow check` complains about.
    """
    needs_flows()
    run(_publish(files))


async def _publish(files: tuple[str, ...]) -> None:
    from chatstep.cli.session import open_app
    from chatstep.flows.publishing import publish as publish_flow

    async with open_app() as app:
        together = await asyncio.to_thread(_read, files)
        for name in files:
            flow, new = await publish_flow(Path(name), app.flows, app.connections, together)
            said = "Published" if new else "Nothing changed in"
            note(f"{said} {flow.name}, version {flow.version}. Run it: chatstep flow run {flow.name}")


def _read(files: tuple[str, ...]) -> dict[str, Flow]:
    """The flows of these files by name: one may call another that is published together with it."""
    from chatstep.flows.reading import read_draft

    return {draft.flow.name: draft.flow for draft in (read_draft(Path(name)) for name in files)}


@click.command(epilog="\b\nExample:\n  chatstep flow unpublish shop")
@click.argument("name")
def unpublish(name: str) -> None:
    """Take the flow NAME back: nothing starts it any more. Runs under way go on, and its versions stay."""
    needs_flows()
    with open_store() as store:
        store.flows.unpublish(name)
    note(f"Nothing starts {name} any more. Its file can be published again.")


@click.command("list", epilog="\b\nExample:\n  chatstep flow list --json")
@json_option("Give a JSON list: name, version, published, on, steps and description of each.")
def list_all(as_json: bool) -> None:
    """List the flows that are published."""
    needs_flows()
    from chatstep.flows.reading import read_flow

    with open_store() as store:
        found = [(published, read_flow(published.text)) for published in store.flows.all()]
    if as_json:
        print_json(
            [
                {
                    "name": flow.name,
                    "version": published.version,
                    "published": _time(published.changed).replace(" ", "T") + ":00Z",
                    "on": [trigger.type for trigger in flow.on],
                    "steps": [part.id for part in flow.steps],
                    "description": flow.description,
                }
                for published, flow in found
            ]
        )
        return
    if not found:
        note("No flow is published yet. Publish one: chatstep flow publish FILE")
        return
    made = table("Flow", "Version", "Published (UTC)", "Started by", "Description")
    for published, flow in found:
        started = ", ".join(dict.fromkeys(trigger.type for trigger in flow.on))
        made.add_row(
            for_terminal(flow.name), published.version, _time(published.changed), started, clipped(flow.description, 40)
        )
    console().print(made)


def _time(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M}"
