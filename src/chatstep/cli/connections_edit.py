"""`chatstep connections limit`, `rotate` and `remove`: what changes a stored connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from chatstep.cli.completing import connection_names
from chatstep.cli.screen import agreed, note
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.store import Store, StoredConnection

__all__ = ["limit", "remove", "rotate"]


@click.command(epilog="\b\nExample:\n  chatstep connections limit work --daily 5 --monthly none")
@click.argument("name", shell_complete=connection_names)
@click.option("--daily", metavar="USD", help="The most to spend in a day (UTC), or none.")
@click.option("--monthly", metavar="USD", help="The most to spend in a month (UTC), or none.")
def limit(name: str, daily: str | None, monthly: str | None) -> None:
    """Set or lift the spend limits of the connection NAME."""
    from chatstep.connections import check_has_cost, nanodollars_of, serves

    if daily is None and monthly is None:
        raise InvalidInput("Neither limit is given.", place="--daily", hint="Use --daily USD or --monthly USD.")
    with open_store() as store:
        stored = _stored(store, name)
        if {daily, monthly} - {None, "none"}:
            check_has_cost(stored.kind, serves(stored))
        if daily is not None:
            stored = replace(stored, daily_limit=None if daily == "none" else nanodollars_of(daily, "--daily"))
        if monthly is not None:
            stored = replace(stored, monthly_limit=None if monthly == "none" else nanodollars_of(monthly, "--monthly"))
        store.connections.update(stored)
    note(f"Changed the limits of {name}.")


@click.command(epilog="\b\nExamples:\n  chatstep connections rotate work\n  chatstep connections rotate --sealing-key")
@click.argument("name", required=False, shell_complete=connection_names)
@click.option("--from-env", metavar="VARIABLE", help="Take the new key from this variable of the environment.")
@click.option("--sealing-key", is_flag=True, help="Replace the key that seals all stored keys.")
def rotate(name: str | None, from_env: str | None, sealing_key: bool) -> None:
    """Replace the key of the connection NAME, or with --sealing-key the key that seals them all.

    A new key is typed hidden, read from stdin when that is a pipe, or taken from a variable.
    """
    if (name is None) == (not sealing_key):
        raise click.UsageError("Give either NAME or --sealing-key.")
    with open_store() as store:
        if name is None:
            count = store.connections.rotate_key()
            note(f"There is a new sealing key; {count} connection{'' if count == 1 else 's'} sealed anew.")
            return
        _replace_key(store, _stored(store, name), from_env)
    note(f"Replaced the key of {name}. Try it: chatstep connections test {name}")


def _replace_key(store: Store, stored: StoredConnection, variable: str | None) -> None:
    from chatstep.cli.secrets import read_secret
    from chatstep.registry import connection_kind

    fields = [field for field in connection_kind(stored.kind).fields if field.secret]
    if not fields:
        raise InvalidInput(f"A connection of kind {stored.kind!r} has no key.", place="connection")
    found = {field.name: read_secret(field, variable, required=True) for field in fields}
    store.connections.update(stored, {name: secret for name, secret in found.items() if secret is not None})


@click.command(epilog="\b\nExample:\n  chatstep connections remove work --yes")
@click.argument("name", shell_complete=connection_names)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove the connection NAME with its key and what was learnt about it; records of usage stay."""
    with open_store() as store:
        _stored(store, name)
        if not agreed(f"Remove the connection {name} and its key?", yes=yes):
            note("Nothing was removed.")
            return
        store.connections.remove(name)
    note(f"Removed {name}.")


def _stored(store: Store, name: str) -> StoredConnection:
    if name in ("environment", "rehearsal"):
        raise InvalidInput(
            f"{name!r} is not stored, so it cannot be changed.",
            place="connection",
            hint="Change the variables OPENAI_..." if name == "environment" else "Add one of kind rehearsal instead.",
        )
    return store.connections.get(name)
