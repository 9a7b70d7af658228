"""HTTP Request: ask any service, with a key that the flow does not hold."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from chatstep.errors import ChatstepError, InvalidInput
from chatstep.http.values import Patience, Reply, Request, Timeouts
from chatstep.modules.http.answer import HttpAnswer, answer_of, judged
from chatstep.modules.http.connection import Service
from chatstep.step import Context, step

__all__ = ["HttpRequest", "request"]

_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"})
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ONCE = frozenset({"POST", "PATCH"})


class HttpRequest(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step."""

    url: Annotated[
        str,
        Meta(
            title="URL",
            description="Where to ask: a whole address, or a path where a connection is named.",
            min_length=1,
        ),
    ]
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], Meta(title="Method", description="What to do there.")
    ] = "GET"
    connection: Annotated[
        str,
        Meta(
            title="Connection",
            description="A connection of kind http, which holds address and key. Empty: none.",
            extra_json_schema={"format": "connection:http"},
        ),
    ] = ""
    headers: Annotated[
        dict[str, str], Meta(title="Headers", description="Headers to send. Keys belong into a connection.")
    ] = {}
    query: Annotated[
        dict[str, Any], Meta(title="Query", description="What is added to the address after `?`, with %-codes.")
    ] = {}
    body: Annotated[
        Any, Meta(title="Body", description="What to send. A mapping or list is sent as JSON, text as it is.")
    ] = None
    form: Annotated[
        dict[str, Any] | None, Meta(title="Form", description="Fields to send as a web form, instead of a body.")
    ] = None
    expect: Annotated[
        tuple[Annotated[int, Meta(ge=200, le=599)], ...],
        Meta(title="Expect", description="Status codes that count as success. Empty: 200 to 299."),
    ] = ()
    timeout: Annotated[
        float, Meta(title="Timeout", description="The most seconds that one attempt may take.", gt=0, le=600)
    ] = 30.0
    tries: Annotated[int, Meta(title="Tries", description="How often a busy service is asked in all.", ge=1, le=10)] = 3
    max_bytes: Annotated[
        int, Meta(title="Max Bytes", description="The largest answer that is taken.", ge=0, le=16_000_000)
    ] = 1_000_000


@step("http.request", title="HTTP Request", inputs=HttpRequest, output=HttpAnswer)
async def request(inputs: HttpRequest, ctx: Context) -> HttpAnswer:
    """Ask any service over HTTP, with a key that a connection holds."""
    service: Service | None = None
    turn = None
    if inputs.connection:
        connection = await ctx.connection(inputs.connection)
        service, turn = connection.opened, connection.turn
        if not isinstance(service, Service):
            raise InvalidInput(
                f"The connection {inputs.connection!r} is of kind {connection.kind}, not http.",
                place="connection",
                hint="Add one: chatstep connections add NAME --kind http --set base_url https://...",
            )
    key = service.token if service is not None else None
    sent = replace(_request(inputs, service, ctx), turn=turn)
    started = time.perf_counter()
    # A request that changes something and whose fate is unknown is not sent again by itself: the flow's `retry` does,
    # and the key of idempotency lets the service see that it is the same.
    patience = Patience(tries=inputs.tries, resend=inputs.method not in _ONCE)
    timeouts = Timeouts(connect=min(10.0, inputs.timeout), between=inputs.timeout, total=inputs.timeout)

    def read(reply: Reply) -> Reply:
        return judged(reply, inputs.expect, inputs.max_bytes)

    try:
        reply: Reply = await ctx.send(sent, read, timeouts=timeouts, patience=patience)
    except ChatstepError as error:
        if key is not None:
            key.keep_out_of(error)
        raise
    return answer_of(reply, key, time.perf_counter() - started)


def _request(inputs: HttpRequest, service: Service | None, ctx: Context) -> Request:
    headers = {"Accept": "application/json, text/*;q=0.9, */*;q=0.5"}
    if ctx.run is not None and inputs.method in _CHANGING:
        headers["Idempotency-Key"] = ctx.run.key
    for name, value in inputs.headers.items():
        if name.lower() in _OURS:
            raise InvalidInput(f"The header {name[:40]!r} is set by chatstep itself.", place=f"headers.{name[:40]}")
        headers = {known: given for known, given in headers.items() if known.lower() != name.lower()}
        headers[name] = value
    body, kind = _encoded(inputs)
    if kind and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    url = inputs.url
    if service is not None:
        url = service.url(url)
        own = service.headers()
        headers = {name: value for name, value in headers.items() if name.lower() not in {key.lower() for key in own}}
        headers.update(own)
    return Request(
        inputs.method,
        _with_query(url, inputs.query),
        headers,
        body,
        public_only=not (service is not None and service.allow_private),
    )


def _encoded(inputs: HttpRequest) -> tuple[bytes, str | None]:
    """The body and its content type."""
    if inputs.form is not None:
        if inputs.body is not None:
            raise InvalidInput("A request has a body or a form, not both.", place="form", hint="Leave one of them out.")
        return _pairs(inputs.form, "form").encode(), "application/x-www-form-urlencoded"
    if inputs.body is None:
        return b"", None
    if inputs.method in ("GET", "HEAD"):
        raise InvalidInput(f"A {inputs.method} request has no body.", place="body", hint="Use `query`, or POST.")
    try:
        if isinstance(inputs.body, str):
            return inputs.body.encode(), "text/plain; charset=utf-8"
        return msgspec.json.encode(inputs.body), "application/json"
    except (TypeError, ValueError, RecursionError):  # lone surrogates, too
        raise InvalidInput("The body cannot be written.", place="body", hint="Use plain values and texts.") from None


def _with_query(url: str, query: dict[str, Any]) -> str:
    if not query:
        return url
    added = _pairs(query, "query")
    whole, mark, fragment = url.partition("#")
    return f"{whole}{'&' if urlsplit(whole).query else '?'}{added}{mark}{fragment}"


def _pairs(values: dict[str, Any], place: str) -> str:
    """Fields as name=value; a list gives one each, nothing is left out, a truth value is true or false."""
    pairs: list[str] = []
    for name, value in values.items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if each is None:
                continue
            if isinstance(each, (dict, list, tuple)):
                raise InvalidInput("Expected text, a number or a list of them.", place=f"{place}.{name[:40]}")
            text = str(each).lower() if isinstance(each, bool) else str(each)
            pairs.append(f"{quote(name, safe='', errors='replace')}={quote(text, safe='', errors='replace')}")
    return "&".join(pairs)
