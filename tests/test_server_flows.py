"""A flow as a model: the official SDK talks to it, offline and without a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from chatstep.server.listening import Listen, Server
from flowing import Flowing
from serving import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = """
name: shop
on: [chat]
steps:
  - id: reply
    uses: openai.make_chat_completion
    with:
      connection: rehearsal
      instructions: ${{ trigger.data.instructions }}
      message: ${{ trigger.text }}
      history: {messages: "${{ trigger.data.messages }}"}
outputs: {message: "${{ steps.reply.message }}"}
"""
QUIET = """
name: quiet
on: [chat]
steps: [{id: x, uses: flow.set, with: {values: {}}}]
"""
HIDDEN = """
name: hidden
steps: [{id: x, uses: flow.set, with: {values: {}}}]
"""


@pytest_asyncio.fixture(loop_scope="module")
async def shop(flowing: Flowing) -> AsyncIterator[Served]:
    for text in (SHOP, QUIET, HIDDEN):
        await flowing.publish(text)
    async with aiohttp.ClientSession() as client, Server(flowing.app, Listen(port=0)) as server:
        yield Served(server, flowing.app, client)


TALK: list[Any] = [
    {"role": "system", "content": "You sell beans."},
    {"role": "user", "content": "Hello", "name": "Ana"},
    {"role": "assistant", "content": "Hello Ana."},
    {"role": "user", "content": "I worry about slugs."},
]


async def test_the_sdk_talks_to_a_flow(shop: Served, flowing: Flowing) -> None:
    async with AsyncOpenAI(base_url=shop.v1, api_key="any") as client:
        answer = await client.chat.completions.create(model="flow/shop", messages=TALK)
        assert "flow/shop" in [model.id async for model in client.models.list()]
        stream = await client.chat.completions.create(
            model="flow/shop", messages=TALK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = answer.choices[0].message.content
    assert text
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 20
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[-1].usage == answer.usage
    record = await flowing.ended(answer.id)
    assert record.event.text == "I worry about slugs."
    assert record.event.data["instructions"] == "You sell beans."
    assert [message["role"] for message in record.event.data["messages"]] == ["user", "assistant"]


async def test_the_same_key_gives_the_same_answer_and_one_run(shop: Served, flowing: Flowing) -> None:
    before = len(await flowing.engine.runs(flow="shop", limit=1000))
    headers = {"Idempotency-Key": "order-7"}
    asked = {"model": "flow/shop", "messages": TALK}
    answers = await asyncio.gather(*(shop.post(asked, headers=headers) for _ in range(4)))
    assert len({answer["id"] for _, answer in answers}) == 1
    assert {status for status, _ in answers} == {200}
    assert len(await flowing.engine.runs(flow="shop", limit=1000)) == before + 1


@pytest.mark.parametrize("name", ["flow/shopp", "flow/hidden", "flow/"])
async def test_a_flow_that_is_none(shop: Served, name: str) -> None:
    async with AsyncOpenAI(base_url=shop.v1, api_key="any") as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model=name, messages=TALK)


@pytest.mark.parametrize(
    "messages",
    [[], "x", [{"role": "assistant", "content": "x"}], [{"role": "user", "content": ""}], [{"role": "nobody"}], [3]],
)
async def test_messages_that_a_flow_cannot_answer(shop: Served, messages: Any) -> None:
    status, answer = await shop.post({"model": "flow/shop", "messages": messages})
    assert status == 400
    assert answer["error"]["param"].startswith("messages")


async def test_a_flow_without_a_message_says_so(shop: Served) -> None:
    status, answer = await shop.post({"model": "flow/quiet", "messages": TALK})
    assert status == 400
    assert "outputs" in answer["error"]["message"]
