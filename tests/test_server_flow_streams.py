"""A flow's answer is streamed as its step writes it: the official SDK reads, a provider made of bytes writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from chatstep.secret import Secret
from chatstep.server.listening import Listen, Server
from chatstep.store import StoredConnection
from flowing import Flowing
from raw_server import Exchange, RawServer
from serving import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
WORDS = ["Once ", "upon ", "a time."]
TALE = "Once upon a time."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
_names = count(1)


def event(delta: dict[str, str] | None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class Teller:
    """A provider that says `WORDS`, each after the first when it is told to; and what came in."""

    def __init__(self, server: RawServer, name: str) -> None:
        self.server, self.name = server, name
        self.go_on = asyncio.Semaphore(0)
        self.breaks_after: int | None = None
        self.status = 200

    async def answer(self, exchange: Exchange) -> None:
        if b'"stream":true' not in exchange.body:
            choice = {"index": 0, "message": {"role": "assistant", "content": "Whole."}, "finish_reason": "stop"}
            await exchange.reply(body=json.dumps({"choices": [choice], "usage": USAGE}).encode())
            return
        if self.status != 200:
            status, self.status = self.status, 200
            await exchange.reply(status, b'{"error": {"message": "Later."}}', retry_after="0")
            return
        await exchange.start_chunks(content_type="text/event-stream")
        for at, word in enumerate(WORDS):
            if at:
                await self.go_on.acquire()
            if at == self.breaks_after:
                failure = {"error": {"message": "Too many are here.", "code": "rate_limit_exceeded"}}
                await exchange.chunk(b"data: " + json.dumps(failure).encode() + b"\n\n")
                break
            await exchange.chunk(event({"role": "assistant", "content": word}))
        else:
            await exchange.chunk(event({}, "stop") + event(None, usage=USAGE) + b"data: [DONE]\n\n")
        await exchange.chunk(b"")


Telling = Callable[..., Awaitable[Teller]]


@pytest_asyncio.fixture(loop_scope="module")
async def telling(flowing: Flowing) -> AsyncIterator[Telling]:
    """Starts a Teller behind a connection of its own; keywords are further settings of it."""
    async with AsyncExitStack() as stack:

        async def start(**settings: str) -> Teller:
            name = f"teller-{next(_names)}"
            tellers: list[Teller] = []

            async def answer(exchange: Exchange) -> None:
                await tellers[0].answer(exchange)

            server = await stack.enter_async_context(RawServer(answer))
            tellers.append(Teller(server, name))
            stored = StoredConnection(
                name, "openai", "openai", {"base_url": f"http://127.0.0.1:{server.port}/v1", **settings}
            )
            add = flowing.app.store.connections.add
            await asyncio.to_thread(add, stored, {"api_key": Secret("sk-x")})
            return tellers[0]

        yield start


@pytest_asyncio.fixture(loop_scope="module")
async def served(flowing: Flowing) -> AsyncIterator[Served]:
    async with aiohttp.ClientSession() as client, Server(flowing.app, Listen(port=0)) as server:
        yield Served(server, flowing.app, client)


@pytest_asyncio.fixture(loop_scope="module")
async def pinging(flowing: Flowing) -> AsyncIterator[Served]:
    """A server whose quiet streams say so all the time."""
    async with aiohttp.ClientSession() as client, Server(flowing.app, Listen(port=0, ping=0.05)) as server:
        yield Served(server, flowing.app, client)


@pytest_asyncio.fixture(loop_scope="module")
async def client(served: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=served.v1, api_key="any", max_retries=0) as client:
        yield client


def flow(connection: str, *, reply: str = "", before: str = "", after: str = "", message: str = "") -> str:
    message = message or "${{ steps.reply.message }}"
    return f"""
