"""HTTP Request over real sockets: what is sent, what comes back, and what never leaves."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from chatstep.app import App
from chatstep.errors import (
    AnswerTooLarge,
    ChatstepError,
    CredentialsRefused,
    InvalidInput,
    ProviderDown,
    RateLimited,
    RequestRefused,
    TimedOut,
)
from chatstep.modules.http.connection import http_kind
from chatstep.modules.http.request import HttpRequest, request
from chatstep.secret import Secret
from chatstep.settings import Settings
from chatstep.store import StoredConnection
from raw_server import Exchange, RawServer

KEY = "sk-marker-of-a-service"


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    allowing = msgspec.structs.replace(settings, private_addresses="allow")
    async with App.open(allowing, {}) as app:
        yield app


async def connect(app: App, url: str, **settings: str) -> None:
    stored = StoredConnection("service", "http", "http", {"base_url": url, **settings})
    await asyncio.to_thread(app.store.connections.add, stored, {"token": Secret(KEY)})


def echo(exchange: Exchange) -> Any:
    return exchange.reply(200, b'{"ok": [1, true, null]}', content_type="application/json; charset=utf-8", x_id="7")


async def ask(app: App, **inputs: Any) -> Any:
    return await request.run(msgspec.convert(inputs, HttpRequest), app.context)


async def test_json_goes_out_and_comes_back(app: App) -> None:
    async with RawServer(echo) as server:
        query = {"a": [1, "x y"], "b": True, "c": None}
        answer = await ask(app, url=server.url, method="POST", body={"text": "Grüße", "n": 1}, query=query)
        sent = server.requests[0]
    assert (answer.status, answer.body, answer.attempts) == (200, {"ok": [1, True, None]}, 1)
    assert answer.headers["x-id"] == "7"
    assert sent.line == "POST /v1/chat/completions?a=1&a=x%20y&b=true HTTP/1.1"
    assert json.loads(sent.body) == {"text": "Grüße", "n": 1}
    assert sent.headers["content-type"] == "application/json"
    assert "idempotency-key" not in sent.headers


@pytest.mark.parametrize(
    ("inputs", "kind", "body"),
    [
        ({"body": "just text"}, "text/plain; charset=utf-8", b"just text"),
        ({"form": {"a": "1&2", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", b"a=1%262&b=x&b=y"),
        ({"body": [1], "headers": {"content-type": "application/vnd.x+json"}}, "application/vnd.x+json", b"[1]"),
    ],
)
async def test_kinds_of_bodies(app: App, inputs: dict[str, Any], kind: str, body: bytes) -> None:
    async with RawServer(echo) as server:
        await ask(app, url=server.url, method="PUT", **inputs)
        assert (server.requests[0].headers["content-type"], server.requests[0].body) == (kind, body)


@pytest.mark.parametrize(
    ("kind", "sent", "body"),
    [
        ("text/plain", b"hello", "hello"),
        ("application/json", b"{broken", "{broken"),
        ("application/json", b"\xef\xbb\xbf{}", {}),
        ("text/html; charset=ISO-8859-15", b"\xa4", "€"),
        ("text/plain; charset=utf-16", "Grüße".encode("utf-16"), "Grüße"),
        ("text/plain; charset=punycode", b"abc-", "abc-"),
        ("text/plain", "Grüße".encode("latin-1"), "Grüße"),
        ("text/plain", b"\xef\xbb\xbfhello", "hello"),
        ("application/x-unknown", "Grüße".encode(), "Grüße"),
        ("application/json", b"", ""),
        ("application/problem+json", b'"x"', "x"),
    ],
)
async def test_what_is_no_json_is_text(app: App, kind: str, sent: bytes, body: object) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, sent, content_type=kind)) as server:
        answer = await ask(app, url=server.url)
    assert (answer.body, answer.base64) == (body, False)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "text/plain; charset=utf-8", "", "\x80"])
async def test_no_byte_is_lost(app: App, kind: str) -> None:
    sent = b"\x89PNG\x81\x00\xff"
    async with RawServer(lambda exchange: exchange.reply(200, sent, content_type=kind)) as server:
        answer = await ask(app, url=server.url)
    assert (b64decode(answer.body), answer.base64) == (sent, True)


async def test_headers_that_come_twice_are_joined_and_cookies_left_out(app: App) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nSet-Cookie: session=1\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(lambda exchange: exchange.send(head)) as server:
        answer = await ask(app, url=server.url)
    assert (answer.headers["x-a"], "set-cookie" in answer.headers) == ("1, 2", False)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, RequestRefused), (400, RequestRefused), (401, CredentialsRefused), (403, CredentialsRefused),
        (404, RequestRefused), (408, TimedOut), (418, RequestRefused), (429, RateLimited), (500, ProviderDown),
        (503, ProviderDown),
    ],
)  # fmt: skip
async def test_statuses(app: App, status: int, error: type[ChatstepError]) -> None:
    async with RawServer(lambda exchange: exchange.reply(status, b"because", location="http://127.0.0.1:1/")) as server:
        with pytest.raises(error) as caught:
            await ask(app, url=server.url, tries=1)
        assert (await ask(app, url=server.url, expect=[status])).status == status
    assert caught.value.details["status"] == status
    assert caught.value.details["said"] == "because"


async def test_a_busy_service_is_asked_again(app: App) -> None:
    async def answer(exchange: Exchange) -> None:
        if len(server.requests) < 3:
            await exchange.reply(429, b"", retry_after="0")
        else:
            await exchange.reply(200, b"done")

    async with RawServer(answer) as server:
        assert (await ask(app, url=server.url, method="POST", body="x")).attempts == 3


async def reset(exchange: Exchange) -> None:
    exchange.abort()


async def test_a_post_whose_fate_is_unknown_is_not_sent_again(app: App) -> None:
    async with RawServer(reset) as server:
        with pytest.raises(ChatstepError):
            await ask(app, url=server.url, method="POST", body="x")
        assert len(server.requests) == 1
        with pytest.raises(ChatstepError):
            await ask(app, url=server.url, method="GET", tries=2)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fields", "header", "value"),
    [({}, "authorization", f"Bearer {KEY}"), ({"header": "X-Api-Key"}, "x-api-key", KEY)],
)
async def test_a_connection_opens_its_service_and_no_other(
    app: App, fields: dict[str, str], header: str, value: str
) -> None:
    async with RawServer(echo) as server, RawServer(echo) as other:
        await connect(app, f"http://127.0.0.1:{server.port}/api/", **fields)
        await ask(app, url="v1/items?x=1", connection="service", headers={header.upper(): "mine"})
        assert server.requests[0].headers[header] == value
        assert server.requests[0].line == "GET /api/v1/items?x=1 HTTP/1.1"
        for url in (
            other.url,
            other.url.removeprefix("http:"),
            "https://127.0.0.1/",
            f"http://127.0.0.1:{server.port}@evil.example/",
        ):
            with pytest.raises(InvalidInput) as caught:
                await ask(app, url=url, connection="service")
            assert caught.value.place == "url"
        assert other.requests == []


async def test_a_redirect_does_not_take_the_key_along(app: App) -> None:
    async with RawServer(echo) as other:
        async with RawServer(lambda exchange: exchange.reply(307, b"", location=other.url)) as server:
            await connect(app, server.url)
            with pytest.raises(RequestRefused, match="redirects"):
                await ask(app, url="/", connection="service")
        assert other.requests == []


async def test_a_service_that_repeats_the_key_gets_it_into_no_error(app: App) -> None:
    async with RawServer(lambda exchange: exchange.reply(400, f"bad key {KEY}".encode())) as server:
        await connect(app, server.url)
        with pytest.raises(RequestRefused) as caught:
            await ask(app, url="/", connection="service")
    assert KEY not in repr(caught.value.to_data())
    assert "***" in caught.value.details["said"]


async def test_private_addresses_need_a_connection_that_allows_them(settings: Settings) -> None:
    async with App.open(settings, {}) as app, RawServer(echo) as server:
        with pytest.raises(RequestRefused, match="private"):
            await ask(app, url=server.url)
        stored = StoredConnection("closed", "http", "http", {"base_url": server.url})
        opened = StoredConnection("opened", "http", "http", {"base_url": server.url, "allow_private": "yes"})
        for one in (stored, opened):
            await asyncio.to_thread(app.store.connections.add, one, {})
        with pytest.raises(RequestRefused, match="private"):
            await ask(app, url="/", connection="closed")
        assert (await ask(app, url="/", connection="opened")).status == 200


async def test_an_answer_may_be_too_large_or_too_slow(app: App) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, b"x" * 1001)) as server:
        with pytest.raises(AnswerTooLarge):
            await ask(app, url=server.url, max_bytes=1000)
        assert len((await ask(app, url=server.url, max_bytes=1001)).body) == 1001

    async def never(exchange: Exchange) -> None:
        await asyncio.sleep(30)

    async with RawServer(never) as server:
        with pytest.raises(TimedOut):
            await ask(app, url=server.url, timeout=0.2, tries=1)


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        ({"url": "ftp://x/"}, "url"),
        ({"url": "http://user:pw@x/"}, "url"),
        ({"url": "nowhere"}, "url"),
        ({"url": "http://x/", "body": "x"}, "body"),
        ({"url": "http://x/", "method": "POST", "body": "x", "form": {}}, "form"),
        ({"url": "http://x/", "method": "POST", "body": "\ud800"}, "body"),
        ({"url": "http://x/", "headers": {"Host": "y"}}, "headers.Host"),
        ({"url": "http://x/", "headers": {"X-A": "a\r\nX-B: b"}}, "headers.X-A"),
        ({"url": "http://x/", "query": {"a": {"b": 1}}}, "query.a"),
        ({"url": "http://x/", "connection": "rehearsal"}, "connection"),
    ],
)
async def test_wrong_inputs_are_said_before_anything_is_sent(app: App, inputs: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await ask(app, **inputs)
    assert caught.value.place == place


@pytest.mark.parametrize(
    "settings", [{}, {"base_url": "x"}, {"base_url": "ftp://x"}, {"base_url": "http://x", "allow_private": "maybe"}]
)
def test_wrong_connections_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        http_kind.open(settings, {})
