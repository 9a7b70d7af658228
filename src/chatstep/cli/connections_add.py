"""`chatstep connections add`: a new connection, checked before it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.completing import presets, words
from chatstep.cli.connections import added
from chatstep.cli.options import checked_text
from chatstep.cli.secrets import read_secret
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput
from chatstep.secret import Secret

if TYPE_CHECKING:
    from chatstep.step import ConnectionKind

__all__ = ["add"]


@click.command(
    epilog="\b\nExamples:\n  chatstep connections add work\n"
    "  chatstep connections add local --preset ollama\n"
    "  pass show openai | chatstep connections add work --daily-limit 5"
)
@click.argument("name")
@click.option(
    "--kind",
    metavar="KIND",
    shell_complete=words("openai", "azure", "compatible", "rehearsal", "http", "webhook"),
    help="openai, azure, compatible or rehearsal; for flows http or webhook. [default: openai]",
)
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=presets,
    help="A known compatible server, such as ollama, groq or openrouter.",
)
@click.option("--set", "given", nargs=2, multiple=True, metavar="FIELD VALUE", help="A setting, such as base_url.")
@click.option("--from-env", metavar="VARIABLE", help="Take the key from this variable of the environment.")
@click.option("--key/--no-key", "wants_key", default=None, help="Ask for a key or not. [default: where one is needed]")
@click.option("--daily-limit", metavar="USD", help="The most to spend in a day (UTC), such as 5 or 0.50.")
@click.option("--monthly-limit", metavar="USD", help="The most to spend in a month (UTC).")
def add(name: str, kind: str | None, preset: str | None, given: tuple[tuple[str, str], ...], **rest: Any) -> None:
    """Add the connection NAME.

    The key is typed hidden, read from stdin when that is a pipe, or taken from a variable. It is stored sealed.
    """
    from chatstep.connections import RESERVED, check_has_cost, kind_named, nanodollars_of, settings_of
    from chatstep.registry import connection_kinds
    from chatstep.store import StoredConnection

    if name in RESERVED:
        raise InvalidInput(f"{name!r} is built in.", place="connection", hint="Choose another.")
    chosen = kind_named(kind, preset, "--kind")
    texts = {field: checked_text(value, f"--set {field}") for field, value in given}
    settings = settings_of(chosen, texts, preset, "--set ")
    daily = nanodollars_of(rest["daily_limit"], "--daily-limit")
    monthly = nanodollars_of(rest["monthly_limit"], "--monthly-limit")
    if daily or monthly:
        check_has_cost(chosen.name, chosen.serves or chosen.name)
    chosen.open(settings, {})  # a wrong address is said before anybody types a key
    secrets = _secrets(chosen, settings, rest["from_env"], rest["wants_key"])
    module = connection_kinds()[chosen.name][0].name
    stored = StoredConnection(name, module, chosen.name, settings, daily, monthly)
    with open_store() as store:
        store.connections.add(stored, secrets)
    added(stored)


def _secrets(
    kind: ConnectionKind, settings: dict[str, str], variable: str | None, wants_key: object
) -> dict[str, Secret]:
    """The secrets that this kind has; only where the server may want one is anybody asked."""
    from chatstep.modules.openai.connection import PRESETS

    preset = PRESETS.get(settings.get("preset", ""))
    found: dict[str, Secret] = {}
    for field in kind.fields:
        if not field.secret or wants_key is False:
            continue
        needed = field.required or bool(preset and preset.needs_key) or wants_key is True
        if preset is not None and not needed and variable is None:
            continue
        secret = read_secret(field, variable, required=needed or variable is not None)
        if secret is not None:
            found[field.name] = secret
    return found
