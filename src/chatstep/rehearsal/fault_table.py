"""What a fault is: a name, a sentence, parameters, an example, and the function that does it, declared in one place.

`fault` puts a function into the table. Scripts are checked against it; docs and `--list-faults` are written from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from chatstep.rehearsal.answers import Answer
from chatstep.rehearsal.plan import Plan

__all__ = ["FAULTS", "Fault", "Parameter", "apply", "fault", "parameter"]

Kind = Literal["count", "seconds", "size", "text", "flag", "wait", "word"]
Applies = Literal["always", "stream", "plain"]
Params = Mapping[str, Any]
Behaviour = Callable[[Plan, Answer, Params], None]


class Parameter(Struct, frozen=True):
    """One setting of a fault; ``kind`` says how it is written: count, seconds, size (3GB), text, flag, wait, word."""

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()


class Fault(Struct, frozen=True):
    """One thing that goes wrong. The first parameter may be given beside the name: ``cut_at: 100``.

    ``applies`` says to which requests; to the others the answer comes unharmed.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    example: str
    applies: Applies
    behave: Behaviour


FAULTS: dict[str, Fault] = {}


def parameter(name: str, kind: Kind, default: Any, help: str, *choices: str) -> Parameter:
    """Declare a parameter."""
    return Parameter(name, kind, default, help, choices)


def fault(
    name: str, help: str, *parameters: Parameter, example: str | None = None, applies: Applies = "always"
) -> Callable[[Behaviour], Behaviour]:
    """Declare a function ``(plan, answer, params)`` as the fault of that name; it changes the plan in place."""

    def declare(behave: Behaviour) -> Behaviour:
        if name in FAULTS:
            raise ValueError(f"two faults are called {name}")
        FAULTS[name] = Fault(name, help, parameters, example or f"fault: {name}", applies, behave)
        return behave

    return declare


def apply(name: str, params: Params, plan: Plan, answer: Answer) -> None:
    """Let the fault happen to this plan; parameters that are not given have their defaults."""
    known = FAULTS[name]
    if known.applies == "stream" and not answer.stream:
        return
    if known.applies == "plain" and answer.stream:
        return
    defaults = {parameter.name: parameter.default for parameter in known.parameters}
    known.behave(plan, answer, {**defaults, **params})
