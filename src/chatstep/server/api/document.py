"""The OpenAPI 3.1 document of the API, made from the endpoints' own declarations."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec

from chatstep.server.api.endpoints import ENDPOINTS, Endpoint, ErrorAnswer

__all__ = ["document"]

Data = dict[str, Any]

_REFUSALS = (400, 401, 403, 404, 408, 413, 415, 421, 429, 500, 503)
_PROVIDERS = (402, 502, 504)
_ABOUT = """What `chatstep serve` does, for programs. Times are ISO 8601 in UTC, money is dollars as decimal text. Lists
come in pages: `next` of one is the `cursor` of the following. Where tokens were made, an admin's is needed."""


@cache
def document() -> Data:
    """The document. Blocks for some milliseconds the first time."""
    types: list[Any] = [ErrorAnswer]
    for endpoint in ENDPOINTS:
        types += [kind for kind in (endpoint.query, endpoint.body, endpoint.gives) if kind is not None]
    shapes, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schemas = {id(kind): shape for kind, shape in zip(types, shapes, strict=True)}
    paths: dict[str, Data] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.address, {})[endpoint.method.lower()] = _operation(endpoint, schemas, components)
    for kind in {endpoint.query for endpoint in ENDPOINTS if endpoint.query is not None}:
        components.pop(kind.__name__, None)  # they are parameters, one by one
    made = {
        "openapi": "3.1.0",
        "info": {"title": "chatstep", "version": version("chatstep"), "description": " ".join(_ABOUT.split())},
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [{"name": name} for name in dict.fromkeys(endpoint.tag for endpoint in ENDPOINTS)],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: _cleaned(shape) for name, shape in sorted(components.items())},
        },
    }
    # A page of runs is called RunPage, and what Python has besides JSON (tuples) becomes JSON.
    text = re.sub(r"\bPage_(\w+)_\b", r"\1Page", msgspec.json.encode(made).decode())
    plain: Data = msgspec.json.decode(text)
    return plain


def _operation(endpoint: Endpoint, schemas: dict[int, Data], components: Data) -> Data:
    summary, _, rest = endpoint.doc.partition("\n\n")
    operation: Data = {
        "operationId": _id(endpoint),
        "tags": [endpoint.tag],
        "summary": " ".join(summary.split()),
        "responses": _responses(endpoint, schemas),
    }
    if rest:
        operation["description"] = rest
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in endpoint.names
    ]
    if endpoint.query is not None:
        parameters += _parameters(components[endpoint.query.__name__])
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        body = {"application/json": {"schema": schemas[id(endpoint.body)]}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _id(endpoint: Endpoint) -> str:
    name = endpoint.run.__name__
    return name if name in (endpoint.tag, endpoint.tag.removesuffix("s")) else f"{endpoint.tag}_{name}"


def _parameters(shape: Data) -> list[Data]:
    found = []
    for name, schema in shape["properties"].items():
        plain = {key: value for key, value in schema.items() if key != "description"}
        found.append({"name": name, "in": "query", "description": schema["description"], "schema": plain})
    return found


def _responses(endpoint: Endpoint, schemas: dict[int, Data]) -> Data:
    good: Data = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.events:
        good["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        shape = schemas[id(endpoint.gives)]["$ref"].rpartition("/")[2]
        good["description"] = f"Server-sent events: `event: run`, with a {shape} as JSON in `data`."
    elif endpoint.gives is not None:
        good["content"] = {"application/json": {"schema": schemas[id(endpoint.gives)]}}
    wrong = {"application/json": {"schema": schemas[id(ErrorAnswer)]}}
    statuses = sorted((*_REFUSALS, *(_PROVIDERS if endpoint.asks else ())))
    return {
        str(endpoint.status): good,
        **{str(status): {"description": HTTPStatus(status).phrase, "content": wrong} for status in statuses},
    }


def _cleaned(shape: Data) -> Data:
    """The shape with its description as every version of Python would give it: before 3.13 docstrings keep indents."""
    return {**shape, "description": cleandoc(shape["description"])} if "description" in shape else shape
