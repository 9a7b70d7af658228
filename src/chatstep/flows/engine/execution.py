"""One run under way: what DBOS calls, first when the run begins and again after each crash.

The walk hands each step to `Execution.call`. What a step got from the outside is kept before the next one begins, save
for a last step: the end of the run keeps that. Whatever is kept is never asked for again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from chatstep.errors import ChatstepError, StepError, from_data
from chatstep.flows.definition import Flow
from chatstep.flows.engine.context import StepContext
from chatstep.flows.engine.job import Job, run_id
from chatstep.flows.engine.sealing import closed, opened, without_content
from chatstep.flows.records import RunRecord, StepRecord
from chatstep.flows.walk import Begun, Interrupted, Walked, Work, walk
from chatstep.message import Message
from chatstep.step import Context

if TYPE_CHECKING:
    from chatstep.flows.engine.engine import Engine

__all__ = ["Execution"]

_log = logging.getLogger("chatstep.engine")

MOST_MESSAGES = 5_000
"""How many of the newest messages of a conversation a flow sees."""


class Execution:
    """``fresh`` says that this is certainly the first time."""

    def __init__(self, engine: Engine, id: str, stored: dict[str, Any], *, fresh: bool) -> None:
        self._engine, self._process, self._store = engine, engine.process, engine.store
        self._rows = engine.process.rows
        self.id = id
        self.stored = stored
        self.fresh = fresh
        self._recorded: dict[int, Any] = {}
        self._again = False
        self._attempts = 1
        self.job: Job
        self.flow: Flow
        self.record: RunRecord | None = None
        """The whole record, once there is one."""

    async def to_end(self) -> Any:
        """Do the run; what is returned is what DBOS keeps. Raises CancelledError when it is left to somebody else.

        Anything else that is raised is a defect of the engine, and DBOS keeps that the run failed by it.
        """
        try:
            return await self._done()
        except Interrupted as interruption:
            if interruption.cause is None:
                raise asyncio.CancelledError(str(interruption)) from None
            failure = interruption.cause
        except Exception as error:
            failure = error
        _log.error("The engine failed at run %s (%s).", self.id, type(failure).__name__)
        raise failure

    async def _done(self) -> Any:
        self.job = await self._opened_job()
        self.flow = await self._engine.version(self.job.flow, self.job.version)
        if not self.fresh:
            await self._look_back()
        newer = await self._newer() if self._waits else None
        if newer is not None:
            into = run_id(self.flow, replace(self.job.event, id=newer))
            return await self._ended(self._record(state="merged", merged_into=into))
        begun = Begun(self.id, self.job.event, self.job.inputs, await self._conversation())
        walked = await walk(self.flow, begun, self._context, self._call)
        state = "failed" if walked.error else "done"
        record = self._record(state=state, steps=walked.steps, outputs=walked.outputs, error=walked.error)
        await self._reply(walked)
        return await self._ended(record)

    async def _opened_job(self) -> Job:
        if "$sealed" in self.stored["content"]:
            return await asyncio.to_thread(Job.read, self.stored, self._store.contents)
        return Job.read(self.stored, self._store.contents)

    @property
    def _waits(self) -> bool:
        return self.job.queued and self.flow.conversation is not None and self.flow.conversation.debounce > 0

    async def _look_back(self) -> None:
        """What earlier attempts left behind; an attempt is not told from the first one until it is asked."""
        rows = self._rows
        beginning = await asyncio.to_thread(rows.beginning, self.id)
        if beginning.rival:
            await asyncio.to_thread(rows.hand_over, self.id, self._process.executor)
            raise Interrupted("Another run of the conversation came first.")
        self._attempts = beginning.attempts
        self._again = beginning.cut
        if beginning.kept:
            self._recorded = await asyncio.to_thread(rows.steps, self.id)

    async def _newer(self) -> str | None:
        """The message that is answered instead of this one. It is decided once, since later ones may come."""
        step = self._next()
        if step in self._recorded:
            known: str | None = self._recorded[step]["output"]
            return known
        job = self.job
        newer = await asyncio.to_thread(self._store.conversations.newer, job.conversation or "", job.number)
        await self._keep(step, "newer", newer, time.time())
        return newer

    async def _conversation(self) -> Mapping[str, Any]:
        job, part = self.job, self.flow.conversation
        messages: list[Any] = []
        if job.conversation is not None and part is not None and "messages" in self.flow.source:
            found = await asyncio.to_thread(
                self._store.conversations.before, job.conversation, job.number, MOST_MESSAGES
            )
            messages = msgspec.to_builtins(found)
        return {"id": job.conversation, "assistant": part.assistant if part else None, "messages": messages}

    async def _call(self, work: Work) -> StepRecord:
        if work.name in self.job.reused:
            return self._told(self.job.reused[work.name])
        self._process.check_open()
        if work.effect != "outside":
            return self._told(await work.do())
        step = self._next()
        if step in self._recorded:
            output = await asyncio.to_thread(opened, self._recorded[step]["output"], self._store.contents)
            return self._told(msgspec.convert(output, StepRecord))
        await self._process.heart.sure()
        record = await work.do()
        if self._again:
            record = replace(record, maybe_repeated=True)
            self._again = False
        if not work.last or self._replies:
            await self._keep(step, work.name, record, record.began)
        return self._told(record)

    @property
    def _replies(self) -> bool:
        return self.flow.conversation is not None and "message" in self.flow.outputs and bool(self.job.conversation)

    def _told(self, record: StepRecord) -> StepRecord:
        self._engine.tell(self.id, record)
        return record

    def _next(self) -> int:
        from dbos import DBOS

        return DBOS.reserve_step().step_id

    async def _keep(self, step: int, name: str, value: Any, began: float) -> None:
        stored = await self._closed(value)
        text = msgspec.json.encode(stored).decode()
        await guarded(asyncio.to_thread(self._rows.record, self.id, step, name, text, began))

    async def _closed(self, value: Any) -> Any:
        if self.flow.keep_content:
            return closed(value, None)
        return await asyncio.to_thread(closed, value, self._store.contents)

    def _record(self, **fields: Any) -> RunRecord:
        job = self.job
        return RunRecord(
            id=self.id,
            flow=job.flow,
            version=job.version,
            event=job.event,
            inputs=job.inputs,
            conversation=job.conversation,
            recovered=self._attempts - 1,
            created=job.created,
            ended=time.time(),
            **fields,
        )

    async def _ended(self, record: RunRecord) -> dict[str, Any]:
        self.record = record
        if self.flow.keep_content:
            return {"run": msgspec.to_builtins(record)}
        return {"run": msgspec.to_builtins(without_content(record)), "content": await self._closed(record)}

    async def _reply(self, walked: Walked) -> None:
        """Add the output ``message`` to the conversation; a second time changes nothing."""
        text, part = walked.outputs.get("message"), self.flow.conversation
        if not (self._replies and part is not None and isinstance(text, str) and text):
            return
        reply = Message(part.assistant, text, id=f"run:{self.id}", role="assistant", reply_to=self.job.event.id)
        await asyncio.to_thread(self._store.conversations.append, self.job.conversation or "", reply)

    def _context(self, name: str) -> Context:
        return StepContext(self._engine.context, self, name, self._engine.listening.get(self.id))

    async def sleep(self, seconds: float) -> None:
        """A wait that a crash does not begin anew. The process may stop meanwhile; the run then waits elsewhere."""
        from dbos import DBOS

        if seconds <= 0:  # a time that has passed, perhaps since the wait was begun
            DBOS.reserve_step()
            return
        sleeping = asyncio.ensure_future(guarded(DBOS.sleep_async(seconds)))
        await self._unless_closing(sleeping)
        await self._still_ours()

    async def run_flow(self, key: str, name: str, inputs: Mapping[str, Any]) -> Any:
        """Run another flow to its end, once for this key, and give its outputs."""
        id = await guarded(self._engine.start_called(self, key, name, inputs))
        waiting = asyncio.ensure_future(self._engine.wait(id))
        record = await self._unless_closing(waiting)
        if record.state != "done":
            error = from_data(record.error) if record.error else StepError(f"The run was {record.state}.")
            raise error.with_details(place=f"flow {name}")
        return record.outputs

    async def _unless_closing(self, waiting: asyncio.Future[Any]) -> Any:
        closing = asyncio.ensure_future(self._process.closing.wait())
        try:
            await asyncio.wait({waiting, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                self._process.check_open()
            return await waiting
        finally:
            for task in (waiting, closing):
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError, Interrupted):
                        await task

    async def _still_ours(self) -> None:
        """After a long time: somebody may have cancelled the run, or taken it over."""
        from dbos._context import get_local_dbos_context

        context = get_local_dbos_context()
        owner = await asyncio.to_thread(self._rows.owner, self.id)
        if context is None or owner != context.owner_xid:
            raise Interrupted("The run is not this execution's any more.")


async def guarded(waited: Awaitable[Any]) -> Any:
    """What DBOS gives; what it raises becomes an Interrupted, which no step takes for its own failure."""
    from dbos._error import DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError

    try:
        return await waited
    except (ChatstepError, asyncio.CancelledError):
        raise
    except (DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError):
        raise Interrupted("The run was cancelled, or is done elsewhere.") from None
    except Exception as error:
        raise Interrupted(str(type(error).__name__), error) from error
