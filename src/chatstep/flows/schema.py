"""The format of flows as JSON Schema (2020-12), so that editors complete and check a file while it is written.

Made from format.py and from the steps that are installed. A file that it accepts may still have problems that only
checking.py sees; one that it refuses has some.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from chatstep.flows import format as keys
from chatstep.flows.format import Key
from chatstep.registry import steps
from chatstep.step import Step

__all__ = ["flow_schema"]

Schema = dict[str, Any]

_EXPRESSION: Schema = {"type": "string", "pattern": r"\$\{\{"}
_BEGINS: Schema = {"type": "string", "pattern": r"^\$\{\{"}


def flow_schema() -> Schema:
    """The schema of a flow's file."""
    known = sorted(steps().values(), key=lambda step: step.name)
    shapes, definitions = msgspec.json.schema_components([step.inputs for step in known], ref_template="#/$defs/{name}")
    forms = [
        {
            "if": {"properties": {"uses": {"const": step.name}}, "required": ["uses"]},
            "then": {"properties": {"with": shape}, **_needs_with(step)},
        }
        for step, shape in zip(known, shapes, strict=True)
    ]
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flow of chatstep",
        **_mapping(keys.FLOW),
        "$defs": {name: _with_expressions(_described(shape)) for name, shape in definitions.items()},
    }
    step = schema["properties"]["steps"]["items"]
    step["properties"]["uses"] = {
        "description": step["properties"]["uses"]["description"],
        "anyOf": [
            *({"const": each.name, "title": each.title, "description": " ".join(each.doc.split())} for each in known),
            {"type": "string", "minLength": 1},
        ],
    }
    step["allOf"] = forms
    return schema


def _described(shape: Schema) -> Schema:
    """The shape with its description as every version of Python would give it: before 3.13 docstrings keep indents."""
    return {**shape, "description": cleandoc(shape["description"])} if "description" in shape else shape


def _needs_with(step: Step) -> Schema:
    return {"required": ["with"]} if any(field.required for field in msgspec.structs.fields(step.inputs)) else {}


def _mapping(table: tuple[Key, ...]) -> Schema:
    required = [key.name for key in table if key.required]
    return {
        "type": "object",
        "properties": {key.name: _value(key) for key in table},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _value(key: Key) -> Schema:
    schema: Schema = {"description": key.help, **_KINDS[key.kind](key)}
    if key.default is not None:
        schema["default"] = key.default
    return schema


def _pattern(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}$"}


def _range(key: Key, kind: str) -> Schema:
    return {"type": kind, "minimum": key.least, "maximum": key.most}


def _triggers(key: Key) -> Schema:
    plain = [name for name, (_, table) in keys.TRIGGERS.items() if not any(each.required for each in table)]
    forms: list[Schema] = [{"const": name, "description": keys.TRIGGERS[name][0]} for name in plain]
    for name, (help, table) in keys.TRIGGERS.items():
        if name not in plain:
            inner = {"description": help, **_mapping(table)}
            forms.append(
                {"type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": False}
            )
    return {"type": "array", "minItems": 1, "items": {"anyOf": forms}}


def _inputs(key: Key) -> Schema:
    form = {"anyOf": [{"enum": list(keys.INPUT_TYPES)}, _mapping(keys.INPUT)]}
    return {"type": "object", "propertyNames": _pattern(keys.ID), "additionalProperties": form}


_KINDS: dict[str, Any] = {
    "name": lambda key: _pattern(keys.NAME),
    "id": lambda key: _pattern(keys.ID),
    "path": lambda key: _pattern(keys.PATH),
    "text": lambda key: {"type": "string", "minLength": 1},
    "sentence": lambda key: {"type": "string"},
    "template": lambda key: {"type": "string"},
    "expression": lambda key: _BEGINS,
    "condition": lambda key: {"anyOf": [{"type": "boolean"}, _BEGINS]},
    "number": lambda key: _range(key, "number"),
    "whole": lambda key: _range(key, "integer"),
    "flag": lambda key: {"type": "boolean"},
    "choice": lambda key: {"enum": list(key.choices)},
    "values": lambda key: {"type": "object"},
    "any": lambda key: {},
    "triggers": _triggers,
    "inputs": _inputs,
    "conversation": lambda key: _mapping(keys.CONVERSATION),
    "steps": lambda key: {
        "type": "array",
        "minItems": 1,
        "maxItems": keys.MOST_STEPS,
        "items": _mapping(keys.STEP),
    },
    "retry": lambda key: _mapping(keys.RETRY),
}


def _with_expressions(shape: Schema) -> Schema:
    """The schema of a Struct in which an expression may stand for any field; other keys are not taken."""
    if shape.get("type") != "object" or "properties" not in shape:
        return shape
    fields = {name: _or_expression(field) for name, field in shape["properties"].items()}
    return {**shape, "properties": fields, "additionalProperties": False}


def _or_expression(field: Schema) -> Schema:
    about: Schema = {name: field[name] for name in ("title", "description", "default") if name in field}
    return {**about, "anyOf": [{name: value for name, value in field.items() if name not in about}, _EXPRESSION]}
