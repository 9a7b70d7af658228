"""Requests under way, and how they end together with the server: in their own time, and after a while not so."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any

from aiohttp import web

__all__ = ["UnderWay"]

_LAST_WORDS = 2.0  # seconds in which those that are cut can still say so to their clients


class UnderWay:
    """For the server, and for who asks how it is doing."""

    def __init__(self) -> None:
        self.stopping = False
        """Whether the server takes no more connections."""
        self.cutting = False
        """Whether requests are cancelled because their time is up, and not because their client left."""
        self._tasks: dict[asyncio.Task[Any], web.BaseRequest | None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def streams(self) -> int:
        """How many of them are answers that have begun."""
        return sum(request is not None and request.writer.output_size > 0 for request in self._tasks.values())

    def __enter__(self) -> None:
        """Count in work that goes on for requests, in a task of its own."""
        self._tasks[_task()] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._tasks[_task()]

    def add(self, task: asyncio.Task[Any], request: web.BaseRequest) -> None:
        """A request has come, and is answered by a task."""
        self._tasks[task] = request

    def remove(self, task: asyncio.Task[Any]) -> None:
        """It was answered."""
        del self._tasks[task]

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


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("only tasks are under way")
    return task
