"""The walk: a flow's steps one after the other, each fed from what came before.

It knows no engine. What must survive a crash is handed to ``call`` as `Work`; the engine gives back what is recorded,
or does it and records it, and tests do it directly. Between two calls nothing is asked but the flow and the records, so
a walk that is begun anew takes the same way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from chatstep.errors import ChatstepError, InvalidInput
from chatstep.expressions import evaluate
from chatstep.flows.attempts import Attempt, failed, half_character, skipped
from chatstep.flows.definition import Flow, StepPart
from chatstep.flows.events import Event
from chatstep.flows.reading import fits
from chatstep.flows.records import StepRecord
from chatstep.registry import step_named, unknown
from chatstep.step import Context, Effect
from chatstep.telemetry.tracing import span

__all__ = ["Begun", "Call", "Interrupted", "Walked", "Work", "inputs_of", "walk"]

MOST_ITEMS = 10_000
MOST_BYTES = 50_000_000


class Interrupted(BaseException):
    """The engine stops this walk; no step may take it for a failure of its own.

    ``cause`` is what went wrong in the engine, or None where the run is left to another process or time.
    """

    def __init__(self, reason: str, cause: Exception | None = None) -> None:
        super().__init__(reason)
        self.cause = cause


class Work(NamedTuple):
    """One execution of one step, for the engine to make durable."""

    name: str
    """The step's id, with ``[n]`` behind it for an item."""
    effect: Effect
    last: bool
    """Whether nothing that touches the world comes after it."""
    do: Callable[[], Awaitable[StepRecord]]
    """Does it. It gives a record also when the step fails."""


class Begun(NamedTuple):
    """What a run begins with. ``conversation`` holds the names under ``conversation`` in expressions."""

    id: str
    event: Event
    inputs: Mapping[str, Any]
    conversation: Mapping[str, Any]


class Walked(NamedTuple):
    """How it ended: the records, and the outputs or an error."""

    steps: tuple[StepRecord, ...]
    outputs: dict[str, Any]
    error: dict[str, Any] | None


Call = Callable[[Work], Awaitable[StepRecord]]


async def walk(flow: Flow, begun: Begun, context_for: Callable[[str], Context], call: Call) -> Walked:
    """Run the flow's steps. ``context_for`` gives what the execution of a name may ask for (see `chatstep.step`).

    A failed step ends the walk unless it says ``on_error: continue``. Errors of steps are in what is returned.
    """
    with span(f"run {flow.name}", {"chatstep.run.id": begun.id}) as running:
        walked = await _Walk(flow, begun, context_for, call).through()
        if running is not None and walked.error is not None:
            running.set_attribute("error.type", str(walked.error.get("error")))
        return walked


