"""One request, as metrics and the log see it. Never holds what was said, nor a key."""

from __future__ import annotations

import time

from msgspec import Struct, field

__all__ = ["Visit"]


class Visit(Struct):
    """Filled by whoever knows. ``door`` is the address as it is written in the table of doors."""

    method: str
    door: str = "other"
    status: int = 499
    size: int = 0
    request_id: str | None = None
    token: str | None = None
    connection: str | None = None
    model: str | None = None
    run: str | None = None
    began: float = field(default_factory=time.perf_counter)
