"""What may be known of a connection: everything but its secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from chatstep.connections.opening import REHEARSAL, Origin
from chatstep.errors import ChatstepError
from chatstep.registry import connection_kind, connection_kinds
from chatstep.store import Store

__all__ = ["ConnectionFacts", "address", "facts_of"]


class ConnectionFacts(Struct, kw_only=True):
    """A connection in use. ``secrets`` names the secrets that are set; money is in nanodollars."""

    name: str
    kind: str
    origin: str
    address: str
    settings: dict[str, Any]
    secrets: list[str]
    daily_limit: int | None
    monthly_limit: int | None
    daily_spent: int
    monthly_spent: int
    learnt: dict[str, dict[str, Any]]
    """What was learnt of each model."""


def facts_of(origin: Origin, store: Store) -> ConnectionFacts:
    """All of that. Blocks."""
    stored = origin.stored
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return ConnectionFacts(
        name=stored.name,
        kind=stored.kind,
        origin=origin.origin,
        address=address(origin),
        settings=stored.settings,
        secrets=_secrets(origin),
        daily_limit=stored.daily_limit,
        monthly_limit=stored.monthly_limit,
        daily_spent=_spent(store, stored.name, today),
        monthly_spent=_spent(store, stored.name, today.replace(day=1)),
        learnt=store.traits.all(stored.name),
    )


def address(origin: Origin) -> str:
    """Where a connection leads, in words."""
    if origin.stored.kind == REHEARSAL:
        return str(origin.stored.settings.get("script") or "in this program, offline")
    try:
        opened = connection_kind(origin.stored.kind).open(origin.stored.settings, origin.secrets)
    except ChatstepError as error:
        return str(error)
    return str(getattr(opened, "base_url", "–"))


def _secrets(origin: Origin) -> list[str]:
    if origin.origin == "environment":
        return list(origin.secrets)
    found = connection_kinds().get(origin.stored.kind)
    if origin.origin != "store" or found is None:
        return []
    return [field.name for field in found[1].fields if field.secret]


def _spent(store: Store, name: str, since: datetime) -> int:
    totals = store.ledger.totals("connection", int(since.timestamp() * 1000))
    return sum(total.cost + total.reserved for total in totals if total.key == name)
