"""The endpoint, judged by the official SDK and by bytes: what passes, what is refused, what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from chatstep.errors import InvalidInput
from chatstep.server.envelope import NotServed
from chatstep.server.guard import Guard
from chatstep.store import StoredConnection, Token
from serving import Served, Serving
from stepping import KEY, Stage

Gateway = Callable[..., Awaitable[tuple[Served, Stage]]]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


def sdk(served: Served, key: str = "any") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=served.v1, api_key=key)


def body(**more: Any) -> dict[str, Any]:
    return {"model": "p/gpt-4o-mini", "messages": HELLO, **more}


def outcomes(served: Served) -> list[str]:
    rows = served.app.store._database.rows("SELECT outcome FROM chatstep_ledger ORDER BY id")
    return [outcome for (outcome,) in rows]


async def recorded(served: Served) -> list[str]:
    await asyncio.to_thread(served.app.store.ledger.flush)
    return await asyncio.to_thread(outcomes, served)


async def test_the_official_sdk_gets_an_answer(gateway: Gateway) -> None:
    served, stage = await gateway("- reply: The beans are up.")
    async with sdk(served) as client:
        answer = await client.chat.completions.create(model="p/gpt-4o-mini", messages=HELLO, max_tokens=20)
    assert answer.choices[0].message.content == "The beans are up."
    assert answer._request_id == "req_rehearsal_000001"
    sent = stage.bodies[0]
    assert sent == {"model": "gpt-4o-mini", "messages": HELLO, "max_completion_tokens": 20}
    (total,) = await asyncio.to_thread(served.app.store.ledger.totals, "model")
    assert (total.key, total.calls, total.prompt, total.completion, total.unknown) == ("gpt-4o-mini", 1, 8, 5, 1)


@pytest.mark.parametrize("include", [True, False])
async def test_the_official_sdk_gets_a_stream(gateway: Gateway, include: bool) -> None:
    served, stage = await gateway("- reply: The beans are up.")
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if include else {}
    async with sdk(served) as client:
        stream = await client.chat.completions.create(model="p/gpt-4o-mini", messages=HELLO, stream=True, **options)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "The beans are up."
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([13] if include else [])
    assert any(not chunk.choices for chunk in chunks) is include
    assert stage.bodies[0]["stream_options"] == {"include_usage": True}
    assert await recorded(served) == ["ok"]


async def test_a_stream_passes_byte_for_byte(gateway: Gateway) -> None:
    served, stage = await gateway("- reply: The beans are up 🎉.\n  fault: crlf")
    asked = body(stream=True, stream_options={"include_usage": True})
    async with served.client.post(f"{served.v1}/chat/completions", json=asked) as through:
        got = await through.read()
    asked["model"] = "gpt-4o-mini"
    async with served.client.post(f"{stage.provider.base_url}/chat/completions", json=asked) as straight:
        assert got.replace(b"\r", b"") == (await straight.read()).replace(b"\r", b"")
    assert through.headers["content-type"].startswith("text/event-stream")


async def test_what_nobody_knows_passes_unharmed(gateway: Gateway) -> None:
    """Tools, pictures, several choices, formats: the gateway does not look into them."""
    served, stage = await gateway("families: false\nrules:\n- reply: x")
    asked = body(
        n=2,
        logprobs=True,
        top_logprobs=2,
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        messages=[
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
        ],
        metadata={"a": "1"},
        user="somebody",
    )
    await served.post(asked)
    passed = json.loads(stage.provider.requests[0].raw)
    assert passed == {**asked, "model": "gpt-4o-mini"}
    assert list(passed) == list(asked)


async def test_tool_calls_come_back_as_they_are(gateway: Gateway) -> None:
    served, _ = await gateway("- fault: tool_call")
    status, answer = await served.post(body())
    assert status == 200
    assert answer["choices"][0]["message"]["tool_calls"]


async def test_a_refused_field_is_learnt_once(gateway: Gateway) -> None:
    served, stage = await gateway("refuse_fields: [temperature]\nrules: [{reply: x}]", kind="compatible")
    assert (await served.post(body(temperature=1)))[0] == 200
    assert (await served.post(body(temperature=1)))[0] == 200
    assert ["temperature" in sent for sent in stage.bodies] == [True, False, False]


@pytest.mark.parametrize(
    ("fault", "status", "code", "requests"),
    [
        ("{code: invalid_api_key}", 401, "invalid_api_key", 1),
        ("{code: model_not_found}", 404, "model_not_found", 1),
        ("{code: context_length_exceeded}", 400, "context_length_exceeded", 1),
        ("{code: insufficient_quota}", 429, "insufficient_quota", 1),
        ("{status: 422}", 422, "extra_forbidden", 1),
        ("{html: 200}", 502, "answer_unreadable", 1),
    ],
)
async def test_errors_keep_their_status_and_words(
    gateway: Gateway, fault: str, status: int, code: str, requests: int
) -> None:
    served, stage = await gateway(f"- fault: {fault}")
    got, answer = await served.post(body())
    assert got == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["code"] == code
    assert len(stage.bodies) == requests
    assert KEY not in json.dumps(answer)


async def test_the_sdk_does_not_repeat_what_would_fail_again(gateway: Gateway) -> None:
    served, stage = await gateway("- fault: {code: insufficient_quota}")
    async with sdk(served) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="p/gpt-4o-mini", messages=HELLO)
    assert caught.value.code == "insufficient_quota"
    assert len(stage.bodies) == 1


@pytest.mark.parametrize("fault", ["{cut_at: 300}", "{cut_at: 300, how: reset}", "{error_in_stream: 2}"])
async def test_a_stream_that_breaks_says_so(gateway: Gateway, fault: str) -> None:
    served, _ = await gateway(f"- reply: The beans have reached the top of the poles.\n  fault: {fault}")
    async with sdk(served) as client:
        stream = await client.chat.completions.create(model="p/gpt-4o-mini", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
    assert (await recorded(served))[0] not in ("ok", "interrupted")


async def test_a_client_that_leaves_stops_the_call(gateway: Gateway) -> None:
    served, stage = await gateway("- reply: The beans have reached the top of the poles.\n  delay: {between: 0.2}")
    async with served.client.post(f"{served.v1}/chat/completions", json=body(stream=True)) as answer:
        await answer.content.readany()
    await asyncio.wait_for(stage.provider.idle(), 10)
    await served.server.idle()
    assert await recorded(served) == ["interrupted"]


async def test_a_quiet_stream_is_kept_alive(gateway: Gateway) -> None:
    served, _ = await gateway("- reply: Two words\n  delay: {first: 0.5, between: 0.3}", listen={"ping": 0.1})
    async with served.client.post(f"{served.v1}/chat/completions", json=body(stream=True)) as answer:
        text = (await answer.read()).decode()
    assert text.count(": ping\n\n") >= 3
    events = [event for event in text.split("\n\n") if event and not event.startswith(":")]
    assert events[-1] == "data: [DONE]"
    assert all(json.loads(event[6:]) for event in events[:-1])


BAD: list[tuple[bytes, str | None]] = [
    (b"", "body"), (b"{", "body"), (b"[]", "body"), (b"null", "body"), (b"\xff\xfe", "body"),
    (b'{"model": "\xff"}', "body"),
    (b"{}", None), (b'{"model": 1, "messages": []}', "model"), (b'{"model": "p/x"}', None),
    (b'{"model": "p/x", "messages": [], "stream": "yes"}', "stream"),
    (b'{"model": "p/x", "messages": [], "max_tokens": "many"}', "max_tokens"),
    (b'{"model": "p/x", "messages": [], "n": 1.5}', "n"),
    (b'{"model": "p/x", "messages": [], "stream_options": {"include_usage": true}}', "stream_options"),
    (b'{"model": "p/x", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
    (b'{"model": "p/x", "model": 2, "messages": []}', "model"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "param"), BAD)
async def test_what_is_no_request_is_said_in_the_protocols_words(
    gateway: Gateway, raw: bytes, param: str | None
) -> None:
    served, stage = await gateway()
    status, answer = await served.post(data=raw, headers={"content-type": "application/json"})
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    if param is not None:
        assert answer["error"]["param"] == param
    assert stage.bodies == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"messages": []}, 400), ({"messages": "x"}, 400), ({"messages": [{"role": "nobody", "content": "x"}]}, 400),
        ({"messages": None}, 400), ({"temperature": 3}, 400), ({"max_tokens": -1}, 400), ({"nonsense": 1}, 400),
        ({"messages": HELLO * 10_000}, 200), ({"messages": [{"role": "user", "content": "\ud83d"}]}, 400),
    ],
)  # fmt: skip
async def test_what_only_the_provider_can_judge_it_judges(
    gateway: Gateway, fields: dict[str, Any], status: int
) -> None:
    served, _ = await gateway()
    assert (await served.post(body(**fields)))[0] == status


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere/x", "nowhere"), ("P/x", "Did you mean"), ("p/", "empty"), ("/x", "connection")]
)
async def test_a_model_that_is_nowhere(gateway: Gateway, name: str, said: str) -> None:
    served, _ = await gateway()
    other = StoredConnection("q", "openai", "openai", {"base_url": "http://127.0.0.1:1/v1"})
    await asyncio.to_thread(served.app.store.connections.add, other, {})
    status, answer = await served.post(body(model=name))
    assert status in (400, 404)
    assert said in answer["error"]["message"]


async def test_a_bare_model_goes_to_the_default_connection(gateway: Gateway) -> None:
    served, stage = await gateway()
    assert (await served.post(body(model="gpt-4o")))[0] == 200
    assert (await served.post(body(model="meta/llama-4")))[0] == 200
    assert [sent["model"] for sent in stage.bodies] == ["gpt-4o", "meta/llama-4"]


async def test_a_model_of_the_default_connection_is_found_by_its_own_name(gateway: Gateway) -> None:
    served, _ = await gateway("models: [{id: a}, {id: b/c}]")
    async with AsyncOpenAI(base_url=served.v1, api_key="any") as client:
        for name in ("a", "b/c"):
            assert (await client.models.retrieve(name)).id == name
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("none")


async def test_models_are_listed_and_found(gateway: Gateway) -> None:
    served, _ = await gateway("models: [{id: a}, {id: b/c}]")
    async with sdk(served) as client:
        names = [model.id async for model in client.models.list()]
        assert {"p/a", "p/b/c"} <= set(names)
        assert any(name.startswith("rehearsal/") for name in names)
        assert (await client.models.retrieve("p/b/c")).id == "p/b/c"
        with pytest.raises(openai.NotFoundError, match="Did you mean"):
            await client.models.retrieve("p/aa")


async def test_a_connection_that_is_away_does_not_hide_the_others(served: Served) -> None:
    away = StoredConnection("away", "openai", "openai", {"base_url": "http://127.0.0.1:1/v1", "tries": "1"})
    await asyncio.to_thread(served.app.store.connections.add, away, {})
    async with sdk(served) as client:
        assert [model.id async for model in client.models.list()]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/nothing", 404), ("GET", "/", 404), ("PUT", "/healthz", 405)],
)
async def test_other_addresses(served: Served, method: str, path: str, status: int) -> None:
    async with served.client.request(method, served.server.address + path) as answer:
        assert answer.status == status
        assert set((await answer.json())["error"]) == {"message", "type", "param", "code"}


async def test_a_spend_limit_stops_before_the_call(gateway: Gateway) -> None:
    served, stage = await gateway(daily_limit=1_000, prices="https://api.openai.com/v1")
    status, answer = await served.post(body(max_tokens=1000))
    assert (status, answer["error"]["code"]) == (429, "spend_limit_reached")
    assert stage.bodies == []
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}]
    status, answer = await served.post(body(messages=image, max_tokens=1))
    assert (status, stage.bodies) == (429, [])


async def test_a_token_has_its_models_and_its_limit(gateway: Gateway) -> None:
    served, stage = await gateway(prices="https://api.openai.com/v1")
    make = served.app.store.tokens.make
    _, some = await asyncio.to_thread(make, Token(name="some", models=("p/gpt-4o*",), daily_limit=1_000_000))
    _, poor = await asyncio.to_thread(make, Token(name="poor", daily_limit=1))
    assert (await served.post(body()))[0] == 401
    with_some = {"Authorization": f"Bearer {some.reveal()}"}
    assert (await served.post(body(max_tokens=10), headers=with_some))[0] == 200
    assert (await served.post(body(model="p/o3"), headers=with_some))[0] == 403
    assert (await served.post(body(max_tokens=100_000), headers=with_some))[0] == 429
    with_poor = {"Authorization": f"Bearer {poor.reveal()}"}
    status, answer = await served.post(body(max_tokens=10), headers=with_poor)
    assert (status, answer["error"]["code"]) == (429, "spend_limit_reached")
    assert len(stage.bodies) == 1
    totals = {total.key: total for total in await asyncio.to_thread(served.app.store.ledger.totals, "token")}
    assert totals["some"].calls == 1
    assert 0 < totals["some"].cost < 1_000_000
    async with sdk(served, some.reveal()) as client:
        assert all(model.id.startswith("p/gpt-4o") for model in (await client.models.list()).data)
    await asyncio.to_thread(served.app.store.tokens.revoke, "some")
    served.server._guard._known.clear()  # what a running server believes for some seconds
    assert (await served.post(body(), headers=with_some))[0] == 401


async def test_an_address_that_others_reach_needs_an_admin_token(serving: Serving, served: Served) -> None:
    with pytest.raises(InvalidInput, match="admin token"):
        await serving(host="0.0.0.0")
    make = served.app.store.tokens.make
    guard = Guard(served.app.store.tokens, "bots.example", open_to_all=False)
    with pytest.raises(NotServed, match="A token is needed"):
        await guard.token({})
    _, user = await asyncio.to_thread(make, Token(name="user"))
    _, admin = await asyncio.to_thread(make, Token(name="admin", admin=True))
    with pytest.raises(NotServed, match="may not use the API"):
        await guard.token({"Authorization": f"Bearer {user.reveal()}"}, admin=True)
    assert (await guard.token({"api-key": admin.reveal()}, admin=True)) is not None


async def test_what_is_too_large_packed_or_slow(serving: Serving) -> None:
    served = await serving(largest_body=1000, slowest_body=0.3)
    assert (await served.post(data=b"x" * 1001))[0] == 413

    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 100

    assert (await served.post(data=pieces()))[0] == 413
    assert (await served.post(data=b"x", headers={"content-encoding": "gzip"}))[0] == 415

    async def slowly() -> Any:
        yield b"{"
        await asyncio.sleep(30)

    try:
        status = (await served.post(data=slowly()))[0]
    except aiohttp.ClientConnectionError:  # the server hung up while we still wrote
        status = 408
    assert status == 408
