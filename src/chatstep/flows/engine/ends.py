"""Ends: what is written of a run that was done without DBOS, and kept whole when it had ended.

Its row is like those that DBOS leaves, so that it is found, shown, listed, run again and forgotten as they are.
"""

from __future__ import annotations

import importlib
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from chatstep.flows.engine.launching import APPLICATION, VERSION, WORKFLOW, serializer

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["EndedRun", "Ends"]


class EndedRun(NamedTuple):
    """A run: when it was begun (unix seconds), with what, and what came of it, as they are stored."""

    id: str
    created: float
    inputs: str
    output: str

    @classmethod
    def of(cls, id: str, created: float, job: dict[str, Any], output: dict[str, Any]) -> EndedRun:
        """From what DBOS would be given."""
        inputs = {"args": [job], "kwargs": {}}
        return cls(id, created, *(msgspec.json.encode(value).decode() for value in (inputs, output)))


class Ends:
    """Writes such rows into DBOS's table. Its calls block."""

    def __init__(self, sysdb: Any) -> None:
        import sqlalchemy as sa

        self._engine: sa.Engine = sysdb.engine
        table = sysdb.tables.workflow_status
        insert: Any = importlib.import_module(f"sqlalchemy.dialects.{self._engine.dialect.name}").insert
        row: dict[str, Any] = {name: sa.bindparam(name) for name in ("inputs", "output")}
        row |= {
            "workflow_uuid": sa.bindparam("id"),
            "created_at": sa.bindparam("created"),
            "updated_at": sa.bindparam("now"),
            "completed_at": sa.bindparam("now"),
            "creator_xid": sa.bindparam("batch"),
        }
        always = {"status": "SUCCESS", "name": WORKFLOW, "recovery_attempts": 1, "priority": 0}
        always |= {
            "application_name": APPLICATION,
            "application_version": VERSION,
            "serialization": serializer().name(),
        }
        self._insert = insert(table).values(**row, **always).on_conflict_do_nothing()
        self._insert = self._insert.execution_options(preserve_rowcount=True)
        found = table.c.workflow_uuid.in_(sa.bindparam("runs", expanding=True))
        self._stored = sa.select(table.c.workflow_uuid).where(found, table.c.creator_xid == sa.bindparam("batch"))

    def keep(self, ended: list[EndedRun]) -> set[str]:
        """Store them in one transaction; the ids of those that were there already and are left as they were."""
        now, batch = int(time.time() * 1000), uuid.uuid4().hex
        rows = [
            {
                "id": run.id,
                "created": int(run.created * 1000),
                "inputs": run.inputs,
                "output": run.output,
                "now": now,
                "batch": batch,
            }
            for run in ended
        ]
        with self._engine.begin() as connection:
            if connection.execute(self._insert, rows).rowcount == len(rows):
                return set()
            ids = [run.id for run in ended]
            return set(ids) - set(connection.scalars(self._stored, {"runs": ids, "batch": batch}))