name: tale-{next(_names)}
on: [chat]
steps:
{before}  - id: reply
    uses: openai.make_chat_completion
    with: {{connection: {connection}, model: m, message: "${{{{ trigger.text }}}}"}}
{reply}{after}outputs: {{message: "{message}"}}
"""


async def streamed(client: AsyncOpenAI, name: str, **options: Any) -> Any:
    return await client.chat.completions.create(model=f"flow/{name}", messages=HELLO, stream=True, **options)


def text_of(chunk: Any) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


async def test_the_first_piece_comes_before_the_provider_writes_the_last(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling()
    name = await flowing.publish(flow(teller.name))
    stream = await streamed(client, name, stream_options={"include_usage": True})
    chunks = []
    async for chunk in stream:
        chunks.append(chunk)
        if text_of(chunk):
            teller.go_on.release()  # the next word is written only now
    assert [text for chunk in chunks if (text := text_of(chunk))] == WORDS
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert {name: getattr(chunks[-1].usage, name) for name in USAGE} == USAGE
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    record = await flowing.ended(chunks[0].id)
    assert record.state == "done"
    assert record.outputs == {"message": TALE}
    assert record.steps[0].output["message"] == TALE
    assert record.steps[0].completion_tokens == 7


async def test_without_a_stream_the_provider_is_asked_for_none(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling()
    name = await flowing.publish(flow(teller.name))
    answer = await client.chat.completions.create(model=f"flow/{name}", messages=HELLO)
    assert answer.choices[0].message.content == "Whole."


SKIPPED = """  - id: never
    uses: flow.set
    when: false
    with: {values: {}}
"""
QUIETLY_AFTER = """  - id: cut
    uses: text.split
    with: {text: "${{ steps.reply.message }}", limit: 100}
  - id: report
    uses: acme.ask
    on_error: continue
    with: {text: told}
"""


@pytest.mark.parametrize(
    "more",
    [{"before": SKIPPED}, {"after": QUIETLY_AFTER}, {"reply": '    when: "${{ trigger.text == \\"Hello\\" }}"\n'}],
    ids=["behind others", "before harmless ones", "with a condition"],
)
async def test_flows_that_are_streamed(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI, more: dict[str, str]
) -> None:
    teller = await telling()
    teller.go_on.release()
    teller.go_on.release()
    name = await flowing.publish(flow(teller.name, **more))
    assert "".join(await _texts(streamed(client, name))) == TALE


MAY_FAIL_AFTER = """  - id: judge
    uses: acme.ask
    with: {text: "${{ steps.reply.message }}"}
"""


@pytest.mark.parametrize(
    "more",
    [
        {"after": MAY_FAIL_AFTER},
        {"message": "${{ steps.reply.message | upper }}"},
        {"message": "She said: ${{ steps.reply.message }}"},
        {"reply": '    each: "${{ [1] }}"\n', "message": "${{ steps.reply.results[0].message }}"},
    ],
    ids=["before a step that may end the run", "changed", "in a longer text", "for each item"],
)
async def test_flows_that_are_answered_in_one_piece(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI, more: dict[str, str]
) -> None:
    name = await flowing.publish(flow((await telling()).name, **more))
    assert await _texts(streamed(client, name)) in (["Whole."], ["WHOLE."], ["She said: Whole."])


async def test_the_same_key_again_gives_the_kept_answer_in_one_piece(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling()
    name = await flowing.publish(flow(teller.name))
    key = {"Idempotency-Key": "tale"}
    first = await streamed(client, name, extra_headers=key)
    begun = text_of(await anext(first))  # from here on it is under way
    second = asyncio.create_task(_texts(streamed(client, name, extra_headers=key)))
    teller.go_on.release()
    teller.go_on.release()
    assert begun + "".join([text_of(chunk) async for chunk in first]) == TALE
    assert await second == [TALE]
    assert await _texts(streamed(client, name, extra_headers=key)) == [TALE]
    answer = await client.chat.completions.create(model=f"flow/{name}", messages=HELLO, extra_headers=key)
    assert answer.choices[0].message.content == TALE
    assert len(teller.server.requests) == 1


async def _texts(opening: Any) -> list[str]:
    return [text async for chunk in await opening if (text := text_of(chunk))]


async def test_a_client_that_leaves_stops_nothing(flowing: Flowing, telling: Telling, pinging: Served) -> None:
    teller = await telling()
    name = await flowing.publish(flow(teller.name))
    body = {"model": f"flow/{name}", "messages": HELLO, "stream": True}
    async with aiohttp.ClientSession() as leaving, leaving.post(f"{pinging.v1}/chat/completions", json=body) as answer:
        assert b"Once" in await answer.content.readany()
        id = answer.headers["x-request-id"]
    await pinging.server.idle()  # its pings found nobody
    teller.go_on.release()
    teller.go_on.release()
    record = await flowing.ended(id)
    assert record.outputs == {"message": TALE}


async def test_an_error_after_the_first_piece_is_the_last_event(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    """The flow's own retries would say another text, so there are none."""
    teller = await telling()
    teller.breaks_after = 1
    name = await flowing.publish(flow(teller.name, reply="    retry: {attempts: 3, wait: 0}\n"))
    stream = await streamed(client, name)
    first = await anext(stream)
    assert text_of(first) == WORDS[0]
    teller.go_on.release()
    with pytest.raises(openai.APIError, match="Too many are here"):
        await anext(stream)
    record = await flowing.ended(first.id)
    assert record.state == "failed"
    assert record.steps[0].attempts == 1
    assert len(teller.server.requests) == 1


