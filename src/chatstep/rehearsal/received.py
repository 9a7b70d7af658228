"""A request as it came in: what tests look at, and what rules are matched against. Credentials are never kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from chatstep.rehearsal.validation_messages import text_of

__all__ = ["SECRET_HEADERS", "Received", "without_credentials"]

SECRET_HEADERS = frozenset(
    {"authorization", "api-key", "x-api-key", "cookie", "set-cookie", "proxy-authorization", "openai-organization"}
    | {"openai-project"}
)


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with lower-case names, less those that say who somebody is."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in SECRET_HEADERS}


class Received(Struct, kw_only=True):
    """One request, numbered from 1 in the order of arrival; ``body`` is None where it is no JSON object.

    ``time`` is when it was there as a whole, in unix seconds.
    """

    number: int
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    raw: bytes = b""
    time: float = 0.0

    @property
    def model(self) -> str:
        """The model asked for, or an empty text."""
        return str((self.body or {}).get("model") or "")

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool((self.body or {}).get("stream"))

    @property
    def newest_text(self) -> str:
        """The text of the newest user message, or of the newest message when no user spoke; for `when`."""
        messages = (self.body or {}).get("messages")
        known = [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
        users = [message for message in known if message.get("role") == "user"]
        return text_of((users or known)[-1]) if known else ""

    def describe(self) -> str:
        """The request in words, without its texts."""
        if self.body is None:
            return f"request {self.number}: {self.method} {self.path}"
        roles = [message.get("role") for message in self.body.get("messages") or () if isinstance(message, dict)]
        stream = ", stream" if self.stream else ""
        size = len(self.newest_text)
        return (
            f"request {self.number}: {self.method} {self.path}, model {self.model!r}{stream}, "
            f"{len(roles)} messages ({', '.join(map(str, roles[-3:]))}), newest text of {size} characters"
        )
