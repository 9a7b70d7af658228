"""`chatstep connections add`: a new connection, checked before it is stored."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from chatstep.cli.completing import presets, words
from chatstep.cli.connections import added
from chatstep.cli.options import checked_text
from chatstep.cli.secrets import read_secret
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput
from chatstep.registry import connection_kinds, unknown
from chatstep.secret import Secret
from chatstep.step import ConnectionKind

__all__ = ["add", "check_has_cost", "nanodollars_of"]

_RESERVED = ("environment", "rehearsal")


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
    if name in _RESERVED:
        raise InvalidInput(f"{name!r} is built in.", place="connection", hint="Choose another.")
    chosen = _kind(kind, preset)
    settings = _settings(chosen, given, preset)
    daily = nanodollars_of(rest["daily_limit"], "--daily-limit")
    monthly = nanodollars_of(rest["monthly_limit"], "--monthly-limit")
    if daily or monthly:
        check_has_cost(chosen.name, chosen.serves or chosen.name)
    chosen.open(settings, {})  # a wrong address is said before anybody types a key
    secrets = _secrets(chosen, settings, rest["from_env"], rest["wants_key"])
    from chatstep.store import StoredConnection

    module = connection_kinds()[chosen.name][0].name
    stored = StoredConnection(name, module, chosen.name, settings, daily, monthly)
    with open_store() as store:
        store.connections.add(stored, secrets)
    added(stored)


def _kind(name: str | None, preset: str | None) -> ConnectionKind:
    kinds = connection_kinds()
    name = name or ("compatible" if preset else "openai")
    if name not in kinds:
        raise unknown("kind of connection", name, kinds, place="--kind")
    if preset and name != "compatible":
        raise InvalidInput(f"A connection of kind {name!r} takes no preset.", place="--preset")
    return kinds[name][1]


def _settings(kind: ConnectionKind, given: tuple[tuple[str, str], ...], preset: str | None) -> dict[str, str]:
    fields = {field.name: field for field in kind.fields}
    settings = {"preset": preset} if preset else {}
    for name, value in given:
        if name not in fields:
            raise unknown(f"setting of a connection of kind {kind.name!r}", name, fields, place="--set")
        if fields[name].secret:
            raise InvalidInput(
                "A key is never an argument: others could see it.",
                place=f"--set {name}",
                hint="Leave it out and type it when asked, pipe it in, or use --from-env VARIABLE.",
            )
        settings[name] = checked_text(value, f"--set {name}")
        if fields[name].path and not value.startswith("~"):  # the connection is used in other folders too
            settings[name] = str(Path(value).absolute())
    for field in kind.fields:
        if field.required and not field.secret and not settings.get(field.name):
            raise InvalidInput(f"{field.title} is missing.", place=field.name, hint=f"--set {field.name} VALUE")
    return settings


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


def check_has_cost(kind: str, serves: str) -> None:
    """Raise InvalidInput where no cost is known, so that a spend limit would be kept by nobody."""
    from chatstep.connections import MODELS

    if serves != MODELS:
        raise InvalidInput(
            f"What a connection of kind {kind} costs is not known, so it has no spend limit.", place="connection"
        )


def nanodollars_of(text: str | None, place: str) -> int | None:
    """A limit in dollars as nanodollars; raises InvalidInput unless it is a number above 0."""
    if text is None:
        return None
    try:
        amount = Decimal(text.strip().removeprefix("$"))
        nanodollars = int(amount * 1_000_000_000) if amount.is_finite() else 0
    except InvalidOperation:
        nanodollars = 0
    if not 0 < nanodollars < 2**62:
        raise InvalidInput(f"{text[:40]!r} is no amount of dollars.", place=place, hint="Write it like 5 or 0.50.")
    return nanodollars
