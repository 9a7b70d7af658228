"""A small valid value for a JSON schema, for requests that ask for JSON. Deterministic; for the reply's maker alone.

Covers what structured outputs allow: types, enum, const, anyOf, allOf, $ref, ranges, lengths, formats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["json_reply"]

_FORMATS = {
    "date-time": "2026-11-22T09:00:00Z",
    "date": "2026-11-22",
    "time": "09:00:00Z",
    "duration": "PT1H",
    "email": "ana@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEEPEST = 24


def json_reply(response_format: Mapping[str, Any], text: str) -> str:
    """The JSON text for a `response_format`; ``text`` is put where the schema has room for free text."""
    if response_format.get("type") == "json_object":
        return json.dumps({"reply": text}, ensure_ascii=False)
    schema = (response_format.get("json_schema") or {}).get("schema") or {}
    return json.dumps(_instance(schema, schema, text, 0), ensure_ascii=False)


def _instance(schema: Any, root: Mapping[str, Any], text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return _instance(_resolve(schema["$ref"], root), root, text, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            # Deep inside a recursive schema the way out is the alternative that does not go on.
            options = sorted(schema[key], key=lambda option: depth > 4 and "$ref" in option)
            return _instance(options[0], root, text, depth + 1)
    if schema.get("allOf"):
        merged: dict[str, Any] = {}
        for given in schema["allOf"]:
            part = _resolve(given["$ref"], root) if "$ref" in given else given
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**merged, **part, "properties": properties, "required": required}
        return _instance(merged, root, text, depth + 1)
    return _of_type(schema, root, text, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        names = schema.get("required", ()) if depth > 4 else schema.get("properties", {})
        properties = schema.get("properties", {})
        return {name: _instance(properties.get(name, {}), root, text, depth + 1) for name in names}
    if kind == "array":
        count = int(schema.get("minItems") or (0 if depth > 4 else 1))
        return [_instance(schema.get("items", {}), root, text, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _string(schema, text)


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or 1
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and schema.get("exclusiveMinimum") is not None:
        low = schema["exclusiveMinimum"] + step
    if high is None and schema.get("exclusiveMaximum") is not None:
        high = schema["exclusiveMaximum"] - step
    value = max(low, 1) if low is not None else 1
    value = min(value, high) if high is not None else value
    rounded = -(-value // step) * step
    value = rounded if high is None or rounded <= high else value
    return int(value) if whole else value


def _string(schema: Mapping[str, Any], text: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        return "1" if "\\d" in schema["pattern"] or "0-9" in schema["pattern"] else "a"
    value = text[: schema.get("maxLength", len(text))]
    return value.ljust(schema.get("minLength", 0), ".")


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
    return found
