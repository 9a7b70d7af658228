"""The clock of one attempt: four deadlines, one timer.

A timer per deadline and per block would cost more than the block. Here moving a deadline is an assignment; the one
timer looks, when it rings, whether the deadline was moved meanwhile, and sleeps on. The time that a caller spends
between two blocks counts towards the total alone: a slow reader is not a silent server.
"""

from __future__ import annotations

import asyncio
import math

from aiohttp import ClientResponse

from chatstep.http.values import Timeouts

__all__ = ["Watch"]


class Watch:
    """Runs from its creation until `stop`; ``expired`` names the deadline that passed, or is None.

    Before the head it cancels the task that made it (aiohttp closes the socket then); after the head it closes the
    answer, which wakes up whoever reads it.
    """

    __slots__ = (
        "_alarm",
        "_between",
        "_cancelling",
        "_due",
        "_end",
        "_first_byte",
        "_loop",
        "_phase",
        "_response",
        "_rings_at",
        "_task",
        "expired",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, timeouts: Timeouts) -> None:
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("The HTTP client works inside a task only.")
        now = loop.time()
        self.expired: str | None = None
        self._loop = loop
        self._task = task
        self._cancelling = task.cancelling()
        self._response: ClientResponse | None = None
        self._first_byte, self._between = timeouts.first_byte, timeouts.between
        self._phase, self._due, self._end = "connect", now + timeouts.connect, now + timeouts.total
        self._rings_at = min(self._due, self._end)
        self._alarm = loop.call_at(self._rings_at, self._look)

    def connected(self) -> None:
        """The connection stands; the head of the answer is awaited from now on."""
        self._phase, self._due = "first byte", math.inf
        if self._first_byte is not None:
            self._due = self._loop.time() + self._first_byte
            self._ring_by(self._due)

    @property
    def is_connected(self) -> bool:
        """Whether this attempt has had its connection."""
        return self._phase != "connect"

    def answered(self, response: ClientResponse) -> None:
        """The head has come; from now on the watch closes the answer instead of cancelling the task."""
        self._response = response
        self._phase, self._due = "between bytes", math.inf
        self._ring_by(self._loop.time() + self._between)

    def wait(self) -> None:
        """Somebody begins to wait for a block."""
        self._due = self._loop.time() + self._between

    def pause(self) -> None:
        """The block has come; nobody waits."""
        self._due = math.inf

    def stop(self) -> None:
        """The attempt is over."""
        self._alarm.cancel()

    def absorb(self, exc: BaseException) -> str | None:
        """The phase that ran out, if that is what ``exc`` comes from; None when it has another cause.

        Undoes this watch's own cancellation. When the caller has cancelled as well, theirs wins.
        """
        if self.expired is None:
            return None
        if self._response is None and self._task.uncancel() > self._cancelling:
            return None if isinstance(exc, asyncio.CancelledError) else self.expired
        return self.expired

    def _ring_by(self, when: float) -> None:
        if when < self._rings_at:
            self._alarm.cancel()
            self._set(when)

    def _set(self, when: float) -> None:
        self._rings_at = when
        self._alarm = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._end:
            self._expire("total")
        elif now >= self._due:
            self._expire(self._phase)
        elif self._response is not None and self._due == math.inf:
            # Nobody waits: look again before any wait that begins from now on could run out.
            self._set(min(now + self._between, self._end))
        else:
            self._set(min(self._due, self._end))

    def _expire(self, phase: str) -> None:
        self.expired = phase
        if self._response is None:
            self._task.cancel()
        else:
            self._response.close()
