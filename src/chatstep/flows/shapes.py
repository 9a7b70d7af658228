"""What is known of a value before the flow runs: which fields it has, and which kinds of value it may be.

For checking.py. A shape is a type as `msgspec.inspect` describes it, a dict of shapes for a mapping whose names are all
known, or None where anything may come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, inspect

from chatstep.places import near

__all__ = ["Shape", "field_shapes", "kinds", "shape_at", "shape_of", "told", "wrong_path"]

Shape = Any

_KINDS: dict[type, str] = {
    inspect.StrType: "text",
    inspect.IntType: "a number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.NoneType: "nothing",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.TupleType: "a list",
    inspect.DictType: "a mapping",
    inspect.StructType: "a mapping",
    inspect.TypedDictType: "a mapping",
    inspect.DataclassType: "a mapping",
}
_OF_VALUES: dict[type, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    type(None): "nothing",
}


@lru_cache(maxsize=512)
def shape_of(kind: Any) -> Shape:
    """The shape of a Python type."""
    return inspect.type_info(kind)


def field_shapes(struct: type[Struct]) -> dict[str, Shape]:
    """The shapes of the fields of a Struct."""
    return {field.name: field.type for field in shape_of(struct).fields}


def kinds(shape: Shape) -> set[str] | None:
    """The kinds of value that it may be, in words; None where that is not known."""
    if isinstance(shape, Mapping):
        return {"a mapping"}
    if isinstance(shape, inspect.Metadata):
        return kinds(shape.type)
    if isinstance(shape, inspect.UnionType):
        each = [kinds(one) for one in shape.types]
        return None if None in each else set().union(*(one for one in each if one is not None))
    if isinstance(shape, inspect.LiteralType):
        return {_OF_VALUES[type(value)] for value in shape.values}
    word = _KINDS.get(type(shape))
    return {word} if word else None


def wrong_path(shape: Shape, path: tuple[str, ...], at: int) -> tuple[str, str | None] | None:
    """What is wrong with a path whose first ``at`` names led to this shape: a message and a hint, or None."""
    if at == len(path):
        return None
    if isinstance(shape, inspect.Metadata):
        return wrong_path(shape.type, path, at)
    if isinstance(shape, inspect.UnionType):
        found = [wrong_path(one, path, at) for one in shape.types if not isinstance(one, inspect.NoneType)]
        return None if not found or None in found else found[-1]
    fields = _fields(shape)
    before, name = ".".join(path[:at]), path[at]
    if fields is not None:
        if name in fields:
            return wrong_path(fields[name], path, at + 1)
        close = near(name, fields)
        return f"There is no `{name}` in `{before}`.", (
            f"Did you mean `{close}`?" if close else f"There are: {', '.join(fields)}."
        )
    if isinstance(shape, inspect.DictType):
        return wrong_path(shape.value_type, path, at + 1)
    known = kinds(shape)
    if known is None:
        return None
    hint = f"Name an item: `{before}[0]`." if known == {"a list"} else None
    return f"`{before}` is {' or '.join(sorted(known))}, so there is no `{name}` in it.", hint


def _fields(shape: Shape) -> Mapping[str, Shape] | None:
    """The names that a mapping must have all of, or None where it may have any."""
    if isinstance(shape, Mapping):
        return shape
    if isinstance(shape, (inspect.StructType, inspect.TypedDictType, inspect.DataclassType)):
        return {field.name: field.type for field in shape.fields}
    return None


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def told(problem: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says, for people: the message, and the path below the value that it is about."""
    message, _, path = str(problem).partition(" - at `")
    message = re.sub(r"^Object missing required field (`.*`)$", r"\1 is missing", message)
    message = re.sub(r"^Object contains unknown field (`.*`)$", r"Unknown field \1", message)
    message = re.sub(r"^Invalid enum value ['\"]?(.*?)['\"]?$", r"`\1` is not known here", message)
    if message.startswith("Expected"):
        message = re.sub(r"`([a-z]+(?: \| [a-z]+)*)`", _in_words, message)
        message = message.replace(" >= ", " of at least ").replace(" <= ", " of at most ")
        message = re.sub(r"(\d)\.0\b", r"\1", message)
    return f"{message}.", path.rstrip("`").lstrip("$")


def _in_words(types: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types[1].split(" | "))


def shape_at(shape: Shape, path: tuple[str, ...]) -> Shape:
    """The shape that a path leads to; None where that is not known."""
    for name in path:
        while isinstance(shape, (inspect.Metadata, inspect.UnionType)):
            shape = shape.type if isinstance(shape, inspect.Metadata) else _only(shape)
        fields = _fields(shape)
        if fields is None or name not in fields:
            return None
        shape = fields[name]
    return shape


def _only(union: inspect.UnionType) -> Shape:
    """The one shape beside nothing, or None where there are several."""
    rest = [one for one in union.types if not isinstance(one, inspect.NoneType)]
    return rest[0] if len(rest) == 1 else None
