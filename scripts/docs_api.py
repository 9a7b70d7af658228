"""The tables of docs/api.md, from the API's own document. Called by make_docs.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chatstep.server import api
from chatstep.server.api.document import document

Data = dict[str, Any]
Table = Callable[[Iterable[str], Iterable[Iterable[str]]], str]

_SHARED = ("limit", "cursor")  # the page says once what they are


def tables(table: Table) -> dict[str, Callable[[], str]]:
    """The tables of the page by name; ``table`` makes one of a head and rows."""
    made = {part.__name__.rpartition(".")[2]: part for part in api.PARTS}
    found: dict[str, Callable[[], str]] = {tag: lambda tag=tag: _requests(tag, table) for tag in made}  # type: ignore[misc]
    return {**found, "shapes": lambda: _shapes(table)}


def _requests(tag: str, table: Table) -> str:
    rows = [
        (f"`{method.upper()} {path}`", _words(operation), _takes(operation), _gives(operation))
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]
    return table(("request", "what it does", "takes", "gives"), rows)


def _words(operation: Data) -> str:
    return str(operation["summary"])


def _takes(operation: Data) -> str:
    found = [
        f"`?{each['name']}`"
        for each in operation.get("parameters", ())
        if each["in"] == "query" and each["name"] not in _SHARED
    ]
    if "requestBody" in operation:
        found.append(_kind(operation["requestBody"]["content"]["application/json"]["schema"]))
    return ", ".join(found)


def _gives(operation: Data) -> str:
    status, answer = next((status, answer) for status, answer in operation["responses"].items() if status < "300")
    content = answer.get("content", {})
    if "text/event-stream" in content:
        return f"{status}, events"
    shape = content.get("application/json", {}).get("schema")
    return status if shape is None else f"{status}, {_kind(shape)}"


def _shapes(table: Table) -> str:
    parts = []
    for name, shape in document()["components"]["schemas"].items():
        if name.endswith("Page"):
            continue
        required = shape.get("required", ())
        rows = [
            (f"`{field}`", _kind(schema), _default(field, schema, required), schema.get("description", ""))
            for field, schema in shape["properties"].items()
        ]
        about = " ".join(shape.get("description", "").replace("``", "`").split())
        parts.append(f"### {name}\n{about}\n\n{table(('field', 'type', 'default', ''), rows)}")
    return "\n\n".join(parts)


def _default(field: str, schema: Data, required: Iterable[str]) -> str:
    if field in required:
        return ""
    default = schema.get("default")
    return "may be left out" if default is None else f"`{default!r}`" if default != "" else "empty"


def _kind(schema: Data) -> str:
    """The type in words, with a link to its shape."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name.endswith("Page"):
            inner = name.removesuffix("Page")
            return f"a page of [{inner}](#{inner.lower()})"
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {_kind(inner)}" if isinstance(inner, dict) and inner else "object"
        case "string":
            return {"date-time": "time", "date": "date"}.get(schema.get("format", ""), "text")
        case None:
            return "any value"
        case kind:
            return {"integer": "whole number", "boolean": "true or false", "null": "null"}.get(kind, kind)
