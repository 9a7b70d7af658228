"""Envelopes: what a run keeps, as it is or sealed, and what may be shown of it when it is not to stay readable."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from chatstep.flows.records import RunRecord, StepRecord
from chatstep.store import Contents

__all__ = ["closed", "opened", "without_content"]

_SHOWN_OF_ERRORS = ("error", "message", "place", "hint", "step")


def closed(value: Any, contents: Contents | None) -> Any:
    """Plain data to be stored: the value itself, or sealed where contents are. Blocks then."""
    plain = msgspec.to_builtins(value)
    if contents is None:
        return plain
    return {"$sealed": contents.seal(msgspec.json.encode(plain).decode()).decode()}


def opened(stored: Any, contents: Contents) -> Any:
    """What `closed` was given. Blocks where it was sealed; raises SealError when no key opens it."""
    if isinstance(stored, dict) and "$sealed" in stored:
        return msgspec.json.decode(contents.open(stored["$sealed"].encode()))
    return stored


def without_content(run: RunRecord) -> RunRecord:
    """The record without texts: what ran, when, at what cost, and which errors."""
    event = replace(run.event, text="", author=None, data={})
    steps = tuple(_without(step) for step in run.steps)
    return replace(run, event=event, inputs={}, steps=steps, outputs={}, error=_plain_error(run.error))


def _without(step: StepRecord) -> StepRecord:
    return replace(step, inputs={}, output=None, error=_plain_error(step.error))


def _plain_error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return {name: error[name] for name in _SHOWN_OF_ERRORS if name in error} if error else None
