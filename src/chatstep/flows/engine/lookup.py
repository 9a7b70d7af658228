"""Lookup: finds runs, lists them, stops them and calls them back.

Everything here blocks; the engine calls it in threads.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from chatstep.errors import InvalidInput
from chatstep.flows.engine.job import Job
from chatstep.flows.engine.rows import FINISHED, Position, Rows, Wanted
from chatstep.flows.engine.shown import STATES, full, job_of, shown
from chatstep.flows.records import RunRecord
from chatstep.registry import unknown
from chatstep.store import Contents

if TYPE_CHECKING:
    from dbos import WorkflowStatus

__all__ = ["Lookup", "Page"]

AT_ONCE = 500


class Page(NamedTuple):
    """Some runs, and the position of the last one where there may be more."""

    runs: list[RunRecord]
    next: Position | None


class Lookup:
    """The runs in a database."""

    def __init__(self, rows: Rows, contents: Contents) -> None:
        self._rows, self._contents = rows, contents

    def show(self, id: str) -> RunRecord:
        """A run by its id or its beginning, without content where the flow says so. Raises UnknownName."""
        return self._record(self._row(id), shown)

    def whole(self, id: str) -> RunRecord:
        """A run with all that it kept."""
        return self._record(self._row(id), full)

    def has_ended(self, id: str) -> bool:
        """Whether the run with this whole id has ended. Raises UnknownName."""
        row = self._rows.find(id, content=False)
        if row is None:
            raise _unknown(id)
        return row.status in FINISHED

    def page(self, wanted: Wanted, limit: int, after: Position | None = None) -> Page:
        """Runs behind a position, the newest first. Raises UnknownName for a state that there is not."""
        state = wanted.state
        if state is not None and state not in STATES:
            raise unknown("state", state, STATES, place="state")
        found: list[RunRecord] = []
        while True:
            rows = self._rows.page(wanted, STATES[state] if state else None, limit, after)
            for place, row in rows:
                record = self._record(row, shown)
                if state is None or record.state == state:
                    found.append(record)
                    if len(found) == limit:
                        return Page(found, place)
            if len(rows) < limit:
                return Page(found, None)
            after = rows[-1][0]

    def cancel(self, id: str) -> str:
        """Stop a run; its whole id. Raises InvalidInput when it has ended."""
        row = self._row(id)
        if row.status in FINISHED:
            raise InvalidInput("The run has ended already.", place=id, hint=f"See: chatstep flow show {id}")
        self._rows.cancel(row.workflow_id)
        return row.workflow_id

    def resume(self, id: str) -> str:
        """Let a run go on; its whole id. Raises InvalidInput unless it was cancelled or given up."""
        row = self._row(id)
        if row.status not in ("CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
            raise InvalidInput(
                "Only a run that was cancelled or given up can be resumed.",
                place=id,
                hint=f"To run it anew: chatstep flow rerun {id}",
            )
        self._rows.resume(row.workflow_id, in_queue=job_of(row, self._contents).queued)
        return row.workflow_id

    def again(self, id: str) -> tuple[RunRecord, Job]:
        """What is needed to run it once more. Raises UnknownName."""
        row = self._row(id)
        return self._record(row, full), job_of(row, self._contents)

    def forget(self, days: float) -> int:
        """Delete runs that ended so many days ago or longer, and say how many those were."""
        before = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat()
        count = 0
        while found := self._rows.finished_before(before, AT_ONCE):
            self._rows.delete(found)
            count += len(found)
        return count

    def _row(self, id: str) -> WorkflowStatus:
        """The row of a run that is named by its id or the beginning of it."""
        row = self._rows.find(id)
        if row is None and "." in id:
            found = self._rows.named(id)
            if len(found) > 1:
                raise InvalidInput("Several runs begin so.", place=id, hint="Write more of the id.")
            row = self._rows.find(found[0]) if found else None
        if row is None:
            raise _unknown(id)
        return row

    def _record(self, row: WorkflowStatus, view: Callable[..., RunRecord]) -> RunRecord:
        steps: dict[int, Any] = {} if row.status == "SUCCESS" else self._rows.steps(row.workflow_id)
        return view(row, steps, self._contents)


def _unknown(id: str) -> Exception:
    error = unknown("run", id[:80], [], place="run")
    error.details["hint"] = "List them: chatstep flow runs"
    return error
