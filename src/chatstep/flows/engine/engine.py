"""Engine: starts runs, waits for them, shows them and calls them back. The App opens one when it is first used.

Reading what ran needs no more than the database. The first start launches DBOS, which takes about a second; from then
on this process also takes up runs that wait, and those of processes that died.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import msgspec

from chatstep.errors import InvalidInput
from chatstep.expressions import evaluate
from chatstep.flows.definition import Flow
from chatstep.flows.durability import needs_durable
from chatstep.flows.engine import launching
from chatstep.flows.engine.execution import Execution
from chatstep.flows.engine.job import Job, run_id
from chatstep.flows.engine.lookup import Lookup, Page
from chatstep.flows.engine.process import Process
from chatstep.flows.engine.rows import Position, Rows, Wanted
from chatstep.flows.engine.saved import Saved
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow
from chatstep.flows.records import RunRecord, StepRecord
from chatstep.flows.walk import inputs_of
from chatstep.message import Author, Message
from chatstep.registry import steps, unknown
from chatstep.settings import Settings
from chatstep.step import Context, Listener
from chatstep.store import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Engine", "Started"]

MOST_EVENT = 10_000_000  # bytes of JSON

T = TypeVar("T")
Watcher = Callable[[str, StepRecord | RunRecord], None]


class Started(NamedTuple):
    """A run that was begun; ``new`` is False where the same event had begun it before."""

    id: str
    new: bool
    record: RunRecord | None = None
    """All of it, where the flow says ``durable: false``: it has ended then."""


class Engine:
    """Runs of flows in one data folder or database. All its methods are for the event loop of the App."""

    def __init__(self, settings: Settings, store: Store, context: Context) -> None:
        self._settings = settings
        self.store = store
        self.context = context
        self.process = Process(store, lambda id, stored, fresh: Execution(self, id, stored, fresh=fresh), self.tell)
        self.listeners: list[Watcher] = []
        """Told of each step that a run here has done, and of its end when that is stored."""
        self.listening: WeakValueDictionary[str, Listener] = WeakValueDictionary()
        """Who hears what runs say while they are done here, by the run's id; for as long as somebody holds it."""
        self._saved = Saved(self)
        self._opening = asyncio.Lock()
        self._database: sa.Engine | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._versions: dict[tuple[str, str], Flow] = {}

    @property
    def under_way(self) -> int:
        """How many runs are under way here."""
        return self.process.under_way + self._saved.under_way

    async def publish(self, flow: Flow) -> bool:
        """Make this version of a flow the one that new runs take; whether it was another before."""
        self._versions[flow.name, flow.version] = flow
        return await asyncio.to_thread(self.store.flows.publish, flow.name, flow.version, flow.source)

    async def current(self, name: str) -> Flow:
        """The published version; raises UnknownName."""
        published = await asyncio.to_thread(self.store.flows.current, name)
        return await self.version(name, published.version)

    async def version(self, name: str, version: str) -> Flow:
        """One version, also one that was replaced; raises UnknownName."""
        known = self._versions.get((name, version))
        if known is None:
            text = await asyncio.to_thread(self.store.flows.text, name, version)
            known = self._versions[name, version] = await asyncio.to_thread(read_flow, text)
        return known

    async def start(
        self,
        flow: str | Flow,
        event: Event,
        inputs: Mapping[str, Any] | None = None,
        *,
        first: bool = False,
        listener: Listener | None = None,
    ) -> Started:
        """Begin a run of the published version, or of a Flow. When this returns, the run is stored and will be done.

        A run that is not durable is stored when it has ended, so this returns then. The same event (flow, type and id)
        again gives the same run; ``first`` says that its id was made up just now. ``listener`` hears the step that
        writes the flow's output `message` (see `chatstep.flows.speaking`), if it is done in this process and nobody
        hears it yet. Raises UnknownName, InvalidInput; Busy when a run that is not durable is given up.
        """
        if isinstance(flow, str):
            flow = await self.current(flow)
        durable = self._is_durable(flow)
        await (self.launch() if durable else self._open())
        job = await self._job(flow, event, inputs_of(flow, inputs or {}))
        id = run_id(flow, event)
        if listener is not None:
            self.listening.setdefault(id, listener)
        if not durable:
            record, new = await self._saved.run(id, flow, job, first=first)
            return Started(id, new, record)
        if not job.queued:
            return Started(id, await self._begin(id, flow, job))
        assert job.conversation is not None
        turn = self._turns.setdefault(job.conversation, asyncio.Lock())
        async with turn:  # numbered and enqueued in one order
            return Started(id, await self._begin(id, flow, await self._numbered(flow, job)))

    def _is_durable(self, flow: Flow) -> bool:
        """What needs to survive a crash does so, also in a flow that nobody has checked."""
        return flow.durable or next(needs_durable(flow), None) is not None

    async def _job(self, flow: Flow, event: Event, inputs: dict[str, Any]) -> Job:
        if len(msgspec.json.encode((event, inputs))) > MOST_EVENT:
            raise InvalidInput(
                f"The event is larger than {MOST_EVENT // 1_000_000} MB.",
                place=f"flow {flow.name}",
                hint="Send a link to the data instead.",
            )
        job = Job(flow=flow.name, version=flow.version, event=event, inputs=inputs, created=time.time())
        if flow.conversation is None:
            return job
        trigger = {name: msgspec.to_builtins(getattr(event, name)) for name in event.__struct_fields__}
        found = evaluate(flow.conversation.id, {"trigger": trigger, "inputs": inputs})
        if found is None or found == "":
            return job
        if not isinstance(found, (str, int)) or isinstance(found, bool) or not 0 < len(str(found)) <= 200:
            raise InvalidInput("The conversation's id is not text of 1 to 200 characters.", place="conversation.id")
        return msgspec.structs.replace(job, conversation=str(found), queued=True)

    async def _numbered(self, flow: Flow, job: Job) -> Job:
        """Store the incoming message, whose number gives the run its turn."""
        part, event = flow.conversation, job.event
        assert part is not None
        who = event.author or Author("user")
        id = event.id if event.text else None
        message = Message(who, event.text, id=id, time=event.time or None)
        receive = self.store.conversations.receive
        number = await asyncio.to_thread(receive, job.conversation or "", message, part.assistant)
        return msgspec.structs.replace(job, number=number)

    async def _begin(self, id: str, flow: Flow, job: Job) -> bool:
        """Store the run: at once under way, or in the queue of its conversation. Whether it is new."""
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID
        from dbos._error import DBOSWorkflowIDInUseError

        stored = await self._stored(flow, job)
        delay = flow.conversation.debounce if flow.conversation and job.queued else 0
        turn = SetEnqueueOptions(
            priority=job.number or None, queue_partition_key=job.conversation, delay_seconds=delay or None
        )
        with launching.explained():
            try:
                with SetWorkflowID(id, workflow_id_reuse_policy="reject"):
                    if not job.queued:
                        self.process.expect(id)
                        await DBOS.start_workflow_async(launching.workflow(), stored)
                        return True
                    with turn:
                        await DBOS.enqueue_workflow_async(launching.QUEUE, launching.workflow(), stored)
            except DBOSWorkflowIDInUseError:
                self.process.expect(id, begun=False)
                return False
        self.process.kick()
        return True

    async def _stored(self, flow: Flow, job: Job) -> dict[str, Any]:
        if flow.keep_content:
            return job.stored(None)
        return await asyncio.to_thread(job.stored, self.store.contents)

    async def start_called(self, caller: Execution, key: str, name: str, inputs: Mapping[str, Any]) -> str:
        """Begin the run that another run calls, once per key; it has its caller's turn in a conversation."""
        from dbos import DBOS, SetWorkflowID

        event = Event(type="call", id=key, time=_iso(time.time()))
        id = run_id(name, event)
        if not caller.fresh and await asyncio.to_thread(self.process.rows.find, id, content=False) is not None:
            DBOS.reserve_step()  # the number that beginning it took
            return id
        flow = await self.current(name)
        job = Job(
            flow=flow.name,
            version=flow.version,
            event=event,
            inputs=inputs_of(flow, inputs),
            conversation=caller.job.conversation,
            number=caller.job.number,
            depth=caller.job.depth + 1,
            created=time.time(),
        )
        job.check_depth()
        stored = await self._stored(flow, job)
        self.process.expect(id)
        with SetWorkflowID(id):
            await DBOS.start_workflow_async(launching.workflow(), stored)
        return id

    async def wait(self, id: str) -> RunRecord:
        """The whole record of a run when it has ended, wherever it is done."""
        lookup = await self._lookup()
        pause = 1.0 if self.process.has(id) else 0.05
        with self.process.waiting(id) as waiting:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=pause)
                if done:  # it was done here, and is stored
                    return waiting.result()
                if await self._ask(lookup.has_ended, id):
                    return await self._ask(lookup.whole, id)
                pause = min(pause * 2, 1.0)

    async def show(self, id: str) -> RunRecord:
        """A run by its id or its beginning, without content where the flow says so. Raises UnknownName."""
        return await self._ask((await self._lookup()).show, id)

    async def runs(self, *, flow: str | None = None, state: str | None = None, limit: int = 50) -> list[RunRecord]:
        """Runs, the newest first. Raises UnknownName for a state that there is not."""
        return (await self.page(Wanted(flow, state), limit)).runs

    async def page(self, wanted: Wanted, limit: int, after: Position | None = None) -> Page:
        """Runs behind a position, which the page before gave, the newest first. Raises as `runs` does."""
        return await self._ask((await self._lookup()).page, wanted, limit, after)

    async def changed(self, since: int) -> list[Position]:
        """When runs changed their state since then (unix ms), and their ids; in that order."""
        await self._lookup()
        return await self._ask(self.process.rows.changed, since)

    async def unfinished(self) -> dict[str, int]:
        """How many runs are queued, waiting and running, in all processes together."""
        await self._lookup()
        return await self._ask(self.process.rows.unfinished)

    async def cancel(self, id: str) -> str:
        """Stop a run before its next step, or before it begins; its whole id. InvalidInput when it has ended."""
        return await self._ask((await self._lookup()).cancel, id)

    async def forget(self, days: float) -> int:
        """Delete runs that ended so many days ago or longer, and say how many those were."""
        return await self._ask((await self._lookup()).forget, days)

    async def resume(self, id: str) -> str:
        """Let a run go on that was cancelled or given up; its whole id. Raises InvalidInput for any other."""
        await self.launch()
        id = await self._ask((await self._lookup()).resume, id)
        self.process.kick()
        return id

    async def rerun(self, id: str, after: str | None = None) -> str:
        """Begin a new run with the event and inputs of an old one, on the version published now; its id.

        With ``after``, the id of a step, what the steps before it gave is taken over instead of running them again.
        Raises UnknownName for an unknown run or step.
        """
        await self.launch()
        old, job = await self._ask((await self._lookup()).again, id)
        flow = await self.current(old.flow)
        reused = _records_before(flow, after, old) if after is not None else {}
        new = f"{old.flow}.{secrets.token_hex(12)}"
        changed = {"version": flow.version, "reused": reused, "created": time.time(), "depth": 0}
        job = msgspec.structs.replace(job, **changed)
        if self._is_durable(flow):
            await self._begin(new, flow, job)
        else:
            job = msgspec.structs.replace(job, conversation=None, number=0, queued=False)
            await self._saved.run(new, flow, job, first=True)
        return new

    async def launch(self) -> None:
        """Begin to do runs in this process."""
        async with self._opening:
            self.process.check_open()
            if not self.process.launched:
                database = await self._opened_database()
                await asyncio.to_thread(steps)  # imports all modules, the first time
                with launching.explained():
                    await self.process.launch(database)
                self._keep_tidy()

    async def _open(self) -> None:
        """Be ready for runs that are not durable; DBOS need not be launched for them."""
        if self._tidying is None:
            await asyncio.to_thread(steps)
            await self._lookup()
            self._keep_tidy()

    async def close(self) -> None:
        """Let steps under way finish, give back what is not done, and stop."""
        self.process.closing.set()
        async with self._opening:
            if self._tidying is not None:
                self._tidying.cancel()
                await asyncio.gather(self._tidying, return_exceptions=True)
            await asyncio.gather(self._saved.stop(self.process.grace), self.process.stop())
            if self._database is not None:
                await asyncio.to_thread(self._database.dispose)

    def tell(self, id: str, record: StepRecord | RunRecord) -> None:
        """Tell listeners of a step that was done, or of a run that has ended."""
        for listener in self.listeners:
            listener(id, record)

    async def _lookup(self) -> Lookup:
        async with self._opening:
            if not hasattr(self.process, "rows"):
                self.process.rows = await self._ask(Rows.read, await self._opened_database())
        return Lookup(self.process.rows, self.store.contents)

    async def _ask(self, work: Callable[..., T], *args: Any) -> T:
        with launching.explained():
            return await asyncio.to_thread(work, *args)

    async def _opened_database(self) -> sa.Engine:
        if self._database is None:
            home, url = self._settings.home, self._settings.store
            self._database = await asyncio.to_thread(launching.open_database, home, url)
        return self._database

    def _keep_tidy(self) -> None:
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().create_task(self._tidy())

    async def _tidy(self) -> None:
        """Delete runs that are older than the setting says, now and every hour."""
        days = self._settings.retention_days
        while days is not None:
            with suppress(Exception):  # it is tried again, and nobody waits for it
                await self.forget(days)
            await asyncio.sleep(3600)


def _records_before(flow: Flow, step: str, old: RunRecord) -> dict[str, StepRecord]:
    ids = [part.id for part in flow.steps]
    if step not in ids:
        raise unknown("step", step, ids, place=f"flow {flow.name}")
    earlier = set(ids[: ids.index(step)])
    return {record.id: record for record in old.steps if record.id.partition("[")[0] in earlier}


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
