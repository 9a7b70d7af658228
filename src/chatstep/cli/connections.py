"""`chatstep connections`: the group, and the commands that look at connections."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.completing import connection_names
from chatstep.cli.lazy import LazyGroup, Place
from chatstep.cli.options import json_option
from chatstep.cli.screen import console, for_terminal, note, print_json, table
from chatstep.cli.session import open_store

if TYPE_CHECKING:
    from chatstep.connections import Origin
    from chatstep.connections.facts import ConnectionFacts
    from chatstep.store import Store, StoredConnection

__all__ = ["COMMANDS", "connections", "list_all", "show"]

_HERE, _EDIT = "chatstep.cli.connections", "chatstep.cli.connections_edit"
COMMANDS = {
    "add": Place("chatstep.cli.connections_add:add", "Add a connection; its key is typed hidden or piped in."),
    "list": Place(f"{_HERE}:list_all", "List all connections, also those that nobody had to add."),
    "show": Place(f"{_HERE}:show", "Show one: settings, limits, spending, what was learnt."),
    "test": Place("chatstep.cli.connections_test:test", "Make the call that the step makes, and say what is wrong."),
    "limit": Place(f"{_EDIT}:limit", "Set or lift spend limits."),
    "rotate": Place(f"{_EDIT}:rotate", "Replace the key of a connection, or the key that seals them all."),
    "remove": Place(f"{_EDIT}:remove", "Remove a connection; its records of usage stay."),
}


@click.group(cls=LazyGroup, places=COMMANDS, epilog="\b\nExample:\n  chatstep connections add work --from-env WORK_KEY")
def connections() -> None:
    """Named credentials. Keys are kept sealed, and are never arguments or output."""


@click.command("list", epilog="\b\nExample:\n  chatstep connections list --json")
@json_option("Give a JSON list.")
def list_all(as_json: bool) -> None:
    """List all connections: stored ones, the environment's, and the built-in rehearsal."""
    from chatstep.connections.facts import address

    with open_store() as store:
        found = _known(store)
        default = _default(store)
    rows: list[dict[str, Any]] = [
        {
            "name": origin.stored.name,
            "kind": origin.stored.kind,
            "origin": origin.origin,
            "address": address(origin),
            "default": origin.stored.name == default,
        }
        for origin in found
    ]
    if as_json:
        print_json(rows)
        return
    made = table("Name", "Kind", "From", "Address")
    for row in rows:
        name = f"{row['name']} (default)" if row["default"] else row["name"]
        made.add_row(name, row["kind"], row["origin"], for_terminal(row["address"]))
    console().print(made)


@click.command(epilog="\b\nExample:\n  chatstep connections show work")
@click.argument("name", shell_complete=connection_names)
@json_option("Give one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show the connection NAME: settings, spend limits, what was spent, what was learnt. Never its key."""
    from chatstep.connections.facts import facts_of

    with open_store() as store:
        origin = _all(store).find(name)
        data = _data(facts_of(origin, store))
    if as_json:
        print_json(data)
        return
    drawn = console()
    drawn.print(f"{name} ({data['kind']}, {data['origin']})", style="bold")
    for field, value in data["settings"].items():
        drawn.print(f"  {field:14} {for_terminal(str(value))}")
    for field in data["secrets"]:
        drawn.print(f"  {field:14} (kept sealed)" if origin.origin == "store" else f"  {field:14} (set)")
    for period in ("daily", "monthly"):
        limit = data[f"{period}_limit"]
        spent = f"spent {data[f'{period}_spent']}"
        drawn.print(f"  {period:14} {spent}" + (f" of {limit}" if limit else ", no limit"))
    if not data["learnt"]:
        return
    made = table("Model", "Learnt from the server")
    for model, traits in data["learnt"].items():
        made.add_row(for_terminal(model), for_terminal(", ".join(f"{key}: {_plain(traits[key])}" for key in traits)))
    drawn.print()
    drawn.print(made)


def _all(store: Store) -> Any:
    from chatstep.connections import Connections
    from chatstep.modules.openai.environment import from_environment
    from chatstep.settings import Settings

    return Connections(lambda: store, lambda: from_environment(os.environ), Settings.load().connection)


def _known(store: Store) -> list[Origin]:
    found: list[Origin] = _all(store).all()
    return found


def _default(store: Store) -> str | None:
    from chatstep.errors import InvalidInput

    try:
        name: str = _all(store).default()
    except InvalidInput:
        return None
    return name


def _data(facts: ConnectionFacts) -> dict[str, Any]:
    """The facts, with money to read."""
    from msgspec.structs import asdict

    from chatstep.store import dollars

    data = asdict(facts)
    for name in ("daily_limit", "monthly_limit", "daily_spent", "monthly_spent"):
        if data[name] is not None:
            data[name] = dollars(data[name])
    return data


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def added(stored: StoredConnection) -> None:
    """Say that a connection is there, and what to do with it."""
    from chatstep.connections import MODELS, serves

    name = stored.name
    use = f"Try it: chatstep connections test {name}" if serves(stored) == MODELS else "Flows can name it."
    note(f"Added {name}. {use}")
