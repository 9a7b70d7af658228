"""One request, as metrics and the log see it. Never holds what was said, nor a key."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct, field

__all__ = ["Visit", "tell"]


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


def tell(span: Any, visit: Visit) -> None:
    """What is known of a request, as a span of OpenTelemetry has it."""
    span.update_name(f"{visit.method} {visit.door}")
    known = {
        "http.request.method": visit.method,
        "http.route": visit.door,
        "http.response.status_code": visit.status,
        "chatstep.token": visit.token,
        "chatstep.run.id": visit.run,
        "gen_ai.request.model": visit.model,
    }
    span.set_attributes({name: value for name, value in known.items() if value is not None})
    if visit.status >= 500:
        span.set_attribute("error.type", str(visit.status))
