"""Requests with an Idempotency-Key: the same key gives the same answer, and one request to the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chatstep.app import App
from chatstep.server.listening import Listen, Server
from chatstep.settings import Settings
from chatstep.store import KeptAnswer, Store
from chatstep.store.answers import CLAIM_MS, KEPT_MS, Answers
from serving import Served
from stepping import Stage

Gateway = Callable[..., Awaitable[tuple[Served, Stage]]]
SLOW = "[{reply: 'One two three four.', chunks: 4, delay: {first: 0.2, between: 0.1}}]"


def asked(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


async def post(served: Served, key: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    address = f"{served.v1}/chat/completions"
    async with served.client.post(address, json=body or asked(), headers={"Idempotency-Key": key, **headers}) as answer:
        return answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_key_gives_the_same_answer_from_one_request(gateway: Gateway, stream: bool) -> None:
    served, stage = await gateway(SLOW)
    body = asked(stream=stream)
    answers = await asyncio.gather(*(post(served, "order-1", body) for _ in range(5)))
    later = await post(served, "order-1", body)
    assert len({answer[1] for answer in (*answers, later)}) == 1
    assert {answer[0] for answer in (*answers, later)} == {200}
    assert len(stage.provider.requests) == 1
    assert later[2]["idempotent-replayed"] == "true"
    assert later[2]["x-request-id"] == answers[0][2]["x-request-id"]
    assert later[2]["content-type"] == answers[0][2]["content-type"]
    assert not any("idempotent-replayed" in answer[2] for answer in answers)
    assert (await post(served, "order-2", body))[0] == 200
    assert len(stage.provider.requests) == 2


async def test_a_request_goes_on_when_its_client_leaves(gateway: Gateway) -> None:
    served, stage = await gateway(SLOW)
    headers = {"Idempotency-Key": "left"}
    async with served.client.post(f"{served.v1}/chat/completions", json=asked(stream=True), headers=headers) as answer:
        await answer.content.readline()
        answer.close()
    status, body, _ = await post(served, "left", asked(stream=True))
    assert status == 200
    assert body.endswith(b"data: [DONE]\n\n")
    assert len(stage.provider.requests) == 1


async def test_an_answer_outlives_the_server_and_lies_sealed(gateway: Gateway, settings: Settings) -> None:
    served, stage = await gateway("[{reply: 'The secret of the roses.'}]")
    first = await post(served, "kept")
    rows = await asyncio.to_thread(served.app.store._database.rows, "SELECT * FROM chatstep_answers")
    assert len(rows) == 1
    assert "roses" not in repr(rows)
    assert "kept" not in repr(rows)
    async with App.open(settings, {}) as app, Server(app, Listen(port=0)) as server:
        again = await post(Served(server, app, served.client), "kept")
    assert again[1] == first[1]
    assert len(stage.provider.requests) == 1


async def test_a_key_names_one_request_of_one_client(gateway: Gateway) -> None:
    served, stage = await gateway()
    assert (await post(served, "k", asked("One")))[0] == 200
    status, body, _ = await post(served, "k", asked("Two"))
    assert status == 422
    assert b"idempotency_key_reused" in body
    assert (await post(served, "x" * 256))[0] == 400
    assert len(stage.provider.requests) == 1


async def test_a_failure_is_not_kept(gateway: Gateway) -> None:
    served, stage = await gateway("[{times: 1, fault: {code: insufficient_quota}}, {reply: 'Here.'}]")
    assert (await post(served, "k"))[0] == 429
    assert (await post(served, "k"))[0] == 200
    assert len(stage.provider.requests) == 2


async def test_a_stream_that_breaks_is_told_to_all_and_not_kept(gateway: Gateway) -> None:
    served, stage = await gateway(
        "[{times: 1, reply: 'One two three four.', fault: {cut_at: 300, how: reset}}, {reply: 'Whole.'}]"
    )
    body = asked(stream=True)
    answers = await asyncio.gather(*(post(served, "k", body) for _ in range(2)))
    assert all(b'"error"' in answer[1] for answer in answers)
    assert b"Whole" in (await post(served, "k", body))[1]
    assert len(stage.provider.requests) == 2


def test_a_claim_runs_out_where_nobody_renews_it(store: Store) -> None:
    now = [1_000_000]
    answers = Answers(store._database, store.contents, lambda: now[0])
    assert answers.claim("a\0k", "first", b"body") == "yours"
    assert answers.claim("a\0k", "second", b"body") == "taken"
    assert answers.claim("a\0k", "second", b"other") == "another body"
    assert answers.claim("b\0k", "second", b"other") == "yours"
    now[0] += CLAIM_MS - 1
    answers.renew("a\0k", "first")
    now[0] += CLAIM_MS - 1
    assert answers.claim("a\0k", "second", b"body") == "taken"
    now[0] += 2
    assert answers.claim("a\0k", "second", b"body") == "yours"
    answers.keep("a\0k", "first", KeptAnswer(b"too late", {}))
    assert answers.claim("a\0k", "third", b"body") == "taken"
    answers.keep("a\0k", "second", KeptAnswer(b"\xff\0here", {"x": "y"}))
    assert answers.claim("a\0k", "third", b"body") == KeptAnswer(b"\xff\0here", {"x": "y"})
    answers.release("a\0k", "second")
    assert answers.claim("a\0k", "third", b"body") == KeptAnswer(b"\xff\0here", {"x": "y"})
    now[0] += KEPT_MS + 1
    assert answers.claim("a\0k", "third", b"body") == "yours"
    answers.release("a\0k", "third")
    assert answers.claim("a\0k", "fourth", b"another") == "yours"
    answers.keep("a\0k", "fourth", KeptAnswer(b"", {}))
    assert len(store._database.rows("SELECT who FROM chatstep_answers")) == 1
