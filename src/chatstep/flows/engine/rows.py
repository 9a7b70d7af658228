"""Rows: what is asked of DBOS's tables. With `ends`, the files that lean on what DBOS keeps to itself.

All of it blocks. Writing waits while the disk is full or the database away: what a step did is held until it is kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from chatstep.flows.engine.ends import EndedRun, Ends
from chatstep.flows.engine.launching import APPLICATION, QUEUE, SCHEMA, VERSION, serializer

if TYPE_CHECKING:
    import sqlalchemy as sa
    from dbos import DBOS, WorkflowStatus

__all__ = ["Position", "Rows", "Wanted"]

FINISHED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
UNFINISHED = {"ENQUEUED": "queued", "DELAYED": "waiting", "PENDING": "running"}
"""DBOS's words and ours for runs that have not ended."""
_RESUMED, _CLEAN = "resumed", "handed_over_at"
_WEEK = 7 * 86_400_000
Position = tuple[int, str]
"""Where a run stands among others: unix ms, and its id."""
_T = TypeVar("_T")
_log = logging.getLogger("chatstep.engine")


class Wanted(NamedTuple):
    """Which runs are wanted: those for which all that is said holds. Times are when they were begun, in unix ms."""

    flow: str | None = None
    state: str | None = None
    conversation: str | None = None
    since: int | None = None
    until: int | None = None


class Beginning(NamedTuple):
    """``attempts`` counts how often it was begun, less the times that it was handed over in good order.

    ``cut`` says that the attempt before this one may have ended in the middle of a step; ``rival`` that an earlier run
    of its conversation is under way too; ``kept`` that results of steps are there.
    """

    attempts: int
    cut: bool
    rival: bool
    kept: bool