async def test_before_the_first_piece_the_flow_tries_again(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling(tries="1")
    teller.status = 503
    teller.go_on.release()
    teller.go_on.release()
    name = await flowing.publish(flow(teller.name, reply="    retry: {attempts: 3, wait: 0}\n"))
    chunks = [chunk async for chunk in await streamed(client, name)]
    assert "".join(map(text_of, chunks)) == TALE
    assert (await flowing.ended(chunks[0].id)).steps[0].attempts == 2


async def test_an_error_before_the_first_byte_is_an_http_error(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling(tries="1")
    teller.status = 401
    name = await flowing.publish(flow(teller.name))
    with pytest.raises(openai.APIStatusError) as caught:
        await streamed(client, name)
    assert caught.value.status_code == 401


async def test_a_quiet_flow_pings_until_its_one_piece(flowing: Flowing, pinging: Served, acme: Any) -> None:
    acme.gates["slow"] = asyncio.Event()
    name = await flowing.publish(
        f"name: quiet-{next(_names)}\non: [chat]\n"
        'steps: [{id: x, uses: acme.ask, with: {text: slow}}]\noutputs: {message: "${{ steps.x.text }}"}\n'
    )
    body = {"model": f"flow/{name}", "messages": HELLO, "stream": True}
    async with pinging.client.post(f"{pinging.v1}/chat/completions", json=body) as answer:
        assert await answer.content.readany() == b": ping\n\n"
        acme.gates["slow"].set()
        rest = await answer.content.read()
    assert b'"content":"SLOW"' in rest
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_server_that_knows_no_streams_still_answers(flowing: Flowing, client: AsyncOpenAI) -> None:
    async def answer(exchange: Exchange) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": "All at once."}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": USAGE}).encode()
        await exchange.reply(body=body, content_type="application/json")

    async with RawServer(answer) as server:
        connection = f"plain-{next(_names)}"
        stored = StoredConnection(connection, "openai", "openai", {"base_url": f"http://127.0.0.1:{server.port}/v1"})
        add = flowing.app.store.connections.add
        await asyncio.to_thread(add, stored, {"api_key": Secret("sk-x")})
        name = await flowing.publish(flow(connection))
        assert await _texts(streamed(client, name)) == ["All at once."]


async def test_a_reply_in_a_conversation_is_streamed_and_kept(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling()
    teller.go_on.release()
    teller.go_on.release()
    text = flow(teller.name).replace("steps:\n", 'conversation: {id: "talk-${{ trigger.text }}"}\nsteps:\n', 1)
    name = await flowing.publish(text)
    assert "".join(await _texts(streamed(client, name))) == TALE
    messages = await asyncio.to_thread(flowing.app.store.conversations.read, "talk-Hello")
    assert [message.text for message in messages] == ["Hello", TALE]


async def test_a_run_that_is_not_durable_is_streamed_and_kept(
    flowing: Flowing, telling: Telling, client: AsyncOpenAI
) -> None:
    teller = await telling()
    name = await flowing.publish(flow(teller.name).replace("on: [chat]", "on: [chat]\ndurable: false"))
    key = {"Idempotency-Key": "tale"}
    first = await streamed(client, name, extra_headers=key)
    chunks = [await anext(first)]
    assert text_of(chunks[0]) == WORDS[0]
    second = asyncio.create_task(_texts(streamed(client, name, extra_headers=key)))
    teller.go_on.release()
    teller.go_on.release()
    chunks += [chunk async for chunk in first]
    assert "".join(map(text_of, chunks)) == TALE
    assert await second == [TALE]
    assert await _texts(streamed(client, name, extra_headers=key)) == [TALE]
    answer = await client.chat.completions.create(model=f"flow/{name}", messages=HELLO, extra_headers=key)
    assert answer.id == chunks[0].id
    assert (await flowing.engine.show(answer.id)).outputs == {"message": TALE}
    assert len(await flowing.engine.runs(flow=name)) == 1
    assert len(teller.server.requests) == 1
