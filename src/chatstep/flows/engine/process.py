"""Process: what this process does for runs: DBOS launched, the heart, runs under way, and an orderly end.

The engine opens one. It also takes up what waits in conversations, the moment something here changes.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from chatstep.flows.engine import launching
from chatstep.flows.engine.heart import Heart, host
from chatstep.flows.engine.rows import Rows
from chatstep.flows.records import RunRecord
from chatstep.flows.walk import Interrupted
from chatstep.store import Store

if TYPE_CHECKING:
    import sqlalchemy as sa
    from dbos import DBOS, Queue

    from chatstep.flows.engine.execution import Execution

__all__ = ["Process"]

GRACE = 25.0
"""Seconds that steps under way are given to finish when the process stops, unless it is told otherwise."""


class Process:
    """``make`` makes the execution of a run from its id, what it was begun with, and whether it is the first.

    ``tell`` is told of each run whose end is stored.
    """

    def __init__(
        self,
        store: Store,
        make: Callable[[str, dict[str, Any], bool], Execution],
        tell: Callable[[str, RunRecord], None],
    ) -> None:
        self._store = store
        self._make, self._tell = make, tell
        self.executor = f"{host()}/{os.getpid()}/{secrets.token_hex(4)}"
        self.closing = asyncio.Event()
        self.grace = GRACE
        self.taken_over = 0
        """How many runs of dead processes were given back to the queues from here."""
        self.rows: Rows
        self.heart: Heart
        self._dbos: DBOS | None = None
        self._queue: Queue | None = None
        self._kicked = asyncio.Event()
        self._dispatching: asyncio.Task[None] | None = None
        self._fresh: set[str] = set()
        self._here: dict[str, Execution] = {}
        self._all_gone = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Future[RunRecord]]] = {}

    @property
    def launched(self) -> bool:
        """Whether runs are done here."""
        return self._dbos is not None

    @property
    def under_way(self) -> int:
        """How many runs are under way here."""
        return len(self._here)

    async def launch(self, database: sa.Engine) -> None:
        """Begin to do runs; takes about a second."""
        loop = asyncio.get_running_loop()
        self._dbos = await asyncio.to_thread(launching.launch, database, self.executor, self._body, loop)
        self.rows = Rows.of(self._dbos, lambda *end: loop.call_soon_threadsafe(self._ended, *end))
        self.heart = Heart(self._store.workers, self.rows, self.executor, self._took)
        await self.heart.start()
        self._dispatching = loop.create_task(self._dispatch())
        self.kick()

    async def stop(self) -> None:
        """Let steps under way finish, give back what is not done, and stop."""
        self.closing.set()
        dbos = self._dbos
        if dbos is None:
            return
        for event in dbos.background_thread_stop_events:
            event.set()
        if self._dispatching is not None:
            self._dispatching.cancel()
            await asyncio.gather(self._dispatching, return_exceptions=True)
        self._all_gone.clear()
        if self._here:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), self.grace)
        try:
            self.rows.stop_waiting()
            cut = set(self._here)
            await launching.abandon(dbos)
            await asyncio.to_thread(self._give_back, cut)
        finally:
            await launching.close()
            await self.heart.stop()

    def _give_back(self, cut: set[str]) -> None:
        for run in self.rows.pending(self.executor):
            if run in cut:
                self.rows.give_back(run, self.executor)
            else:
                self.rows.hand_over(run, self.executor)

    def check_open(self) -> None:
        """Raise Interrupted once the process stops."""
        if self.closing.is_set():
            raise Interrupted("The engine is closing.")

    def expect(self, id: str, *, begun: bool = True) -> None:
        """Say that DBOS is about to begin a run for the first time here, or that it is not after all."""
        if begun:
            self._fresh.add(id)
        else:
            self._fresh.discard(id)

    def has(self, id: str) -> bool:
        """Whether a run is under way here."""
        return id in self._here or id in self._fresh

    @contextmanager
    def waiting(self, id: str) -> Iterator[asyncio.Future[RunRecord]]:
        """What gets the record when the run ends here, for as long as somebody waits for it."""
        future: asyncio.Future[RunRecord] = asyncio.get_running_loop().create_future()
        together = self._waiting.setdefault(id, set())
        together.add(future)
        try:
            yield future
        finally:
            together.discard(future)
            if not together:
                self._waiting.pop(id, None)

    def kick(self) -> None:
        """Look for runs that wait in conversations."""
        self._kicked.set()

    async def _body(self, stored: dict[str, Any]) -> Any:
        """What DBOS runs."""
        from dbos import DBOS

        id = str(DBOS.workflow_id)
        execution = self._make(id, stored, id in self._fresh)
        self._fresh.discard(id)
        self._here[id] = execution
        try:
            if self.closing.is_set():
                raise asyncio.CancelledError
            ended = await execution.to_end()
        except BaseException:
            self._gone(id, execution)
            raise
        return ended

    def _ended(self, id: str, stored: bool) -> None:
        """DBOS has stored the end of a run, unless the run was not ours any more."""
        execution = self._here.get(id)
        if execution is None:
            return
        self._gone(id, execution)
        if stored and execution.record is not None:
            self._tell(id, execution.record)
            for future in self._waiting.get(id, ()):
                if not future.done():
                    future.set_result(execution.record)
        if execution.stored["queued"]:
            self.kick()

    def _gone(self, id: str, execution: Execution) -> None:
        if self._here.get(id) is execution:  # a run that was cancelled and resumed may be here twice
            del self._here[id]
        if not self._here:
            self._all_gone.set()

    def _took(self, count: int) -> None:
        self.taken_over += count
        self.kick()

    async def _dispatch(self) -> None:
        """Take up what waits in conversations as soon as something here changed; DBOS itself looks every second."""
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            with suppress(Exception):  # whatever it is, DBOS's own look comes soon
                await asyncio.to_thread(self._claim)

    def _claim(self) -> None:
        from dbos import DBOS
        from dbos._core import execute_dequeued_workflow

        dbos = self._dbos
        self._queue = queue = self._queue or DBOS.retrieve_queue(launching.QUEUE)
        room = launching.AT_ONCE - (dbos._active_workflows_set.count_for_queue(launching.QUEUE) if dbos else 0)
        if dbos is None or queue is None or room <= 0:
            return
        owner = secrets.token_hex(16)
        for status in self.rows.claim(queue, self.executor, room, owner):
            execute_dequeued_workflow(dbos, status, owner)
