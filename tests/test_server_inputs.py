"""Whatever a client sends, it gets an answer or the protocol's error: never a 5xx, never a traceback, never a key."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from chatstep.app import App
from chatstep.flows.reading import read_flow
from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.server.crowd import Crowd
from chatstep.server.envelope import NotServed
from chatstep.server.listening import Listen, Server
from chatstep.settings import Settings
from chatstep.store import StoredConnection, Token
from raw_server import Exchange, RawServer
from serving import Served, Serving
from stepping import KEY, Stage

Gateway = Callable[..., Awaitable[tuple[Served, Stage]]]

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
HUGE = b"9" * 5_000
FLOW = """
name: echo
on: [chat]
steps:
  - id: say
    uses: text.split
    with: {text: "${{ trigger.text }}"}
outputs: {message: "${{ trigger.text }}"}
"""


def body(**more: Any) -> dict[str, Any]:
    return {"model": "p/gpt-4o-mini", "messages": HELLO, **more}


def raw(field: bytes, value: bytes) -> bytes:
    return json.dumps(body(X="Y")).encode().replace(b'"X"', b'"%b"' % field).replace(b'"Y"', value)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (raw(b"seed", HUGE), None),
        (raw(b"stream_options", b'{"include_usage": true, "x": %b}, "stream": true' % HUGE), None),
        (raw(b"x", b"[" * 900 + b"]" * 900), None),
        (raw(b"x", b"[" * 100_000 + b"]" * 100_000), "body"),
        (raw(b"temperature", b"NaN"), "body"),
        (b"\xef\xbb\xbf" + json.dumps(body()).encode(), "body"),
        (json.dumps(body()).encode("utf-16"), "body"),
        (json.dumps(body(model="p/" + "x" * 1_000)).encode(), "model"),
        (json.dumps(body(model="p/\x00")).encode(), "model"),
        (json.dumps(body(model="p/a\r\nb: c")).encode(), "model"),
        (b'{"messages": []}', "model"),
        (b'{"model": "p/x"}', "messages"),
        (json.dumps(body(messages=["x"] * 2)).encode(), None),
        (json.dumps(body(stream=True, stream_options=[])).encode(), "stream_options"),
        (json.dumps(body(service_tier=3)).encode(), "service_tier"),
        (json.dumps(body(model="flow/nowhere")).encode(), "model"),
    ],
)
async def test_what_is_wrong_is_the_clients_error(
    gateway: Gateway, sent: bytes, param: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    served, _ = await gateway()
    status, answer = await served.post(data=sent)
    assert status in (400, 404)
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    if param is not None:
        assert answer["error"]["param"] == param
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("message", [b'{"role": "user", "x": %b}' % HUGE, b"[" * 900 + b"]" * 900])
async def test_under_a_limit_what_cannot_be_counted_is_not_sent(gateway: Gateway, message: bytes) -> None:
    served, stage = await gateway(daily_limit=10**12, prices="https://api.openai.com/v1")
    sent = json.dumps(body(messages=["X"], max_tokens=10)).encode().replace(b'"X"', message)
    assert (await served.post(data=sent))[0] in (400, 429)
    assert len(stage.bodies) <= 1


def test_a_crowd_lets_in_as_many_as_it_may() -> None:
    crowd = Crowd(2, 1)
    with crowd.one("a"), crowd.one("b"):
        with pytest.raises(NotServed) as caught, crowd.one(None):
            pass
        assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
    with crowd.one("a"), pytest.raises(NotServed) as caught, crowd.one("a"):
        pass
    assert (caught.value.status, caught.value.code) == (429, "too_many_at_once")
    with crowd.one("a"), crowd.one("b"):
        pass


async def test_too_many_at_once_are_told_to_come_again(serving: Serving) -> None:
    served = await serving(most_requests=1)
    arrived, free = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        arrived.set()
        await free.wait()
        await exchange.reply(401, b"{}")

    async with RawServer(answer) as upstream:
        await add(served.app, upstream.port)
        first = asyncio.create_task(served.post(body(model="raw/x")))
        await arrived.wait()
        async with served.client.post(f"{served.v1}/chat/completions", json=body()) as turned_away:
            assert (turned_away.status, turned_away.headers["retry-after"]) == (503, "1")
            assert (await turned_away.json())["error"]["code"] == "server_busy"
        async with served.client.get(f"{served.server.address}/healthz") as watched:
            assert watched.status == 200
        free.set()
        assert (await first)[0] == 401
    assert (await served.post(body(model="rehearsal/gpt-4o-mini")))[0] == 200


async def add(app: App, port: int, **settings: str) -> None:
    stored = StoredConnection("raw", "openai", "compatible", {"base_url": f"http://127.0.0.1:{port}/v1", **settings})
    await asyncio.to_thread(app.store.connections.add, stored, {"api_key": Secret(KEY)})


@pytest.mark.parametrize("more", [{}, {"stream": True}])
@pytest.mark.parametrize("status", [200, 400, 401, 503])
async def test_a_server_that_repeats_the_key_tells_it_to_nobody(
    serving: Serving, status: int, more: dict[str, Any]
) -> None:
    served = await serving()

    async def answer(exchange: Exchange) -> None:
        said = json.dumps({"error": {"message": f"No: {KEY}", "type": KEY, "code": KEY}}).encode()
        await exchange.reply(status, said, x_request_id=f"req {KEY}", openai_version=KEY)

    async with RawServer(answer) as upstream:
        await add(served.app, upstream.port, tries="1")
        async with served.client.post(f"{served.v1}/chat/completions", json=body(model="raw/x", **more)) as got:
            said = repr(got.headers) + await got.text()
    await asyncio.to_thread(served.app.store.ledger.flush)
    rows = await asyncio.to_thread(served.app.store._database.rows, "SELECT * FROM chatstep_ledger")
    assert rows
    assert KEY not in said + repr(rows)


async def test_an_answer_bears_no_key_in_its_headers(serving: Serving) -> None:
    served = await serving()

    async def answer(exchange: Exchange) -> None:
        said = json.dumps({"model": KEY, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}).encode()
        await exchange.reply(200, said, x_request_id=f"req {KEY}", openai_version=KEY)

    async with RawServer(answer) as upstream:
        await add(served.app, upstream.port)
        for headers in ({}, {"idempotency-key": "k"}):
            address = f"{served.v1}/chat/completions"
            async with served.client.post(address, json=body(model="raw/x"), headers=headers) as got:
                assert got.status == 200
                assert got.headers["x-request-id"] == "req ***"
                assert KEY not in repr(got.headers)
    await asyncio.to_thread(served.app.store.ledger.flush)
    rows = await asyncio.to_thread(served.app.store._database.rows, "SELECT * FROM chatstep_ledger")
    assert len(rows) == 2
    assert KEY not in repr(rows)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_leads_the_key_nowhere(serving: Serving, status: int, stream: bool) -> None:
    served = await serving()

    async def elsewhere(exchange: Exchange) -> None:
        await exchange.reply(200, b"{}")

    async with RawServer(elsewhere) as other:

        async def answer(exchange: Exchange) -> None:
            await exchange.reply(status, b"", location=other.url)

        async with RawServer(answer) as upstream:
            await add(served.app, upstream.port, tries="1")
            got, said = await served.post(body(model="raw/x", stream=stream))
            assert got >= 400
            assert "error" in said
            assert len(upstream.requests) == 1
    assert other.connections == 0


async def test_a_stream_that_breaks_after_its_finish_reason_was_whole(serving: Serving) -> None:
    served = await serving()
    end = b'{"choices": [{"index": 0, "delta": {"content": "Beans."}, "finish_reason": "stop"}]}'
    heard = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks(content_type="text/event-stream")
        await exchange.chunk(b"data: %b\n\n" % end)
        await heard.wait()
        await exchange.chunk(b'data: {"choices": [], "usage": {"prom')
        exchange.abort()

    async with RawServer(answer) as upstream:
        await add(served.app, upstream.port)
        async with served.client.post(f"{served.v1}/chat/completions", json=body(model="raw/x", stream=True)) as got:
            assert await got.content.readuntil(b"\n\n") == b"data: %b\n\n" % end
            heard.set()
            assert await got.read() == b"data: [DONE]\n\n"
        heard.clear()
        async with served.app.stream("Hello", connection="raw", model="x") as stream:
            async for text in stream:
                assert text == "Beans."
                heard.set()
        assert stream.completion.message == "Beans."
        assert len(upstream.requests) == 2


async def test_a_key_for_a_flow_is_its_clients_own(served: Served) -> None:
    await served.app.flows.publish(await asyncio.to_thread(read_flow, FLOW))
    make = served.app.store.tokens.make
    tokens = [(await asyncio.to_thread(make, Token(name=name)))[1].reveal() for name in ("ana", "ben")]
    answers = []
    for token, text in ((tokens[0], "Mine"), (tokens[1], "Yours"), (tokens[0], "Mine")):
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "1"}
        sent = body(model="flow/echo", messages=[{"role": "user", "content": text}])
        answers.append((await served.post(sent, headers=headers))[1])
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == ["Mine", "Yours", "Mine"]
    assert answers[0]["id"] == answers[2]["id"] != answers[1]["id"]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.sampled_from([10**400, -1, "", "\x00", "p/gpt-4o-mini", "flow/echo", "x" * 5_000, "\ud83d", [], {}]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FIELDS = (
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "service_tier",
    "temperature", "tools", "tool_choice", "response_format", "stop", "seed", "user", "metadata", "logprobs", "unknown",
)  # fmt: skip
VALID: tuple[dict[str, Any], ...] = (
    body(),
    body(stream=True, stream_options={"include_usage": True}),
    body(model="flow/echo"),
    body(model="flow/echo", stream=True, messages=[{"role": "system", "content": "x"}, *HELLO]),
    body(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}], tool_choice="auto", max_tokens=5),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A valid body, of which some places hold something else, and some bytes too."""
    value: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from(("set", "drop", "message", "part")))
        if change == "set":
            value[draw(st.sampled_from(FIELDS))] = copy.deepcopy(draw(VALUES))
        elif change == "drop":
            value.pop(draw(st.sampled_from(FIELDS)), None)
        elif isinstance(value.get("messages"), list):
            messages = value["messages"]
            if change == "message" or not messages or not isinstance(messages[-1], dict):
                messages.append(copy.deepcopy(draw(VALUES)))
            else:
                messages[-1][draw(st.sampled_from(("role", "content", "name", "tool_calls", "x")))] = copy.deepcopy(
                    draw(VALUES)
                )
    sent = json.dumps(value).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(sent)))
        sent = sent[:at] + draw(st.binary(max_size=3)) + sent[at + draw(st.integers(0, 3)) :]
    return sent


