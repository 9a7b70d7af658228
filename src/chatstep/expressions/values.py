"""Values while an expression is evaluated: looking things up in them, writing them as text, and how large they may be.

For the other files of this room. `Wrong` and `Missing` never leave it: template.py turns them into InvalidInput.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

__all__ = ["LARGEST", "Evaluator", "Missing", "Wrong", "as_text", "count_text", "field_of", "kind_of", "path"]

LARGEST = 10_000_000
"""The most characters that an expression, or all texts of one evaluation together, may make."""
_DEEPEST = 100
_EACH = 4  # characters that any value counts for; more than two million values are never written
_MOST_NAMED = 12

Evaluator = Callable[[Mapping[str, Any]], Any]

# Names below these are the flow's own and may be listed in an error; keys of anything else are somebody's data.
_OWN = {(), ("inputs",), ("steps",), ("trigger",), ("conversation",), ("run",)}


class Wrong(Exception):
    """An expression has no value; ``message`` says why, ``hint`` what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Missing(Wrong):
    """What it names is not there; `default` and `is defined` catch this."""


def path(names: tuple[str, ...]) -> Evaluator:
    """What evaluates ``names[0].names[1]...`` in a scope."""

    def evaluate(scope: Mapping[str, Any]) -> Any:
        value: Any = scope
        for name in names:
            if type(value) is dict:
                try:
                    value = value[name]
                    continue
                except KeyError:
                    pass
            try:
                value = field_of(value, name)
            except Missing:
                raise _not_there(names, scope) from None
        return value

    return evaluate


def field_of(value: Any, name: Any) -> Any:
    """The entry of a mapping or list, or the field of a Struct; raises Missing. Nothing else has fields."""
    if isinstance(value, Struct):
        if isinstance(name, str) and name in value.__struct_fields__:
            return getattr(value, name)
    elif isinstance(value, Mapping):
        try:
            return value[name]
        except (KeyError, TypeError):
            pass
    elif isinstance(value, (list, tuple, str)) and isinstance(name, int) and not isinstance(name, bool):
        if -len(value) <= name < len(value):
            return value[name]
        raise Missing(f"There is no item [{name}]; there are {len(value)}.", _MAY_BE_MISSING)
    raise Missing(f"There is no {_shown(name)} in {kind_of(value)}.", _MAY_BE_MISSING)


_MAY_BE_MISSING = 'If it may be missing, write `... | default("")` with what to take instead.'


def _not_there(names: tuple[str, ...], scope: Mapping[str, Any]) -> Wrong:
    """The error for a path that leads nowhere: how far it led, and what is there instead."""
    value: Any = scope
    known = list(scope)
    for at, name in enumerate(names):
        before = names[:at]
        known = list(value.__struct_fields__ if isinstance(value, Struct) else value) if _is_mapping(value) else []
        try:
            value = field_of(value, name)
        except Missing:
            break
    own = before in _OWN or (len(before) == 2 and before[0] == "steps")
    listed = f"There are: {', '.join(map(str, known[:_MOST_NAMED]))}{', ...' if len(known) > _MOST_NAMED else ''}."
    hints = [listed] if own and known else []
    if not before:  # a name that no flow has is a slip, so no default stands in for it
        return Wrong(f"`{name}` is not a name that is known here.", " ".join(hints) or None)
    hint = " ".join([*hints, _MAY_BE_MISSING])
    whole, parent = ".".join(names), ".".join(before)
    if value is None:
        return Missing(f"`{parent}` holds nothing, so there is no `{whole}`.", hint)
    return Missing(f"There is no `{name}` in `{parent}`.", hint)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, (Struct, Mapping))


def _shown(name: Any) -> str:
    return f"`{name}`" if isinstance(name, str) and len(name) <= 64 else "such item"


def as_text(value: Any) -> str:
    """The value inside a text: texts as they are, nothing as nothing, the rest as JSON writes it. Raises Wrong."""
    kind = type(value)
    if kind is str:
        return str(value)
    if value is None:
        return ""
    if kind is int or isinstance(value, Decimal):
        try:
            return str(value)
        except ValueError:  # Python writes no number of more than 4,300 digits
            raise Wrong("The number is too long to be written.") from None
    if isinstance(value, str):
        return str(value)
    return as_json(value)


def as_json(value: Any) -> str:
    """The value as JSON; raises Wrong for what is too large, too deep, or no data."""
    import msgspec

    _weigh(value, LARGEST, 0)
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        raise Wrong(f"{kind_of(value).capitalize()} cannot be written as text.") from None
    return count_text(text)


def _weigh(value: Any, left: int, depth: int) -> int:
    """What is left of ``left`` characters after a rough count; stops early, so shared parts cost what they show."""
    if depth > _DEEPEST:
        raise Wrong(f"The value is nested deeper than {_DEEPEST} levels.")
    left -= _EACH
    if isinstance(value, str):
        left -= len(value)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            left = _weigh(getattr(value, name), left, depth + 1)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            left = _weigh(item, left - len(str(name)), depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            left = _weigh(item, left, depth + 1)
    if left < 0:
        raise too_large()
    return left


def count_text(text: str) -> str:
    """The text, unless it is larger than any may be; then Wrong."""
    if len(text) > LARGEST:
        raise too_large()
    return text


def too_large() -> Wrong:
    """The error for what would be too large."""
    return Wrong(f"The result is longer than {LARGEST:,} characters.", "Take a part of it, such as `x[:1000]`.")


def kind_of(value: Any) -> str:
    """The kind of a value in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Mapping, Struct)):
        return "a mapping"
    for kind, words in ((str, "text"), ((int, float, Decimal), "a number"), ((list, tuple), "a list")):
        if isinstance(value, kind):
            return words
    return f"a value of kind {type(value).__name__}"
