"""What is wrong with a flow: everything at once, each with its line, its place and what to do.

Looks at what parts of a flow mean beside each other and beside the steps and connections there are. The door that
publishes a flow asks here, and so does ``chatstep flow check``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from chatstep.errors import InvalidInput
from chatstep.expressions import Template, parse
from chatstep.flows.calls import called, cycle, problems_of_call
from chatstep.flows.definition import Flow, InputPart, StepPart
from chatstep.flows.durability import needs_durable
from chatstep.flows.events import Event
from chatstep.flows.fitting import connections_in, misfits
from chatstep.flows.problems import Problem, located
from chatstep.flows.schedules import check_schedule
from chatstep.flows.shapes import Shape, field_shapes, kinds, shape_at, shape_of, wrong_path
from chatstep.message import Message
from chatstep.places import near
from chatstep.registry import steps as all_steps

__all__ = ["check"]


def check(
    flow: Flow,
    *,
    known_connections: Mapping[str, str] | None = None,
    known_flows: Mapping[str, Flow] | None = None,
    lines: Mapping[str, int] | None = None,
) -> list[Problem]:
    """All problems of a flow, in the order of their lines; none: it can run.

    ``known_connections`` (each with what it serves, or nothing where that is not known) and ``known_flows`` are what
    there is beside it; None: not looked at. ``lines`` is that of the `Draft`; without it they are found from the flow's
    source.
    """
    checker = _Checker(flow, known_connections, known_flows)
    checker.check()
    return located(checker.problems, lines, flow.source)


class _Scope(NamedTuple):
    """What expressions may name at some place: names with their shapes, and how many steps have run by then."""

    names: dict[str, Shape]
    steps: int | None = None


_BOOL, _TEXT, _INT = shape_of(bool), shape_of(str), shape_of(int)
_OUTCOME: dict[str, Shape] = {"failed": _BOOL, "skipped": _BOOL, "error": None}
_INPUT_SHAPES: dict[str, Shape] = {
    "text": _TEXT,
    "number": shape_of(float),
    "whole": _INT,
    "flag": _BOOL,
    "list": shape_of(list[Any]),
    "mapping": shape_of(dict[str, Any]),
    "any": None,
}
_DELIVERY: dict[str, Shape] = {"body": None, "headers": shape_of(dict[str, str]), "query": shape_of(dict[str, str])}
_ABSENT = {
    "conversation": ("The flow has no `conversation`.", "Add `conversation: {}` to it, or do without."),
    "item": ("Only a step with `each` has an `item`.", "Add `each`, or name what you mean."),
    "index": ("Only a step with `each` has an `index`.", "Add `each`, or name what you mean."),
    "steps": ("No step has run yet here.", None),
    "body": ("`body` is known in a webhook's own expressions alone.", "Here it is `trigger.data.body`."),
    "query": ("`query` is known in a webhook's own expressions alone.", "Here it is `trigger.data.query`."),
    "env": ("The environment cannot be read here.", "Keys belong into a connection, other values into `inputs`."),
    "secrets": ("There are no secrets in expressions.", "Keys belong into a connection; name it in the step."),
    "null": ("`null` is not a name here.", "Write `none`."),
}


class _Checker:
    def __init__(
        self, flow: Flow, known_connections: Mapping[str, str] | None, known_flows: Mapping[str, Flow] | None
    ) -> None:
        self.problems: list[Problem] = []
        self._flow = flow
        self._connections = known_connections
        self._flows = known_flows
        self._known = all_steps()
        self._at = {part.id: at for at, part in reversed(list(enumerate(flow.steps)))}
        self._names: dict[str, Shape] = {
            "inputs": {name: _input_shape(part) for name, part in flow.inputs.items()},
            "trigger": field_shapes(Event),
            "run": {"id": _TEXT},
        }

    def note(self, place: str, message: str, hint: str | None = None) -> None:
        """Add a problem."""
        self.problems.append(Problem(place=place, message=message, hint=hint))

    def check(self) -> None:
        """Look at everything."""
        self._triggers()
        if not self._flow.durable:
            for place, why in needs_durable(self._flow):
                self.note(place, why, "Leave `durable: false` out of the flow, or do without this.")
        if self._flow.conversation is not None:
            self._texts(self._flow.conversation.id, "conversation.id", _Scope(self._names))
            self._names["conversation"] = {"id": _TEXT, "assistant": _TEXT, "messages": shape_of(list[Message])}
        for at, part in enumerate(self._flow.steps):
            self._step(at, part)
        self._texts(self._flow.outputs, "outputs", _Scope(self._names, len(self._flow.steps)))
        if self._flows is not None and (found := cycle(self._flow, self._flows)):
            at, message = found
            self.note(f"steps[{at}].with.flow", message, "A flow that calls itself would never end.")

    def _triggers(self) -> None:
        seen: set[tuple[str | None, ...]] = set()
        for at, trigger in enumerate(self._flow.on):
            place = f"on[{at}].{trigger.type}"
            same = (trigger.type, trigger.path, trigger.cron, trigger.zone)
            if same in seen:
                self.note(place, "This trigger is there twice.", "Leave one of them out.")
            seen.add(same)
            if trigger.path is not None and (other := self._flow_at(trigger.path)):
                self.note(f"{place}.path", f"Flow `{other}` is reached at this path.", "Choose another.")
            if trigger.secret is not None:
                self._connection(trigger.secret, "webhook", f"{place}.secret")
            for name in ("event_id", "text", "author", "conversation"):
                self._texts(getattr(trigger, name), f"{place}.{name}", _Scope(_DELIVERY))
            if trigger.cron is not None:
                try:
                    check_schedule(trigger.cron, trigger.zone, datetime.now(UTC))
                except InvalidInput as problem:
                    self.note(f"{place}.{problem.place}", problem.message, problem.hint)

    def _flow_at(self, path: str) -> str | None:
        """Another flow whose webhook has this path."""
        for name, other in (self._flows or {}).items():
            if name != self._flow.name and any(trigger.path == path for trigger in other.on):
                return name
        return None

    def _step(self, at: int, part: StepPart) -> None:
        place, scope = f"steps[{at}]", _Scope(self._names, at)
        if part.id and self._at[part.id] != at:
            first = self._flow.steps[self._at[part.id]]
            self.note(
                f"{place}.id", f"There is a step `{part.id}` already, in line {first.line}.", "Call it otherwise."
            )
        if part.each is not None:
            self._each(part.each, f"{place}.each", scope)
            scope = _Scope({**self._names, "item": None, "index": _INT}, at)
        if part.when is not None:
            self._when(part.when, f"{place}.when", scope)
        self._texts(part.inputs, f"{place}.with", scope)
        step = self._known.get(part.uses)
        if step is None:
            if part.uses:
                close = near(part.uses, self._known)
                hint = f"Did you mean `{close}`?" if close else f"There are: {', '.join(sorted(self._known))}."
                self.note(f"{place}.uses", f"There is no step `{part.uses[:80]}`.", hint)
            return
        self.problems += misfits(step, part.inputs, f"{place}.with", lambda path: self._shape_of(path, scope))
        for name, connection, wanted in connections_in(step, part.inputs):
            self._connection(connection, wanted, f"{place}.with.{name}")
        if self._flows is not None:
            self.problems += problems_of_call(part, self._flow, self._flows, f"{place}.with")

    def _connection(self, name: str, wanted: str, place: str) -> None:
        if self._connections is None:
            return
        serving = [known for known, serves in self._connections.items() if serves in (wanted, "") or not wanted]
        if name in serving:
            return
        if name in self._connections:
            hint = f"There are: {', '.join(serving)}." if serving else "Add one: `chatstep connections add`."
            self.note(place, f"The connection `{name}` serves something else; one for `{wanted}` is needed.", hint)
            return
        close = near(name, serving)
        hint = f"Did you mean `{close}`?" if close else f"Add it with `chatstep connections add {name[:40]}`."
        self.note(place, f"There is no connection `{name[:80]}` here.", hint)

    def _when(self, text: str, place: str, scope: _Scope) -> None:
        template = self._template(text, place, scope)
        if template is None:
            return
        if not template.lone:
            self.note(place, "`when` is one expression.", "Put all of it into one `${{ ... }}`.")
        elif template.constant and not self._constant(template, place, True):
            self.note(place, "This step never runs: its `when` is always false.", "Remove the step, or its `when`.")

    def _each(self, text: str, place: str, scope: _Scope) -> None:
        template = self._template(text, place, scope)
        if template is None:
            return
        given = kinds(self._shape_of(template.named, scope)) if template.named else None
        if not template.lone:
            self.note(place, "`each` is one expression.", "It names a list, such as `${{ steps.cut.parts }}`.")
        elif given is not None and "a list" not in given:
            what = " or ".join(sorted(given))
            self.note(place, f"`each` needs a list; `{'.'.join(template.named or ())}` is {what}.", None)
        elif template.constant:
            items = self._constant(template, place, [0])
            if not isinstance(items, list):
                self.note(place, "`each` needs a list.", "Such as `${{ [1, 2] }}` or `${{ steps.cut.parts }}`.")
            elif not items:
                self.note(place, "This step never runs: its list is always empty.", "Remove the step, or its `each`.")

    def _constant(self, template: Template, place: str, otherwise: Any) -> Any:
        try:
            return template.evaluate({})
        except InvalidInput as problem:
            self.note(place, problem.message, problem.hint)
            return otherwise

    def _texts(self, value: Any, place: str, scope: _Scope) -> None:
        """Look at every text in a value."""
        if isinstance(value, str):
            if "${{" in value:
                self._template(value, place, scope)
        elif isinstance(value, dict):
            for key, item in value.items():
                if "${{" in key:
                    self.note(f"{place}.{key[:80]}", "A key holds no expression.", "Put the expression into a value.")
                self._texts(item, f"{place}.{key[:80]}", scope)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                self._texts(item, f"{place}[{at}]", scope)

    def _template(self, text: str, place: str, scope: _Scope) -> Template | None:
        """The text, read, if it can be; what it names is looked at."""
        try:
            template = parse(text)
        except InvalidInput as problem:
            self.note(place, f"{problem.message} It stands in `{problem.place}`.", problem.hint)
            return None
        for path in sorted(template.references):
            for message, hint in self._wrong(path, scope):
                self.note(place, message, hint)
        return template

    def _wrong(self, path: tuple[str, ...], scope: _Scope) -> Iterator[tuple[str, str | None]]:
        root = path[0]
        if root == "steps" and scope.steps is not None:
            yield from self._wrong_step(path, scope.steps)
        elif root in scope.names:
            found = wrong_path(scope.names[root], path, 1)
            if found:
                yield found
        elif root in _ABSENT and not (root == "conversation" and self._flow.conversation):
            yield _ABSENT[root]
        else:
            names = [*scope.names, *(["steps"] if scope.steps is not None else [])]
            close = near(root, names)
            hint = f"Did you mean `{close}`?" if close else f"There are: {', '.join(names)}."
            if root in self._at and scope.steps is not None:
                hint = f"A step's output is `steps.{root}`."
            elif root in self._flow.inputs:
                hint = f"An input is `inputs.{root}`."
            yield f"`{root[:80]}` is not a name that is known here.", hint

    def _wrong_step(self, path: tuple[str, ...], ran: int) -> Iterator[tuple[str, str | None]]:
        if len(path) == 1:
            return
        at = self._at.get(path[1])
        if at is None:
            yield f"There is no step `{path[1][:80]}`.", self._near_step(path[1], ran)
        elif at == ran:
            yield "A step cannot read its own output.", "Name a step before it."
        elif at > ran:
            line = self._flow.steps[at].line
            yield f"Step `{path[1]}` comes later, in line {line}, so it has no output yet.", "Move it before this step."
        else:
            part = self._flow.steps[at]
            found = wrong_path(self._output(part), path, 2)
            if found and part.each is not None and path[2] in field_shapes(self._known[part.uses].output):
                hint = f"It runs for each item: `steps.{part.id}.results[0].{path[2]}` is that of the first."
                found = (found[0], hint)
            if found:
                yield found

    def _near_step(self, name: str, ran: int) -> str | None:
        if any(part.id.startswith(f"{name}-") for part in self._flow.steps):
            return "An expression reads a hyphen as minus: write the step's id with _."
        before = [part.id for part in self._flow.steps[:ran] if part.id]
        if close := near(name, before):
            return f"Did you mean `{close}`?"
        return f"Steps before this one: {', '.join(before[:20])}." if before else "No step comes before this one."

    def _output(self, part: StepPart) -> Shape:
        step = self._known.get(part.uses)
        if step is None:
            return None
        if part.each is not None:
            return {"results": shape_of(list[Any]), **_OUTCOME}
        other = (self._flows or {}).get(called(part) or "")
        outputs = {"outputs": dict.fromkeys(other.outputs)} if other else {}
        return {**field_shapes(step.output), **outputs, **_OUTCOME}

    def _shape_of(self, path: tuple[str, ...], scope: _Scope) -> Shape:
        if path[0] != "steps":
            return shape_at(scope.names, path)
        at = self._at.get(path[1]) if len(path) > 1 else None
        return None if at is None else shape_at(self._output(self._flow.steps[at]), path[2:])


def _input_shape(part: InputPart) -> Shape:
    nothing = not part.required and part.default is None
    return None if nothing else _INPUT_SHAPES[part.type]
