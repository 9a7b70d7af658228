"""Saved: runs of flows that say ``durable: false``. They are done here, and kept whole when they have ended.

A crash loses those under way, so nobody is told of one before its end is stored. Ends are stored together: while one
batch is written, the next one gathers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from chatstep.errors import Busy, InvalidInput
from chatstep.flows.definition import Flow
from chatstep.flows.engine import launching
from chatstep.flows.engine.context import StepContext
from chatstep.flows.engine.ends import EndedRun
from chatstep.flows.engine.job import Job
from chatstep.flows.engine.sealing import closed, without_content
from chatstep.flows.records import RunRecord, StepRecord
from chatstep.flows.walk import Begun, Work, walk
from chatstep.step import Context
from chatstep.store import Contents

if TYPE_CHECKING:
    from chatstep.flows.engine.engine import Engine

__all__ = ["Saved"]

AT_ONCE = 200
"""The most ends that are stored in one transaction."""
GATHER = 0.002
"""Seconds that an end waits for others to be stored with, while there are runs under way."""


class _End(NamedTuple):
    run: EndedRun
    stored: asyncio.Future[bool]
    """Gets whether it is new."""


class Saved:
    """The runs of such flows in this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._here: dict[str, asyncio.Task[tuple[RunRecord, bool]]] = {}
        self._ends: list[_End] = []
        self._writing: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._here)

    async def run(self, id: str, flow: Flow, job: Job, *, first: bool) -> tuple[RunRecord, bool]:
        """Do a run, and give its record once it is stored; and whether it is new.

        A run that is under way or was kept is not done again; with ``first`` it is known that there is none. Who stops
        waiting does not stop the run. Raises Busy where the process stops before the run has ended.
        """
        self._engine.process.check_open()
        running, new = self._here.get(id), False
        if running is None:
            running, new = asyncio.create_task(self._done(id, flow, job, first)), True
            self._here[id] = running
            running.add_done_callback(lambda done: self._gone(id, done))
        try:
            record, done_here = await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                raise Busy("The process stopped before the run had ended.", place=id, hint="Ask again.") from None
            raise
        return record, new and done_here

    def _gone(self, id: str, done: asyncio.Task[tuple[RunRecord, bool]]) -> None:
        del self._here[id]
        if not done.cancelled():
            done.exception()  # looked at, as everybody may have stopped waiting

    async def _done(self, id: str, flow: Flow, job: Job, first: bool) -> tuple[RunRecord, bool]:
        rows = self._engine.process.rows
        if not first and await asyncio.to_thread(rows.find, id, content=False) is not None:
            return await self._engine.wait(id), False
        record = await _Doing(self._engine, id, flow, job).to_end()
        if not await self._stored(flow, job, record):  # another process was told of the same event, and was faster
            return await self._engine.wait(id), False
        self._engine.tell(id, record)
        return record, True

    async def _stored(self, flow: Flow, job: Job, record: RunRecord) -> bool:
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if flow.keep_content:
            run = self._ended(job, record, None)
        else:
            run = await asyncio.to_thread(self._ended, job, record, self._engine.store.contents)
        self._ends.append(_End(run, stored))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await stored

    async def _write(self) -> None:
        while self._ends:
            if len(self._here) > len(self._ends):
                await asyncio.sleep(GATHER)  # others may end by then; a transaction costs as much as several rows
            batch, self._ends = self._ends[:AT_ONCE], self._ends[AT_ONCE:]
            try:
                known = await asyncio.to_thread(self._keep, batch)
            except Exception as error:  # each of them is told
                for end in batch:
                    if not end.stored.done():
                        end.stored.set_exception(error)
            else:
                for end in batch:
                    if not end.stored.done():
                        end.stored.set_result(end.run.id not in known)
        self._writing = None

    def _keep(self, batch: list[_End]) -> set[str]:
        with launching.explained():
            return self._engine.process.rows.keep([end.run for end in batch])

    def _ended(self, job: Job, record: RunRecord, contents: Contents | None) -> EndedRun:
        """What is stored; texts are sealed where contents are, which blocks."""
        output: dict[str, Any] = {"run": record}
        if contents is not None:
            output = {"run": without_content(record), "content": closed(record, contents)}
        return EndedRun.of(record.id, job.created, job.stored(contents), output)

    async def stop(self, grace: float) -> None:
        """Let runs under way end for so many seconds, then give them up; and store the ends."""
        if self._here:
            await asyncio.wait([*self._here.values()], timeout=grace)
        left = [*self._here.values()]
        for running in left:
            running.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._writing is not None:
            self._engine.process.rows.stop_waiting()
            await asyncio.wait([self._writing])


class _Doing:
    """One run."""

    def __init__(self, engine: Engine, id: str, flow: Flow, job: Job) -> None:
        self.id, self.flow, self.job = id, flow, job
        self._engine = engine

    async def to_end(self) -> RunRecord:
        """Walk; a step that fails is in the record."""
        job = self.job
        begun = Begun(self.id, job.event, job.inputs, {"id": None, "assistant": None, "messages": []})
        walked = await walk(self.flow, begun, self._context, self._call)
        return RunRecord(
            id=self.id,
            flow=job.flow,
            version=job.version,
            state="failed" if walked.error else "done",
            event=job.event,
            inputs=job.inputs,
            steps=walked.steps,
            outputs=walked.outputs,
            error=walked.error,
            created=job.created,
            ended=time.time(),
        )

    async def _call(self, work: Work) -> StepRecord:
        record = self.job.reused.get(work.name) or await work.do()
        self._engine.tell(self.id, record)
        return record

    def _context(self, name: str) -> Context:
        return StepContext(self._engine.context, self, name, self._engine.listening.get(self.id))

    async def sleep(self, seconds: float) -> None:
        raise _needs_durable("wait")

    async def run_flow(self, key: str, name: str, inputs: Mapping[str, Any]) -> Any:
        raise _needs_durable("call another flow")


def _needs_durable(what: str) -> InvalidInput:
    return InvalidInput(f"A run that is not durable cannot {what}.", hint="Leave `durable: false` out of the flow.")
