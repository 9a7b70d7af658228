"""Runs and their steps as lines and tables, for the commands that show them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from chatstep.cli.screen import clipped, for_terminal, money, styled

if TYPE_CHECKING:
    from chatstep.flows.records import RunRecord, StepRecord

__all__ = ["cost_of", "outputs_text", "run_line", "short", "step_line", "taken", "when"]

_MARKS = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "yellow"),
    "merged": ("–", "yellow"),
    "cancelled": ("✗", "yellow"),
}


def short(id: str) -> str:
    """A run's id as far as a person needs it; any beginning of an id names the run."""
    name, _, digits = id.rpartition(".")
    return f"{name}.{digits[:8]}"


def when(seconds: float) -> str:
    """A time to read, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def taken(began: float, ended: float | None) -> str:
    """How long something took."""
    if ended is None:
        return ""
    seconds = max(0.0, ended - began)
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def cost_of(steps: tuple[StepRecord, ...]) -> str:
    """What steps cost together, to read; empty where none costs anything that is counted."""
    from chatstep.flows.records import cost_of as sum_of

    total = sum_of(steps)
    return total if total == "unknown" else money(Decimal(total)) if total is not None else ""


def step_line(step: StepRecord) -> str:
    """One step that was done, as a line of progress."""
    mark, colour = _MARKS[step.state]
    facts = [for_terminal(step.id), step.uses]
    if step.state == "skipped":
        return "  ".join([styled(mark, colour), *facts, "skipped"])
    facts.append(taken(step.began, step.ended))
    if step.cost is not None:
        facts.append(cost_of((step,)))
    if step.attempts > 1:
        facts.append(f"{step.attempts} tries")
    if step.maybe_repeated:
        facts.append("perhaps for the second time, after a crash")
    return "  ".join([styled(mark, colour), *facts])


def run_line(run: RunRecord) -> str:
    """One run that has ended, as a line of a worker's output."""
    mark, colour = _MARKS[run.state]
    facts = [f"{len(run.steps)} step{'' if len(run.steps) == 1 else 's'}", taken(run.created, run.ended)]
    facts.append(cost_of(run.steps))
    if run.error:
        facts.append(clipped(str(run.error.get("message", "")), 80))
    return f"{styled(mark, colour)} {short(run.id)} {run.state} · " + " · ".join(fact for fact in facts if fact)


def outputs_text(outputs: dict[str, Any]) -> str:
    """A run's outputs to read: one alone as its text, several with their names."""
    if len(outputs) == 1:
        (value,) = outputs.values()
        return for_terminal(value if isinstance(value, str) else _data(value))
    return "\n".join(
        f"{for_terminal(name)}: {for_terminal(value if isinstance(value, str) else _data(value))}"
        for name, value in outputs.items()
    )


def _data(value: Any) -> str:
    return msgspec.json.encode(value).decode()