async def fuzzed(home: Settings, sent: list[bytes]) -> None:
    async with App.open(home, {}) as app, Rehearsal() as provider, Server(app, Listen(port=0)) as server:
        stored = StoredConnection("p", "openai", "openai", {"base_url": provider.base_url})
        await asyncio.to_thread(app.store.connections.add, stored, {"api_key": Secret(KEY)})
        await app.flows.publish(await asyncio.to_thread(read_flow, FLOW))
        async with ClientSession() as client:
            for each in sent:
                async with client.post(f"{server.address}/v1/chat/completions", data=each) as answer:
                    got = await answer.read()
                    assert answer.status == 200 or 400 <= answer.status < 500, (answer.status, each, got)
                    if answer.status != 200:
                        assert set(json.loads(got)["error"]) == {"message", "type", "param", "code"}, each
                    elif answer.content_type == "text/event-stream":
                        assert got.endswith(b"data: [DONE]\n\n"), (each, got)
                    else:
                        assert json.loads(got)["choices"], (each, got)


def _fuzz(home: Settings, rounds: int) -> None:
    sent: list[bytes] = []

    @tried(max_examples=rounds, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies())
    def collect(each: bytes) -> None:
        sent.append(each)

    collect()
    asyncio.run(fuzzed(home, sent))


def test_any_body_is_answered_or_refused(settings: Settings) -> None:
    _fuzz(settings, 300)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_any_of_many_bodies_is_answered_or_refused(settings: Settings) -> None:
    _fuzz(settings, 20_000)
