"""Requests under way, and how they end together with the server: in their own time, and after a while not so."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any

__all__ = ["UnderWay"]

_LAST_WORDS = 2.0  # seconds in which those that are cut can still say so to their clients


class UnderWay:
    """``with under_way:`` around a request counts it in. For the server and for who asks how it is doing."""

    def __init__(self) -> None:
        self.stopping = False
        """Whether the server takes no more connections."""
        self.cutting = False
        """Whether requests are cancelled because their time is up, and not because their client left."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered in a task")
        self._tasks.add(task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.discard(task)

    async def idle(self) -> None:
        """Wait until no request is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self, grace: float) -> None:
        """Let requests end by themselves for so many seconds, then cut those that are left."""
        self.stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.idle()
        self.cutting = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
