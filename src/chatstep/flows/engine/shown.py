"""Runs as people see them: DBOS's rows become RunRecords, of whatever state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import convert

from chatstep.flows.engine.job import Job
from chatstep.flows.engine.sealing import opened, without_content
from chatstep.flows.records import RunRecord, RunState, StepRecord
from chatstep.store import Contents

if TYPE_CHECKING:
    from dbos import WorkflowStatus

__all__ = ["STATES", "full", "job_of", "shown"]

STATES: dict[str, list[str]] = {
    "queued": ["ENQUEUED"],
    "waiting": ["DELAYED", "PENDING"],
    "running": ["PENDING"],
    "done": ["SUCCESS"],
    "failed": ["SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
    "cancelled": ["CANCELLED"],
    "merged": ["SUCCESS"],
}
"""Which of DBOS's states a run may have that is in one of ours."""
_UNFINISHED: dict[str, RunState] = {
    "ENQUEUED": "queued",
    "DELAYED": "waiting",
    "PENDING": "running",
    "CANCELLED": "cancelled",
}


def full(row: WorkflowStatus, steps: dict[int, Any], contents: Contents) -> RunRecord:
    """The whole record, opened where it was sealed. ``steps`` is what is kept of steps while a run has not ended."""
    if row.status == "SUCCESS" and isinstance(row.output, dict):
        stored = opened(row.output["content"], contents) if "content" in row.output else row.output["run"]
        return convert(stored, RunRecord)
    return _unfinished(row, steps, job_of(row, contents), contents)


def shown(row: WorkflowStatus, steps: dict[int, Any], contents: Contents) -> RunRecord:
    """The record as it may be shown: without content where the flow says so."""
    if row.status == "SUCCESS" and isinstance(row.output, dict):
        return convert(row.output["run"], RunRecord)
    sealed = "$sealed" in _input(row)["content"]
    record = full(row, steps, contents)
    return without_content(record) if sealed else record


def job_of(row: WorkflowStatus, contents: Contents) -> Job:
    """What the run was begun with."""
    return Job.read(_input(row), contents)


def _input(row: WorkflowStatus) -> dict[str, Any]:
    given: Any = row.input
    stored: dict[str, Any] = given["args"][0]
    return stored


def _unfinished(row: WorkflowStatus, steps: dict[int, Any], job: Job, contents: Contents) -> RunRecord:
    records = [
        convert(opened(step["output"], contents), StepRecord)
        for _, step in sorted(steps.items())
        if isinstance(step["output"], dict)
    ]
    state = _UNFINISHED.get(row.status, "failed")
    if row.status == "PENDING" and any(_sleeps(step) for step in steps.values()):
        state = "waiting"
    error = None
    if state == "failed":
        error = {"error": "step_error", "message": "The run was given up: it crashed too often, or the engine failed."}
    return RunRecord(
        id=row.workflow_id,
        flow=job.flow,
        version=job.version,
        state=state,
        event=job.event,
        inputs=job.inputs,
        steps=tuple(records),
        error=error,
        conversation=job.conversation,
        created=job.created,
        ended=row.completed_at / 1000 if row.completed_at else None,
        recovered=max(0, (row.recovery_attempts or 1) - 1),
    )


def _sleeps(step: Any) -> bool:
    return step["function_name"] == "DBOS.sleep" and isinstance(step["output"], float) and step["output"] > time.time()
