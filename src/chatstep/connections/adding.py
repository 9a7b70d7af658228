"""What has to be right about a connection before it is stored; the same whichever door it comes through."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from chatstep.connections.opening import ENVIRONMENT, MODELS, REHEARSAL
from chatstep.errors import InvalidInput
from chatstep.registry import connection_kinds, unknown
from chatstep.step import ConnectionKind

__all__ = ["RESERVED", "check_has_cost", "kind_named", "nanodollars_of", "settings_of"]

RESERVED = (ENVIRONMENT, REHEARSAL)
"""Names that no stored connection may have."""


def kind_named(name: str | None, preset: str | None, place: str = "kind") -> ConnectionKind:
    """The kind of a new connection, ``openai`` where nothing else is said; raises UnknownName, InvalidInput."""
    kinds = connection_kinds()
    name = name or ("compatible" if preset else "openai")
    if name not in kinds:
        raise unknown("kind of connection", name, kinds, place=place)
    if preset and name != "compatible":
        raise InvalidInput(f"A connection of kind {name!r} takes no preset.", place=place.replace("kind", "preset"))
    return kinds[name][1]


def settings_of(
    kind: ConnectionKind, given: Mapping[str, str], preset: str | None = None, place: str = "settings."
) -> dict[str, str]:
    """The settings to store; raises InvalidInput for an unknown or missing one, and for a key among them."""
    fields = {field.name: field for field in kind.fields}
    settings = {"preset": preset} if preset else {}
    for name, value in given.items():
        if name not in fields:
            raise unknown(f"setting of a connection of kind {kind.name!r}", name, fields, place=place.strip(". "))
        if fields[name].secret:
            raise InvalidInput(
                "A key is never an argument or a setting: others could see it.",
                place=f"{place}{name}",
                hint="Leave it out and type it when asked, pipe it in, or use --from-env VARIABLE; in the API, put it "
                "under `secrets`.",
            )
        settings[name] = value
        if fields[name].path and not value.startswith("~"):  # the connection is used in other folders too
            settings[name] = str(Path(value).absolute())
    for field in kind.fields:
        if field.required and not field.secret and not settings.get(field.name):
            raise InvalidInput(
                f"{field.title} is missing.", place=f"{place}{field.name}", hint=f"Set {field.name}. {field.help}"
            )
    return settings


def check_has_cost(kind: str, serves: str) -> None:
    """Raise InvalidInput where no cost is known, so that a spend limit would be kept by nobody."""
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
