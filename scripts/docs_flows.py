"""The tables of docs/flows.md, and the JSON Schema beside it. Called by make_docs.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping

import msgspec

from chatstep.expressions import FILTERS, TESTS
from chatstep.flows import format as keys
from chatstep.flows.schema import flow_schema

Table = Callable[[Iterable[str], Iterable[Iterable[str]]], str]

_KINDS = {
    "name": "name",
    "id": "id",
    "text": "text",
    "sentence": "text",
    "template": "text, may hold expressions",
    "expression": "expression",
    "condition": "expression, or `true` or `false`",
    "flag": "`true` or `false`",
    "path": "name",
    "values": "mapping, may hold expressions",
    "any": "any value",
    "triggers": "list",
    "inputs": "mapping",
    "conversation": "mapping",
    "steps": "list",
    "retry": "mapping",
}
_HEAD = ("key", "value", "default", "what it is")


def tables(table: Table) -> dict[str, Callable[[], str]]:
    """The tables of the page by name; ``table`` makes one of a head and rows."""
    return {
        "flow": lambda: table(_HEAD, map(_row, keys.FLOW)),
        "triggers": lambda: _triggers(table),
        "inputs": lambda: table(_HEAD, map(_row, keys.INPUT)),
        "conversation": lambda: table(_HEAD, map(_row, keys.CONVERSATION)),
        "steps": lambda: table(_HEAD, map(_row, keys.STEP)),
        "retry": lambda: table(_HEAD, map(_row, keys.RETRY)),
        "filters": lambda: table(("filter", "gives"), _functions(FILTERS)),
        "tests": lambda: table(("test", "holds where"), _functions(TESTS)),
    }


def schema() -> str:
    """The schema as it is published."""
    return msgspec.json.format(msgspec.json.encode(flow_schema()), indent=2).decode() + "\n"


def _row(key: keys.Key) -> tuple[str, str, str, str]:
    default = "required" if key.required else "" if key.default is None else f"`{_written(key.default)}`"
    return f"`{key.name}`", _kind(key), default, key.help


def _written(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode().removesuffix(".0")


def _kind(key: keys.Key) -> str:
    if key.kind == "choice":
        return ", ".join(f"`{choice}`" for choice in key.choices)
    if key.kind in ("number", "whole"):
        return f"{'whole number' if key.kind == 'whole' else 'number'}, {key.least:g} to {key.most:g}"
    return _KINDS[key.kind]


def _triggers(table: Table) -> str:
    parts = [table(("trigger", "what it is"), ((f"`{name}`", help) for name, (help, _) in keys.TRIGGERS.items()))]
    for name, (_, own) in keys.TRIGGERS.items():
        if own:
            parts += [f"The keys of `{name}`:", table(_HEAD, map(_row, own))]
    return "\n\n".join(parts)


def _functions(functions: Mapping[str, Callable[..., object]]) -> Iterable[tuple[str, str]]:
    for name, function in functions.items():
        arguments = list(inspect.signature(function).parameters)[1:]
        yield f"`{name}{'(' + ', '.join(arguments) + ')' if arguments else ''}`", (function.__doc__ or "").strip()
