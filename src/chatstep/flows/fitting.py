"""Whether what stands under ``with:`` fits what the step takes, as far as that can be said before it runs.

For checking.py. Values without expressions are judged as they will be when the step runs; of an expression, the kind of
its value is judged where it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from chatstep.errors import ChatstepError, InvalidInput
from chatstep.expressions import parse
from chatstep.flows.problems import Problem
from chatstep.flows.shapes import Shape, field_shapes, kinds, shape_of, told
from chatstep.places import near
from chatstep.step import Step

__all__ = ["connections_in", "holds_expression", "misfits"]


def misfits(
    step: Step, given: Mapping[str, Any], place: str, shape: Callable[[tuple[str, ...]], Shape]
) -> Iterator[Problem]:
    """What is wrong with the inputs that a flow gives to a step; ``shape`` tells that of a name in an expression."""
    yield from _Fitting(step, shape).struct(step.inputs, given, place, whole=True)


def connections_in(step: Step, given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The inputs that name a connection, without those that an expression gives: field, name, what it must serve."""
    for name, shape in field_shapes(step.inputs).items():
        value = given.get(name)
        extra = shape.extra_json_schema or {} if isinstance(shape, inspect.Metadata) else {}
        word, _, wanted = str(extra.get("format", "")).partition(":")
        if word == "connection" and isinstance(value, str) and value and "${{" not in value:
            yield name, value, wanted


def holds_expression(value: Any) -> bool:
    """Whether an expression stands anywhere in a value."""
    if isinstance(value, str):
        return "${{" in value
    if isinstance(value, dict):
        return any(map(holds_expression, value.values()))
    return isinstance(value, list) and any(map(holds_expression, value))


class _Fitting:
    def __init__(self, step: Step, shape: Callable[[tuple[str, ...]], Shape]) -> None:
        self._step = step
        self._shape = shape

    def struct(self, struct: type[Struct], given: Mapping[str, Any], place: str, whole: bool) -> Iterator[Problem]:
        """The problems of a mapping that becomes a Struct; ``whole`` for the step's Inputs themselves."""
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        misspelt = set()
        for name in given:
            if name not in fields:
                close = near(name, fields)
                misspelt.add(close)
                hint = f"Did you mean `{close}`?" if close else f"There are: {', '.join(fields)}."
                what = f"`{self._step.name}` has no input `{name[:80]}`." if whole else f"Unknown field `{name[:80]}`."
                yield Problem(place=f"{place}.{name[:80]}", message=what, hint=hint)
        for name, field in fields.items():
            if name in given:
                yield from self.value(field, given[name], f"{place}.{name}", given if whole else None)
            elif field.default is NODEFAULT and field.default_factory is NODEFAULT and name not in misspelt:
                yield Problem(place=place, message=f"`{name}` is missing.", hint=_help(field.type))

    def value(
        self, field: msgspec.structs.FieldInfo, value: Any, place: str, beside: Mapping[str, Any] | None
    ) -> Iterator[Problem]:
        """The problems of one field."""
        if isinstance(value, str) and "${{" in value:
            yield from self._expression(field, value, place)
        elif isinstance(value, dict) and (struct := _struct_in(shape_of(field.type))):
            found = list(self.struct(struct, value, place, whole=False))
            if not holds_expression(value):
                # The Struct may have checks of its own; and the step may read what the Struct by itself does not.
                whole = list(self._converted(field, value, place, beside))
                found = (found or whole) if whole else [one for one in found if one.message.startswith("Unknown")]
            yield from found
        elif not holds_expression(value):
            yield from self._converted(field, value, place, beside)

    def _expression(self, field: msgspec.structs.FieldInfo, text: str, place: str) -> Iterator[Problem]:
        wanted = kinds(shape_of(field.type))
        try:
            template = parse(text)
        except InvalidInput:
            return  # what cannot be read is told elsewhere
        if template.named:
            given, what = kinds(self._shape(template.named)), f"`{'.'.join(template.named)}` is"
        elif not template.lone:
            given, what = {"text"}, "a text around an expression is"
        else:
            return
        if wanted is None or given is None or wanted & given:
            return
        hint = "`${{ ... | string }}` makes a text of it." if "text" in wanted else None
        if wanted - {"nothing"} == {"a number"} and given == {"text"}:
            hint = "`${{ ... | int }}` makes a whole number of a text."
        yield Problem(
            place=place,
            message=f"Expected {' or '.join(sorted(wanted - {'nothing'}))}; {what} {' or '.join(sorted(given))}.",
            hint=hint,
        )

    def _converted(
        self, field: msgspec.structs.FieldInfo, value: Any, place: str, beside: Mapping[str, Any] | None
    ) -> Iterator[Problem]:
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as problem:
            if beside is None or not self._reads(field.encode_name, beside):
                message, path = told(problem)
                yield Problem(place=place + path, message=message, hint=_choices(field.type) or _help(field.type))
        except ChatstepError as problem:  # a check of the Struct's own
            yield Problem(place=place, message=problem.message, hint=problem.hint)

    def _reads(self, name: str, given: Mapping[str, Any]) -> bool:
        """Whether the step itself reads this value, which msgspec does not: some take several ways of writing."""
        if self._step.read is None:
            return False
        needed = {
            field.encode_name: given.get(field.encode_name, "")
            for field in msgspec.structs.fields(self._step.inputs)
            if field.default is NODEFAULT and field.default_factory is NODEFAULT
        }
        try:
            self._step.read({**needed, name: given[name]})
        except (ChatstepError, msgspec.ValidationError):
            return False
        return True


def _struct_in(shape: Shape) -> type[Struct] | None:
    """The Struct that a mapping becomes here, if it does."""
    if isinstance(shape, inspect.Metadata):
        return _struct_in(shape.type)
    options = shape.types if isinstance(shape, inspect.UnionType) else (shape,)
    structs = [one.cls for one in options if isinstance(one, inspect.StructType)]
    return structs[0] if structs else None  # msgspec takes no union of two that are mappings


def _choices(kind: Any) -> str | None:
    shape = shape_of(kind)
    while isinstance(shape, inspect.Metadata):
        shape = shape.type
    options = shape.types if isinstance(shape, inspect.UnionType) else (shape,)
    values = [str(value) for one in options if isinstance(one, inspect.LiteralType) for value in one.values]
    return f"Write one of: {', '.join(values)}." if values else None


def _help(kind: Any) -> str | None:
    """The sentence that the declaration has for a field."""
    shape = shape_of(kind)
    found = (shape.extra_json_schema or {}).get("description") if isinstance(shape, inspect.Metadata) else None
    return str(found) if found else None
