"""Event: what started a run, in one shape for every trigger."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from chatstep.message import Author

__all__ = ["Event"]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened. A second event of the same flow, type and id is the same event and starts nothing."""

    type: Literal["manual", "webhook", "schedule", "chat", "call"]
    id: str
    text: str = ""
    author: Author | None = None
    conversation: str | None = None
    time: str = ""
    """When it happened: ISO 8601, UTC."""
    data: dict[str, Any] = {}
    """What else came with it: a webhook's body and query, say."""
