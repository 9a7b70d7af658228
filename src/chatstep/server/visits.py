"""One request, as metrics and the log see it. Never holds what was said, nor a key."""

from __future__ import annotations

import re
import time
from typing import Any

from aiohttp import web
from msgspec import Struct, field

__all__ = ["Visit", "tell"]

_LONGEST = 100
_ID = re.compile(r"[\w.:-]{1,100}", re.A)


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

    def ended(self, response: web.StreamResponse, wanted: str | None) -> None:
        """Note what was answered; ``wanted`` is the id that the client gave the request, if it did."""
        self.status = response.status
        if response.prepared:
            self.size = response.body_length
        elif isinstance(response, web.Response):
            body = response.body
            self.size = len(body) if isinstance(body, (bytes, bytearray)) else 0
        given = response.headers.get("x-request-id") or wanted
        self.request_id = given if given is not None and _ID.fullmatch(given) else None

    def fields(self, seconds: float) -> dict[str, Any]:
        """As the log has it: what is not known is not there."""
        known = {
            "method": self.method,
            "path": self.door,
            "status": self.status,
            "ms": round(seconds * 1000, 1),
            "bytes": self.size,
            "request_id": self.request_id,
            "token": self.token,
            "connection": self.connection,
            "model": self.model[:_LONGEST] if self.model is not None else None,
            "run": self.run,
        }
        return {name: value for name, value in known.items() if value is not None}


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
