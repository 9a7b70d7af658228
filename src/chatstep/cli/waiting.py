"""What a person sees while nothing has come yet: one line that counts the seconds, and is gone with the first word.

Only where stderr is a terminal that can erase a line; programs and files never see it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from types import TracebackType

__all__ = ["Waiting"]

_ERASED = "\r\x1b[2K"


class Waiting:
    """``async with Waiting() as waiting: ...``; call ``over`` before anything is written."""

    def __init__(self) -> None:
        self._ticking: asyncio.Task[None] | None = None
        self._shown = False

    async def __aenter__(self) -> Waiting:
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.over()

    def over(self) -> None:
        """Something came: erase the line, and show no more."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        if self._shown:
            self._shown = False
            self._write(_ERASED)

    async def _tick(self) -> None:
        seconds = 0
        while True:
            await asyncio.sleep(1)
            seconds += 1
            self._shown = True
            self._write(f"{_ERASED}Waiting for the reply … {seconds} s (Ctrl-C stops)")

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
