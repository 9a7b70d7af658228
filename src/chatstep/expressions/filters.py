"""What an expression may do beside looking up and comparing: filters (``x | lower``) and tests (``x is none``).

Each takes the value and its arguments, and raises Wrong. Each is bounded: none makes more than `LARGEST` characters.
The first line of its docstring is its row in docs/flows.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from chatstep.expressions.values import LARGEST, Wrong, as_json, as_text, count_text, kind_of, too_large

__all__ = ["FILTERS", "TESTS"]

_DIGITS = 300


def default(value: Any, instead: Any = "") -> Any:
    """`instead` where the value is missing or nothing."""
    return instead if value is None else value


def first(value: Any) -> Any:
    """The first item of a list, or nothing."""
    items = _sequence(value, "first")
    return items[0] if items else None


def last(value: Any) -> Any:
    """The last item of a list, or nothing."""
    items = _sequence(value, "last")
    return items[-1] if items else None


def length(value: Any) -> int:
    """How many items a list or mapping has, or characters a text."""
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise Wrong(f"`length` needs a text, list or mapping, got {kind_of(value)}.")


def lower(value: Any) -> str:
    """The text in small letters."""
    return _text(value, "lower").lower()


def upper(value: Any) -> str:
    """The text in capital letters."""
    return count_text(_text(value, "upper").upper())


def trim(value: Any) -> str:
    """The text without white space around it."""
    return _text(value, "trim").strip()


def truncate(value: Any, most: Any = 200) -> str:
    """The text cut to `most` characters, the last of them … where it was cut."""
    text, most = _text(value, "truncate"), _whole(most, "truncate")
    if most < 1:
        raise Wrong("`truncate` needs a length of 1 or more.")
    return text if len(text) <= most else text[: most - 1] + "…"


def replace(value: Any, old: Any, new: Any) -> str:
    """The text with `new` wherever `old` stood."""
    text, old, new = _text(value, "replace"), _text(old, "replace"), _text(new, "replace")
    if not old:
        raise Wrong("`replace` needs a text to look for.")
    if len(text) + text.count(old) * (len(new) - len(old)) > LARGEST:
        raise too_large()
    return text.replace(old, new)


def split(value: Any, separator: Any = None) -> list[str]:
    """The text as a list, cut at each `separator`, or at white space."""
    if separator is None:
        return _text(value, "split").split()
    if not _text(separator, "split"):
        raise Wrong("`split` needs a text to cut at.")
    return _text(value, "split").split(separator)


def join(value: Any, separator: Any = "") -> str:
    """The items of a list as one text, with `separator` between them."""
    between = _text(separator, "join")
    parts: list[str] = []
    total = 0
    for item in _sequence(value, "join"):
        parts.append(as_text(item))
        total += len(parts[-1]) + len(between)
        if total > LARGEST:
            raise too_large()
    return between.join(parts)


def as_int(value: Any) -> int:
    """The whole number that a text or number holds; fractions are cut off."""
    if isinstance(value, str) and len(value) <= _DIGITS:
        try:
            return int(value)
        except ValueError:
            pass
    number = as_float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not math.isfinite(number):
        raise Wrong("It is not a whole number.")
    return int(number)


def as_float(value: Any) -> float:
    """The number that a text or number holds."""
    if isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise Wrong(f"{kind_of(value).capitalize()} does not hold a number.", "Numbers are written as 3 or 3.5.")


def rounded(value: Any, digits: Any = 0) -> float | int:
    """The number rounded to `digits` behind the point; a whole number for 0."""
    number, digits = as_float(value), _whole(digits, "round")
    if not 0 <= digits <= 15 or not math.isfinite(number):
        raise Wrong("`round` needs a number, and 0 to 15 digits.")
    return round(number, digits) if digits else round(number)


def string(value: Any) -> str:
    """The value as text."""
    return as_text(value)


def tojson(value: Any) -> str:
    """The value as JSON."""
    return as_json(value)


def fromjson(value: Any) -> Any:
    """What a text of JSON holds."""
    import msgspec

    try:
        return msgspec.json.decode(count_text(_text(value, "fromjson")))
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError):
        raise Wrong("The text is not JSON.", "If a model wrote it, ask for JSON with `response_format`.") from None


def is_none(value: Any) -> bool:
    """It is nothing."""
    return value is None


def is_text(value: Any) -> bool:
    """It is a text."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """It is a number."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    """It is a list."""
    return isinstance(value, (list, tuple))


def is_mapping(value: Any) -> bool:
    """It is a mapping."""
    return isinstance(value, (Mapping, Struct))


def starting_with(value: Any, beginning: Any) -> bool:
    """The text begins with `beginning`."""
    return _text(value, "starting_with").startswith(_text(beginning, "starting_with"))


def ending_with(value: Any, end: Any) -> bool:
    """The text ends with `end`."""
    return _text(value, "ending_with").endswith(_text(end, "ending_with"))


def is_defined(value: Any) -> bool:
    """It is there at all."""
    return True  # where it is not, the evaluation of what it looks at says so


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    raise Wrong(f"`{where}` needs a text, got {kind_of(value)}.", "`| string` makes a text of it.")


def _whole(value: Any, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Wrong(f"`{where}` needs a whole number, got {kind_of(value)}.")


def _sequence(value: Any, where: str) -> Any:
    if isinstance(value, (list, tuple)):
        return value
    raise Wrong(f"`{where}` needs a list, got {kind_of(value)}.")


FILTERS: dict[str, Callable[..., Any]] = {
    "default": default,
    "first": first,
    "float": as_float,
    "fromjson": fromjson,
    "int": as_int,
    "join": join,
    "last": last,
    "length": length,
    "lower": lower,
    "replace": replace,
    "round": rounded,
    "split": split,
    "string": string,
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "upper": upper,
}
TESTS: dict[str, Callable[..., bool]] = {
    "defined": is_defined,
    "ending_with": ending_with,
    "list": is_list,
    "mapping": is_mapping,
    "none": is_none,
    "number": is_number,
    "starting_with": starting_with,
    "text": is_text,
}
