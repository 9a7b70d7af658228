"""The official openai SDK as client: answers pass its strict types, and mean what they should."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase,
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from chatstep.modules.openai.tokens import count
from chatstep.rehearsal import Rehearsal

HI: list[Any] = [{"role": "user", "content": "Hi"}]


def client(provider: Rehearsal, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=provider.base_url, api_key="any", max_retries=0, **options)


async def test_plain_answers_pass_the_strict_types() -> None:
    async with Rehearsal() as provider, client(provider) as sdk:
        answer = await sdk.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HI)
        completion = ChatCompletion.model_validate_json(answer.text, strict=True)
        assert answer.headers["x-request-id"] == "req_rehearsal_000001"
    assert set(completion.model_dump(exclude_unset=True)) == {
        *("id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"),
    }
    assert completion.model == "gpt-4o-mini-2024-07-18"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].message.content
    assert completion.usage
    assert completion.usage.prompt_tokens == 8
    assert completion.usage.completion_tokens == count(completion.choices[0].message.content)


@pytest.mark.parametrize("usage", [False, True])
async def test_streams_pass_the_strict_types(usage: bool) -> None:
    async with Rehearsal("- reply: Good morning, Ana! It is nine.") as provider, client(provider) as sdk:
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
        chunks: list[ChatCompletionChunk] = []
        async with sdk.chat.completions.with_streaming_response.create(
            model="gpt-4o-mini", messages=HI, stream=True, **options
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = [line.removeprefix("data: ") async for line in answer.iter_lines() if line]
        assert events.pop() == "[DONE]"
        chunks = [ChatCompletionChunk.model_validate_json(event, strict=True) for event in events]
    assert ('"usage":null' in events[0]) is usage
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    if usage:
        last = chunks.pop()
        assert last.choices == []
        assert last.usage
        assert last.usage.completion_tokens == count("Good morning, Ana! It is nine.")
    assert all(chunk.usage is None for chunk in chunks)
    first, *middle, end = [chunk.choices[0] for chunk in chunks]
    assert (first.delta.role, first.delta.content) == ("assistant", "")
    assert "".join(choice.delta.content or "" for choice in middle) == "Good morning, Ana! It is nine."
    assert len(middle) == 6
    assert end.delta.model_dump(exclude_unset=True) == {}
    assert end.finish_reason == "stop"
    assert {choice.finish_reason for choice in middle} == {None}


async def test_every_field_of_the_protocol_is_known() -> None:
    """The SDK's parameters are made from the contract; each of them is taken, as null, and no other."""
    kinds = (CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming)
    fields = {name for kind in kinds for name in kind.__annotations__} | set(CompletionCreateParamsBase.__annotations__)
    assert len(fields) > 30
    nothing: dict[str, Any] = dict.fromkeys(fields - {"model", "messages"})
    async with Rehearsal() as provider, client(provider) as sdk:
        assert await sdk.chat.completions.create(model="m", messages=HI, extra_body=nothing)
        with pytest.raises(openai.BadRequestError, match="Unrecognized request argument supplied: max_output_tokens"):
            await sdk.chat.completions.create(model="m", messages=HI, extra_body={"max_output_tokens": None})


def test_synchronous_client_in_a_thread() -> None:
    with (
        Rehearsal.in_thread("- reply: Hello") as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="any", max_retries=0) as sdk,
    ):
        assert sdk.chat.completions.create(model="m", messages=HI).choices[0].message.content == "Hello"
        texts = [
            chunk.choices[0].delta.content for chunk in sdk.chat.completions.create(model="m", messages=HI, stream=True)
        ]
        assert texts == ["", "Hello", None]
        assert len(provider.requests) == 2


async def test_models_with_their_shutdown_dates() -> None:
    async with Rehearsal() as provider, client(provider) as sdk:
        models = [model async for model in sdk.models.list()]
        one = await sdk.models.with_raw_response.retrieve("gpt-4o-mini")
        assert Model.model_validate_json(one.text, strict=True).shutdown_date == "2027-01-14"
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.models.retrieve("gpt-2")
    assert caught.value.code == "model_not_found"
    assert {"gpt-4o-mini", "gpt-6-luna", "rehearsal"} <= {model.id for model in models}