class Rows:
    """DBOS's tables in one database."""

    def __init__(self, sysdb: Any) -> None:
        self._sysdb = sysdb
        self._closing = threading.Event()

    @classmethod
    def of(cls, dbos: DBOS, ended: Callable[[str, bool], object]) -> Rows:
        """Those of a DBOS that runs here. ``ended`` is told of each run that ended, and whether that was stored."""
        sysdb: Any = dbos._sys_db
        rows = cls(sysdb)
        write = rows._patiently(sysdb.update_workflow_outcome)

        def written(run: str, *args: Any, **kwargs: Any) -> bool:
            stored: bool = write(run, *args, **kwargs)
            ended(run, stored)
            return stored

        sysdb.update_workflow_outcome = written
        return rows

    @classmethod
    def read(cls, database: sa.Engine) -> Rows:
        """Those of a database in which nothing is run from here."""
        from dbos import DBOSClient

        client = DBOSClient(
            system_database_engine=database,
            dbos_system_schema=SCHEMA,
            serializer=serializer(),
            application_name=APPLICATION,
            lazy=True,
        )
        client._sys_db.run_migrations()
        return cls(client._sys_db)

    def stop_waiting(self) -> None:
        """Let writes that wait for the disk fail."""
        self._closing.set()

    def record(self, run: str, step: int, name: str, output: str, began: float) -> None:
        """Keep the result of a step. Raises DBOS's error when the run is not this execution's any more."""
        self._patiently(self._sysdb.record_operation_result)(
            {
                "workflow_uuid": run,
                "function_id": step,
                "function_name": name,
                "output": output,
                "error": None,
                "serialization": serializer().name(),
                "started_at_epoch_ms": int(began * 1000),
                "child_workflow_id": None,
            }
        )

    def keep(self, ended: list[EndedRun]) -> set[str]:
        """Store runs that were done without DBOS; the ids of those that were there already."""
        return self._patiently(self._ends.keep)(ended)

    @cached_property
    def _ends(self) -> Ends:
        return Ends(self._sysdb)

    def steps(self, run: str) -> dict[int, Any]:
        """What is kept of a run's steps, by DBOS's number of the step."""
        return {step["function_id"]: step for step in self._sysdb.list_workflow_steps(run)}

    def owner(self, run: str) -> str | None:
        """Which execution the run belongs to."""
        owner: str | None = self._sysdb.get_workflow_owner(run)
        return owner

    def beginning(self, run: str) -> Beginning:
        """What is known of a run that DBOS began here."""
        with self._sysdb.engine.connect() as connection:
            attempts, attributes, earlier, kept = connection.execute(self._beginning, {"run": run}).one()
        attempts, attributes = attempts or 1, attributes or {}
        cut = (attempts > 1 or bool(attributes.get(_RESUMED))) and attributes.get(_CLEAN) != attempts - 1
        return Beginning(attempts, cut, bool(earlier), bool(kept))

    @cached_property
    def _beginning(self) -> sa.Select[Any]:
        """The query for `beginning`, made once."""
        import sqlalchemy as sa

        own, steps = self._sysdb.tables.workflow_status, self._sysdb.tables.operation_outputs
        other = own.alias()
        # Two that were enqueued at once, the later one first, may both have been let in.
        rival = sa.exists().where(
            other.c.queue_name == own.c.queue_name,
            other.c.status == "PENDING",
            other.c.queue_partition_key == own.c.queue_partition_key,
            sa.or_(
                other.c.priority < own.c.priority,
                sa.and_(other.c.priority == own.c.priority, other.c.workflow_uuid < own.c.workflow_uuid),
            ),
        )
        kept = sa.exists().where(steps.c.workflow_uuid == own.c.workflow_uuid)
        query = sa.select(own.c.recovery_attempts, own.c.attributes, rival, kept)
        return query.where(own.c.workflow_uuid == sa.bindparam("run"))

    def hand_over(self, run: str, executor: str) -> None:
        """Let a run of this process, which is between two steps, be taken up by any.

        To begin it again is no recovery then: a run may have only so many, and nothing of it may have been done twice.
        """
        import sqlalchemy as sa

        table = self._sysdb.tables.workflow_status
        ours = sa.and_(table.c.workflow_uuid == run, table.c.status == "PENDING", table.c.executor_id == executor)
        with self._sysdb.engine.begin() as connection:
            found = connection.execute(sa.select(table.c.recovery_attempts, table.c.attributes).where(ours)).first()
            if found is None:
                return
            before = (found[0] or 1) - 1
            attributes = {**(found[1] or {}), _CLEAN: before}
            connection.execute(sa.update(table).where(ours).values(recovery_attempts=before, attributes=attributes))
        self.give_back(run, executor)

    def give_back(self, run: str, executor: str) -> bool:
        """Let a run that this process had begun be taken up by any; whether it was still that process's."""
        return bool(self._sysdb.reenqueue_for_recovery(run, [executor], "_dbos_internal_queue"))

    def pending(self, executor: str) -> list[str]:
        """The runs that a process has begun and not ended."""
        return [found.workflow_id for found in self._sysdb.get_pending_workflows(executor, VERSION)]

    def executors(self) -> set[str]:
        """The processes that have begun runs and not ended them."""
        import sqlalchemy as sa

        table = self._sysdb.tables.workflow_status
        query = sa.select(table.c.executor_id).distinct().where(table.c.status == "PENDING")
        with self._sysdb.engine.begin() as connection:
            return {executor for (executor,) in connection.execute(query).all() if executor}

    def find(self, run: str, *, content: bool = True) -> WorkflowStatus | None:
        """One run."""
        found = self._sysdb.list_workflows(workflow_ids=[run], load_input=content, load_output=content)
        return found[0] if found else None

    def named(self, prefix: str) -> list[str]:
        """The ids that begin so; at most three."""
        found = self._sysdb.list_workflows(
            workflow_id_prefix=prefix, limit=3, load_input=False, load_output=False, sort_desc=True
        )
        return [each.workflow_id for each in found]

    def page(
        self, wanted: Wanted, states: list[str] | None, limit: int, after: Position | None
    ) -> list[tuple[Position, WorkflowStatus]]:
        """Runs behind a position, the newest first, each with its own position. ``states`` are DBOS's words."""
        import sqlalchemy as sa

        table = self._sysdb.tables.workflow_status
        query = sa.select(table.c.created_at, table.c.workflow_uuid)
        if wanted.flow is not None:
            query = query.where(table.c.workflow_uuid.startswith(f"{wanted.flow}.", autoescape=True))
        if wanted.conversation is not None:
            query = query.where(table.c.queue_partition_key == wanted.conversation)
        if wanted.since is not None:
            query = query.where(table.c.created_at >= wanted.since)
        if wanted.until is not None:
            query = query.where(table.c.created_at < wanted.until)
        if states is not None:
            query = query.where(table.c.status.in_(states))
        if after is not None:
            query = query.where(sa.tuple_(table.c.created_at, table.c.workflow_uuid) < sa.tuple_(*after))
        query = query.order_by(table.c.created_at.desc(), table.c.workflow_uuid.desc()).limit(limit)
        with self._sysdb.engine.connect() as connection:
            places = [(created, id) for created, id in connection.execute(query)]
        found = {row.workflow_id: row for row in self._sysdb.list_workflows(workflow_ids=[id for _, id in places])}
        return [(place, found[place[1]]) for place in places if place[1] in found]

    def changed(self, since: int) -> list[Position]:
        """When runs of the last week changed their state since then (unix ms), and their ids; in that order."""
        import sqlalchemy as sa

        table = self._sysdb.tables.workflow_status
        query = sa.select(table.c.updated_at, table.c.workflow_uuid).where(
            table.c.created_at >= since - _WEEK, table.c.updated_at >= since
        )
        with self._sysdb.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.updated_at, table.c.workflow_uuid))
            return [(changed, id) for changed, id in rows]

    def unfinished(self) -> dict[str, int]:
        """How many runs are queued, waiting for a time, and running."""
        import sqlalchemy as sa

        table = self._sysdb.tables.workflow_status
        query = sa.select(table.c.status, sa.func.count()).where(table.c.status.in_(UNFINISHED))
        with self._sysdb.engine.connect() as connection:
            counts = {row[0]: row[1] for row in connection.execute(query.group_by(table.c.status))}
        return {word: counts.get(status, 0) for status, word in UNFINISHED.items()}

    def finished_before(self, time: str, limit: int) -> list[str]:
        """Ids of runs that ended before a time in ISO 8601."""
        found = self._sysdb.list_workflows(
            status=list(FINISHED), completed_before=time, limit=limit, load_input=False, load_output=False
        )
        return [each.workflow_id for each in found]

    def delete(self, runs: list[str]) -> None:
        """Delete runs with all that is kept of them."""
        self._sysdb.delete_workflows(runs)

    def cancel(self, run: str) -> None:
        """Cancel a run and those it called."""
        self._sysdb.cancel_workflows([run], cancel_children=True)

    def resume(self, run: str, *, in_queue: bool) -> None:
        """Let a cancelled run go on."""
        self._sysdb.update_workflow_attributes(run, {_RESUMED: True})
        self._sysdb.resume_workflows([run], queue_name=QUEUE if in_queue else None)

    def claim(self, queue: Any, executor: str, most: int, owner: str) -> list[Any]:
        """Take the next run of each conversation that rests, as DBOS's own poll of the queue does."""
        ids = self._sysdb.start_queued_partitioned_workflows(queue, executor, VERSION, most, owner_xid=owner)
        return list(self._sysdb.get_workflow_statuses(ids)) if ids else []

    def _patiently(self, write: Callable[..., _T]) -> Callable[..., _T]:
        import sqlalchemy as sa

        passing = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)

        def written(*args: Any, **kwargs: Any) -> _T:
            told, pause = False, 0.25
            while True:
                try:
                    return write(*args, **kwargs)
                except passing:
                    if self._closing.is_set():
                        raise
                    if not told:
                        told = True
                        _log.warning("The database of runs cannot be written; what runs did is held until it can.")
                self._closing.wait(pause)
                pause = min(pause * 2, 5.0)

        return written
