"""What is kept of a run: one record per step, and one for the whole.

The engine stores them as plain data (`msgspec.to_builtins`) and reads them back with `msgspec.convert`, so that a first
run and one after a crash see the same.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from msgspec import Struct

from chatstep.flows.events import Event

__all__ = ["RunRecord", "RunState", "StepRecord", "StepState", "cost_of"]

StepState = Literal["done", "failed", "skipped"]
RunState = Literal["queued", "waiting", "running", "done", "failed", "cancelled", "merged"]


class StepRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution of one step. Times are unix seconds; ``cost`` is in dollars as text, "unknown" where it is."""

    id: str
    """The step's id; with ``[n]`` behind it in a step with ``each:``, counted from 0."""
    uses: str
    state: StepState = "done"
    inputs: dict[str, Any] = {}
    """As the step got them, without history and without what is sealed in a connection."""
    output: Any = None
    error: dict[str, Any] | None = None
    """What `ChatstepError.to_data` gives."""
    attempts: int = 1
    """Tries by the flow; requests that the step itself repeated are in its output."""
    began: float = 0.0
    ended: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: str | None = None
    maybe_repeated: bool = False
    """A crash came while an earlier attempt was under way, so the outside world may have seen it twice."""


class RunRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run. Times are unix seconds."""

    id: str
    flow: str
    version: str
    state: RunState
    event: Event
    inputs: dict[str, Any] = {}
    steps: tuple[StepRecord, ...] = ()
    outputs: dict[str, Any] = {}
    error: dict[str, Any] | None = None
    conversation: str | None = None
    created: float = 0.0
    ended: float | None = None
    recovered: int = 0
    """How often the run was taken up again after a crash."""
    merged_into: str | None = None
    """For a message that was answered together with later ones: the run that did."""


def cost_of(steps: tuple[StepRecord, ...]) -> str | None:
    """What steps cost together, in dollars as text: "unknown" where one is, None where none costs what is counted."""
    costs = [step.cost for step in steps if step.cost is not None]
    try:
        return f"{sum(map(Decimal, costs), Decimal(0)):f}" if costs else None
    except InvalidOperation:
        return "unknown"
