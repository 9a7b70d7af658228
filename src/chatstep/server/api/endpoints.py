"""Endpoints: a function and what it is declared with make a door, its checks, and its part of the document.

``@get("/api/runs/{run}")`` over ``async def run(app: App, run: str) -> Run`` is all there is to write: parameters named
as in the address come from there, ``query`` and ``body`` are Structs, and the doc string is the documentation.
"""

from __future__ import annotations

import inspect
import time
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from types import NoneType
from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from chatstep.app import App
from chatstep.errors import ChatstepError
from chatstep.flows.problems import Problem
from chatstep.server.doors import Asked
from chatstep.server.envelope import NotServed, kind_of
from chatstep.server.under_way import UnderWay

__all__ = ["ENDPOINTS", "Body", "Endpoint", "ErrorAnswer", "Query", "delete", "door", "get", "patch", "post"]

Run = TypeVar("Run", bound=Callable[..., Any])
Method = Literal["GET", "POST", "PATCH", "DELETE"]
_PING = b": ping\n\n"
_QUIET = 15.0  # seconds
_STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"}


class Query(Struct, kw_only=True, forbid_unknown_fields=True):
    """The parameters of an address, behind its ``?``."""


class Body(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a request brings as JSON."""


class ErrorInside(Struct, kw_only=True, omit_defaults=True):
    """What is wrong. ``message`` says it in a sentence, ``code`` names it for programs."""

    message: str
    type: str
    param: str | None
    """The field, or the name, that is wrong."""
    code: str | None
    hint: str | None = None
    """What to do about it."""
    problems: tuple[Problem, ...] = ()
    """All that is wrong with a flow."""


class ErrorAnswer(Struct):
    """Any answer with a status of 400 or more."""

    error: ErrorInside


class Endpoint(Struct, frozen=True):
    """One endpoint as its function declares it. ``gives`` is the type of its answer, None where it has no body."""

    method: Method
    address: str
    run: Callable[..., Any]
    status: int
    tag: str
    names: tuple[str, ...]
    query: type[Query] | None
    body: type[Body] | None
    gives: Any
    events: bool
    asks: bool
    """Whether it calls a provider, and so may fail as that does."""

    @property
    def doc(self) -> str:
        """What it is for; the first sentence is its summary."""
        return inspect.getdoc(self.run) or ""


ENDPOINTS: list[Endpoint] = []
"""All endpoints, as their files declare them."""


class _Declares:
    """The decorator for endpoints with one method."""

    def __init__(self, method: Method) -> None:
        self._method = method

    def __call__(self, address: str, *, status: int = 200, asks: bool = False) -> Callable[[Run], Run]:
        """``status`` is that of a good answer; ``asks`` says that a provider is called."""

        def made(run: Run) -> Run:
            ENDPOINTS.append(_endpoint(self._method, address, run, status, asks=asks))
            return run

        return made


get, post, patch, delete = _Declares("GET"), _Declares("POST"), _Declares("PATCH"), _Declares("DELETE")


def _endpoint(method: Method, address: str, run: Callable[..., Any], status: int, *, asks: bool) -> Endpoint:
    hints = typing.get_type_hints(run, include_extras=True)
    gives = hints.pop("return")
    hints.pop("app")
    query, body = hints.pop("query", None), hints.pop("body", None)
    events = typing.get_origin(gives) is AsyncIterator
    if events:
        gives, _ = typing.get_args(typing.get_args(gives)[0])
    if gives is NoneType:
        gives, status = None, 204
    tag = run.__module__.rpartition(".")[2]
    return Endpoint(method, address, run, status, tag, tuple(hints), query, body, gives, events, asks)


def door(app: App, endpoint: Endpoint, under_way: UnderWay) -> Callable[[Asked], Awaitable[web.StreamResponse]]:
    """What answers at the endpoint's address."""
    decode = msgspec.json.Decoder(endpoint.body).decode if endpoint.body is not None else None

    async def answer(asked: Asked) -> web.StreamResponse:
        try:
            given: dict[str, Any] = {**asked.names, "query": _query(asked.request, endpoint.query)}
            if endpoint.query is None:
                del given["query"]
            if decode is not None:
                given["body"] = _body(asked.body, decode)
            if endpoint.events:
                return await _streamed(asked.request, endpoint.run(app, **given), under_way)
            found = await endpoint.run(app, **given)
        except ChatstepError as error:
            return _refused(error)
        if endpoint.gives is None:
            return web.Response(status=endpoint.status)
        body = msgspec.json.encode(found)
        return web.Response(status=endpoint.status, body=body, content_type="application/json")

    return answer


def _query(request: web.BaseRequest, shape: type[Query] | None) -> Query | None:
    given: dict[str, str] = {}
    for name, value in request.rel_url.query.items():
        if name in given:
            raise NotServed(400, "This parameter is given twice.", code="invalid_value", param=name[:80])
        given[name] = value
    if shape is None and not given:
        return None
    read: Query = _fitted(lambda: msgspec.convert(given, shape or Query, strict=False))
    return read


def _body(body: bytes, decode: Callable[[bytes], Any]) -> Any:
    if not body:
        raise NotServed(400, "The request has no body; it needs one of JSON.", code="invalid_json")
    return _fitted(lambda: decode(body))


def _fitted(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `")
        place = place.rstrip("`").removeprefix("$").lstrip(".")
        raise NotServed(400, f"{said}.", code="invalid_value", param=place[:200] or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotServed(400, f"The body is not JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise NotServed(400, "The body is nested too deeply.", code="invalid_json") from None


def _refused(error: ChatstepError) -> web.Response:
    inside = ErrorInside(
        message=error.message,
        type=kind_of(error),
        param=error.place,
        code=error.code,
        hint=error.hint,
        problems=tuple(msgspec.convert(error.details.get("problems", ()), tuple[Problem, ...])),
    )
    body = msgspec.json.encode(ErrorAnswer(inside))
    return web.Response(status=error.http_status, body=body, content_type="application/json")


async def _streamed(
    request: web.BaseRequest, values: AsyncGenerator[Struct | None], under_way: UnderWay
) -> web.StreamResponse:
    """Values as server-sent events, named by their types, until there are no more or the server stops.

    None is nothing new; now and then it becomes a comment, which says that the line is alive. What is raised before the
    first value is still an answer of its own.
    """
    async with aclosing(values):
        value = await anext(values)
        response = web.StreamResponse(headers=_STREAM)
        await response.prepare(request)
        await response.write(_PING if value is None else _event(value))
        wrote = time.monotonic()
        async for value in values:
            if value is not None or time.monotonic() - wrote > _QUIET:
                await response.write(_PING if value is None else _event(value))
                wrote = time.monotonic()
            if under_way.stopping:
                break
    await response.write_eof()
    return response


def _event(value: Struct) -> bytes:
    return f"event: {type(value).__name__.lower()}\ndata: ".encode() + msgspec.json.encode(value) + b"\n\n"
