"""How many requests are answered at once: of all clients together, and of each token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from chatstep.server.envelope import NotServed

__all__ = ["Crowd"]

_SOON = {"retry-after": "1"}


class Crowd:
    """Counts requests in and out; ``most_each`` None leaves a token as much as there is."""

    def __init__(self, most: int, most_each: int | None = None) -> None:
        self._most, self._most_each = most, most_each
        self._all = 0
        self._each: Counter[str] = Counter()

    @contextmanager
    def one(self, token: str | None) -> Iterator[None]:
        """One more request, of this token; raises NotServed where that is too many."""
        if self._all >= self._most:
            raise NotServed(503, "The server answers as many requests as it may.", code="server_busy", headers=_SOON)
        if token is not None and self._most_each is not None and self._each[token] >= self._most_each:
            message = f"This token has {self._most_each:,} requests under way, and may not have more."
            raise NotServed(429, message, code="too_many_at_once", headers=_SOON)
        self._all += 1
        if token is not None:
            self._each[token] += 1
        try:
            yield
        finally:
            self._all -= 1
            if token is not None:
                self._each[token] -= 1
                if not self._each[token]:
                    del self._each[token]