def inputs_of(flow: Flow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The flow's inputs with defaults filled in; raises InvalidInput or UnknownName for one that cannot be."""
    for name in given:
        if name not in flow.inputs:
            raise unknown("input", name, flow.inputs, place=f"inputs.{name}")
    values: dict[str, Any] = {}
    for name, part in flow.inputs.items():
        if name not in given:
            if part.required:
                hint = f"Give it, such as --input {name}=..."
                raise InvalidInput("This input is missing.", place=f"inputs.{name}", hint=hint)
            values[name] = part.default
        elif not fits(given[name], part.type):
            raise InvalidInput(f"Expected {_TYPES[part.type]}.", place=f"inputs.{name}")
        else:
            values[name] = given[name]
    return values


_TYPES = {
    "text": "text",
    "number": "a number",
    "whole": "a whole number",
    "flag": "true or false",
    "list": "a list",
    "mapping": "a mapping",
}


class _Walk:
    def __init__(self, flow: Flow, begun: Begun, context_for: Callable[[str], Context], call: Call) -> None:
        self._flow = flow
        self._context_for = context_for
        self._call = call
        self._records: list[StepRecord] = []
        self._size = 0
        self._steps: dict[str, Any] = {}
        self._names: dict[str, Any] = {
            "inputs": begun.inputs,
            "trigger": _fields(begun.event),
            "steps": self._steps,
            "conversation": begun.conversation,
            "run": {"id": begun.id},
        }
        effects = [step_named(part.uses).effect for part in flow.steps]
        touching = [at for at, effect in enumerate(effects) if effect != "none"]
        self._effects, self._last = effects, touching[-1] if touching else -1

    async def through(self) -> Walked:
        """All steps, then the outputs."""
        for at, part in enumerate(self._flow.steps):
            records, names = await (self._each(at, part) if part.each is not None else self._once(at, part))
            self._steps[part.id] = names
            broken = next((record for record in records if record.state == "failed"), None)
            if broken is not None and part.on_error == "stop":
                error = {**(broken.error or {}), "step": broken.id}
                return Walked(tuple(self._records), {}, error)
        try:
            outputs = _plain(evaluate(dict(self._flow.outputs), self._names))
            msgspec.json.encode(outputs)  # fails where a text cannot be kept
        except ChatstepError as error:
            return Walked(tuple(self._records), {}, error.with_details(place="outputs").to_data())
        except UnicodeEncodeError:
            return Walked(tuple(self._records), {}, half_character("outputs").to_data())
        return Walked(tuple(self._records), outputs, None)

    async def _once(self, at: int, part: StepPart) -> tuple[list[StepRecord], dict[str, Any]]:
        record = await self._execute(part, part.id, self._names, at == self._last)
        return [record], _names_of(record)

    async def _each(self, at: int, part: StepPart) -> tuple[list[StepRecord], dict[str, Any]]:
        """Once per item. An item that fails ends the step, unless it says ``on_error: continue``."""
        try:
            items = self._items(part)
        except ChatstepError as error:
            record = failed(part.id, part.uses, error)
            self._records.append(record)
            return [record], _names_of(record)
        records: list[StepRecord] = []
        for index, item in enumerate(items):
            names = {**self._names, "item": item, "index": index}
            last = at == self._last and index == len(items) - 1
            records.append(await self._execute(part, f"{part.id}[{index}]", names, last))
            if records[-1].state == "failed" and part.on_error == "stop":
                break
        broken = next((record for record in records if record.state == "failed"), None)
        return records, {
            "results": [_names_of(record) for record in records],
            "failed": broken is not None,
            "skipped": False,
            "error": broken.error if broken else None,
        }

    def _items(self, part: StepPart) -> list[Any]:
        items = evaluate(part.each, self._names)
        place = f"steps.{part.id}.each"
        if not isinstance(items, (list, tuple)):
            raise InvalidInput(f"Expected a list, got {type(items).__name__}.", place=place)
        if len(items) > MOST_ITEMS:
            raise InvalidInput(
                f"The list has {len(items):,} items; a step takes at most {MOST_ITEMS:,}.",
                place=place,
                hint="Split the work over several runs.",
            )
        return list(items)

    async def _execute(self, part: StepPart, name: str, names: Mapping[str, Any], last: bool) -> StepRecord:
        try:
            wanted = part.when is None or bool(evaluate(part.when, names))
        except ChatstepError as error:
            record = failed(name, part.uses, error.with_details(place=f"steps.{part.id}.when"))
        else:
            record = await self._wanted(part, name, names, last) if wanted else skipped(name, part.uses)
        self._records.append(record)
        return record

    async def _wanted(self, part: StepPart, name: str, names: Mapping[str, Any], last: bool) -> StepRecord:
        step = step_named(part.uses)
        room = MOST_BYTES - self._size

        async def do() -> StepRecord:
            return await Attempt(part, step, name, room).run(names, self._context_for(name))

        record = await self._call(Work(name, step.effect, last, do))
        self._size += len(msgspec.json.encode(record.output))
        return record


def _fields(struct: Struct) -> dict[str, Any]:
    """All fields as plain data, those too that stand at their default."""
    author = getattr(struct, "author", None)
    values = {name: msgspec.to_builtins(getattr(struct, name)) for name in struct.__struct_fields__}
    if author is not None:
        values["author"] = {name: getattr(author, name) for name in author.__struct_fields__}
    return values


def _names_of(record: StepRecord) -> dict[str, Any]:
    output = record.output if isinstance(record.output, dict) else {}
    return {
        **output,
        "failed": record.state == "failed",
        "skipped": record.state == "skipped",
        "error": record.error,
    }


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