async def test_azure_addresses() -> None:
    script = "- {reply: Hello}\n"
    async with Rehearsal(script) as provider:
        azure = openai.AsyncAzureOpenAI(
            azure_endpoint=provider.address, api_version="2024-10-21", api_key="any", max_retries=0
        )
        async with azure:
            answer = await azure.chat.completions.create(model="my deployment", messages=HI)
        assert answer.choices[0].message.content == "Hello"
        assert provider.requests[0].path == "/openai/deployments/my%20deployment/chat/completions"
        async with openai.AsyncOpenAI(base_url=f"{provider.address}/openai/v1/", api_key="any") as sdk:
            assert (await sdk.chat.completions.create(model="gpt-4o", messages=HI)).choices[0].message.content
            assert [model async for model in sdk.models.list()]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_max_tokens_is_honoured(limit: str) -> None:
    reply = "Unbelievably long sentences, naïve coöperation, 🙂 and so on and on."
    async with Rehearsal(f"- reply: {reply!r}") as provider, client(provider) as sdk:
        for most in range(1, count(reply)):
            options: dict[str, Any] = {limit: most}
            answer = await sdk.chat.completions.create(model="gpt-4o", messages=HI, **options)
            text = answer.choices[0].message.content
            assert text is not None
            assert reply.startswith(text)
            assert answer.choices[0].finish_reason == "length"
            assert answer.usage
            assert answer.usage.completion_tokens == count(text) <= most
        whole = await sdk.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=count(reply))
    assert whole.choices[0].message.content == reply
    assert whole.choices[0].finish_reason == "stop"


async def test_cached_tokens_of_prefixes_seen_before() -> None:
    long = [{"role": "system", "content": "word " * 1200}, {"role": "user", "content": "one"}]
    async with Rehearsal("- reply: Yes") as provider, client(provider) as sdk:

        async def cached(messages: Any, model: str = "gpt-4o") -> int | None:
            usage = (await sdk.chat.completions.create(model=model, messages=messages)).usage
            assert usage
            assert usage.prompt_tokens_details
            return usage.prompt_tokens_details.cached_tokens

        assert await cached(long) == 0
        assert await cached(long) == 1152
        assert await cached([long[0], {"role": "user", "content": "two"}]) == 1152
        assert await cached([{"role": "system", "content": "word " * 1100 + "else"}]) == 1024
        assert await cached([{"role": "system", "content": "word " * 900 + "else " * 300}]) == 0
        assert await cached(long, "gpt-4o-mini") == 0
        provider.reset()
        assert await cached(long) == 0


async def test_several_choices_and_stop() -> None:
    async with Rehearsal() as provider, client(provider) as sdk:
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=HI, n=3)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert len({choice.message.content for choice in answer.choices}) == 3
        stopped = await sdk.chat.completions.create(model="gpt-4o", messages=HI, stop=["!", "?"])
        assert stopped.choices[0].message.content == "Hello"
        stream = await sdk.chat.completions.create(model="gpt-4o", messages=HI, n=2, stream=True)
        texts = ["", ""]
        async for chunk in stream:
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        assert texts == [choice.message.content for choice in answer.choices[:2]]


async def test_structured_output_is_valid() -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "reply": {"type": "string"}, "score": {"type": "integer"}},
        "required": ["mood", "reply", "score"],
        "additionalProperties": False,
    }
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    async with Rehearsal() as provider, client(provider) as sdk:
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=HI, response_format=wanted)
    assert (
        answer.choices[0].message.content
        == '{"mood": "good", "reply": "Hello! What can I do for you today?", "score": 1}'
    )


async def test_errors_reach_the_sdk_as_its_own() -> None:
    cases = {
        "{status: 401}": openai.AuthenticationError,
        "{status: 403}": openai.PermissionDeniedError,
        "{code: model_not_found}": openai.NotFoundError,
        "{status: 409}": openai.ConflictError,
        "{status: 422}": openai.UnprocessableEntityError,
        "{code: insufficient_quota}": openai.RateLimitError,
        "{status: 529}": openai.InternalServerError,
    }
    for fault, kind in cases.items():
        async with Rehearsal(f"- fault: {fault}") as provider, client(provider) as sdk:
            with pytest.raises(kind) as caught:
                await sdk.chat.completions.create(model="m", messages=HI)
            assert caught.value.request_id == "req_rehearsal_000001"


async def test_same_requests_get_same_answers() -> None:
    conversation: list[Any] = [
        {"role": "system", "content": "You are Juniper."},
        {"role": "user", "content": "My bike is red", "name": "Ben"},
        {"role": "user", "content": "And what about the weather?", "name": "Ana"},
    ]

    async def run() -> list[str]:
        texts = []
        async with Rehearsal() as provider, client(provider) as sdk:
            for stream in (False, True):
                raw = await sdk.chat.completions.with_raw_response.create(
                    model="gpt-4o", messages=conversation, stream=stream
                )
                texts.append((await raw.http_response.aread()).decode())
        return texts

    assert await run() == await run()


async def test_many_at_once() -> None:
    async with Rehearsal("- {reply: Hello, delay: 0.05}") as provider, client(provider) as sdk:
        answers = await asyncio.gather(*(sdk.chat.completions.create(model="m", messages=HI) for _ in range(50)))
    assert {answer.choices[0].message.content for answer in answers} == {"Hello"}
    assert [request.number for request in provider.requests] == list(range(1, 51))
