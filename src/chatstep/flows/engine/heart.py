"""The heart: says every few seconds that this process lives, and takes over the runs of processes that do not.

A process is dead when its machine is this one and its number is nobody's, or when the database did not see it for
`SILENT` seconds while this process saw the database all the time: after an outage everybody gets the time to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from functools import cache

from chatstep.errors import StoreError
from chatstep.flows.engine.rows import Rows
from chatstep.store import Workers

__all__ = ["Heart", "host"]

BEAT = 2.0
SILENT = 9.0
UNSURE = 7.0
"""Seconds after its last beat at which a process begins nothing more, since others may soon think it dead."""

_log = logging.getLogger("chatstep.engine")


class Heart:
    """``took`` is called in a thread's stead on the loop with the number of runs that were taken over."""

    def __init__(self, workers: Workers, rows: Rows, executor: str, took: Callable[[int], None]) -> None:
        self._workers, self._rows, self._executor, self._took = workers, rows, executor, took
        self._last = float("-inf")
        self._steady_since = float("inf")
        self._beaten = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Beat once, take over what a dead process of this machine left, and go on in the background."""
        await self._beat()
        await self._take_over()
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def stop(self) -> None:
        """Stop beating and be forgotten."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self._workers.remove, self._executor)

    async def sure(self) -> None:
        """Return at once while the database sees this process; else when it does again."""
        while time.monotonic() - self._last > UNSURE:
            self._beaten.clear()
            await self._beaten.wait()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            try:
                await self._beat()
                await self._take_over()
            except Exception as error:  # the database is away; whatever it is, the heart must go on
                if self._steady_since != float("inf"):
                    _log.warning("The database cannot be reached (%s); runs wait.", type(error).__name__)
                self._steady_since = float("inf")

    async def _beat(self) -> None:
        before = time.monotonic()
        await asyncio.to_thread(self._workers.beat, self._executor, host(), os.getpid())
        if before - self._last > UNSURE:
            self._steady_since = before
        self._steady_since = min(self._steady_since, before)
        self._last = before
        self._beaten.set()

    async def _take_over(self) -> None:
        taken = await asyncio.to_thread(self._taken, time.monotonic() - self._steady_since > SILENT)
        if taken:
            self._took(taken)

    def _taken(self, steady: bool) -> int:
        """Give the runs of dead processes back to the queues; how many that were."""
        known = {worker.id: worker for worker in self._workers.all()}
        dead = [
            worker.id
            for worker in known.values()
            if worker.id != self._executor
            and (_is_gone(worker.host, worker.pid) or (steady and worker.silent > SILENT))
        ]
        strays = [executor for executor in self._rows.executors() if executor not in known] if steady else []
        count = 0
        for executor in (*dead, *strays):
            count += sum(self._rows.give_back(run, executor) for run in self._rows.pending(executor))
        for executor in dead:
            self._workers.remove(executor, 0.0)
        return count


@cache
def host() -> str:
    """Names what process numbers belong to: this machine, or a container on it."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}/{space}"


def _is_gone(where: str, pid: int) -> bool:
    if where != host():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
