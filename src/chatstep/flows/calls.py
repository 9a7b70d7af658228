"""Flows that call flows: whether the called one is there, gets its inputs, and does not lead back to the caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chatstep.flows.definition import Flow, StepPart
from chatstep.flows.format import INPUT_TYPES
from chatstep.flows.problems import Problem
from chatstep.flows.reading import fits
from chatstep.places import near

__all__ = ["CALL", "called", "cycle", "problems_of_call"]

CALL = "flow.call"
"""The step that runs another flow; its inputs are ``flow`` and ``inputs``."""


def called(part: StepPart) -> str | None:
    """The flow that a step calls, where its name is written out."""
    name: Any = part.inputs.get("flow")
    return name if part.uses == CALL and isinstance(name, str) and "${{" not in name else None


def problems_of_call(part: StepPart, flow: Flow, known: Mapping[str, Flow], place: str) -> Iterator[Problem]:
    """What is wrong with one call; ``known`` are the flows there are beside this one."""
    name = called(part)
    if name is None or name == flow.name:
        return
    other = known.get(name)
    if other is None:
        close = near(name, known)
        hint = f"Did you mean `{close}`?" if close else "Check its file together with this one, or publish it first."
        yield Problem(place=f"{place}.flow", message=f"There is no flow `{name[:80]}`.", hint=hint)
        return
    given = part.inputs.get("inputs", {})
    if not isinstance(given, dict):
        return
    for key, value in given.items():
        at = f"{place}.inputs.{key[:80]}"
        if key not in other.inputs:
            close = near(key, other.inputs)
            hint = f"Did you mean `{close}`?" if close else f"It has: {', '.join(other.inputs) or 'none'}."
            yield Problem(place=at, message=f"Flow `{name}` has no input `{key[:80]}`.", hint=hint)
        elif not (isinstance(value, str) and "${{" in value) and not fits(value, other.inputs[key].type):
            yield Problem(place=at, message=f"Flow `{name}` wants {INPUT_TYPES[other.inputs[key].type]} here.")
    for key, wanted in other.inputs.items():
        if wanted.required and key not in given:
            yield Problem(
                place=place, message=f"Flow `{name}` needs the input `{key}`.", hint=wanted.description or None
            )


def cycle(flow: Flow, known: Mapping[str, Flow]) -> tuple[int, str] | None:
    """The step (its number) that leads back to this flow, and the way in words; None where no call does."""
    flows = {**known, flow.name: flow}
    for at, part in enumerate(flow.steps):
        first = called(part)
        if first is None:
            continue
        waiting: list[tuple[str, ...]] = [(first,)]
        seen = {first}
        while waiting:
            way = waiting.pop(0)
            if way[-1] == flow.name:
                return at, f"The flow calls itself: {' → '.join((flow.name, *way))}."
            for step in flows[way[-1]].steps if way[-1] in flows else ():
                after = called(step)
                if after is not None and after not in seen:
                    seen.add(after)
                    waiting.append((*way, after))
    return None
