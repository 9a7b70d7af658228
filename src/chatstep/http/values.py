"""What callers hand to the HTTP client and get from it. Loads without aiohttp.

Headers carry keys and bodies carry people's texts, so neither appears when a Request or a Reply is printed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct, field

__all__ = ["Patience", "Reply", "Request", "Timeouts"]


class Request(Struct, frozen=True):
    """One request; ``url`` is absolute (http or https) and carries no user name or password.

    ``public_only`` refuses an address in a private network, also one that a name leads to. ``turn`` is waited for
    before each attempt.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    public_only: bool = False
    turn: Callable[[], Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.headers)} headers, {len(self.body)} bytes)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("method", self.method), ("size", len(self.body))]


class Reply(Struct):
    """One whole answer: ``headers`` ignores case, ``body`` is unpacked, ``attempt`` counts requests from 1."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempt: int = 1

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes, attempt {self.attempt})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("status", self.status), ("size", len(self.body)), ("attempt", self.attempt)]


class Timeouts(Struct, frozen=True):
    """Seconds that one attempt may take.

    ``connect``: name, TCP, TLS and proxy. ``first_byte``: from there to the head of the answer, which includes sending
    the body; None leaves it to ``total``. ``between``: from one block to the next, while somebody waits for it.
    ``total``: from the start to the last byte.
    """

    connect: float = 5.0
    first_byte: float | None = None
    between: float = 60.0
    total: float = 120.0


class Patience(Struct, frozen=True):
    """How long a call keeps trying.

    ``tries`` requests at most, ``wait`` seconds of waiting in sum. The wait before try n+1 is a random part of
    ``min(cap, base * 2**(n-1))`` seconds, or what the server asked for. ``resend`` False: a request that was sent and
    whose fate is unknown, since the connection broke, is not sent again; the first one may have been charged.
    """

    tries: int = 5
    wait: float = 300.0
    base: float = 1.0
    cap: float = 30.0
    resend: bool = True
