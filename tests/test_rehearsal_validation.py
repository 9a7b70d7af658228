"""Requests are judged as strictly as OpenAI judges them; every refusal comes in the envelope with its four keys."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from chatstep.rehearsal import Rehearsal

HI = [{"role": "user", "content": "Hi"}]
GOOD: dict[str, Any] = {"model": "gpt-4o", "messages": HI}


async def post(script: str | None, body: Any, path: str = "/v1/chat/completions", **options: Any) -> tuple[int, Any]:
    async with Rehearsal(script) as provider, aiohttp.ClientSession() as session:
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with session.post(provider.address + path, **data, **options) as answer:
            value = await answer.json()
    if answer.status != 200 and isinstance(value.get("error"), dict):
        assert set(value["error"]) == {"message", "type", "param", "code"}
    return answer.status, value


async def refusal(body: Any, script: str | None = None) -> tuple[int, str | None, str | None]:
    status, value = await post(script, body)
    assert status != 200, value
    return status, value["error"]["param"], value["error"]["code"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000])
async def test_not_an_object(raw: bytes) -> None:
    assert await refusal(raw) == (400, None, None)


async def test_unknown_arguments_are_named() -> None:
    status, value = await post(None, {**GOOD, "max_output_tokens": 5, "foo": 1})
    assert status == 400
    assert value["error"]["message"] == "Unrecognized request arguments supplied: max_output_tokens, foo"
    assert value["error"]["type"] == "invalid_request_error"
    assert (value["error"]["param"], value["error"]["code"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": ""}, "model", "empty_string"),
        ({"model": 5}, "model", "invalid_type"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "Hi"}, "messages", "invalid_type"),
        ({"messages": ["Hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "bot", "content": "Hi"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array"),
        ({"messages": [{"role": "user", "content": "a", "x": 1}]}, "messages[0].x", "unknown_parameter"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"messages": [*HI, {"role": "user", "content": "a", "name": "Ana B"}]}, "messages[1].name", "invalid_value"),
        ({"messages": [{"role": "user", "content": "a", "name": "x" * 65}]}, "messages[0].name", "invalid_value"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": 1.5}, "top_p", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": -5}, "max_completion_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens", "invalid_type"),
        ({"max_completion_tokens": "256"}, "max_completion_tokens", "invalid_type"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_parameter_combination"),
        ({"max_tokens": 99_999}, "max_tokens", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage", "unknown_parameter"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
        ({"response_format": {"type": "json_object"}}, "messages", None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"allOf": [5]}}}},
            "response_format",
            "invalid_json_schema",
        ),
        ({"reasoning_effort": "low"}, None, None),
        ({"top_logprobs": 2}, "top_logprobs", None),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ],
)
async def test_what_is_wrong_is_named(change: dict[str, Any], param: str | None, code: str | None) -> None:
    assert await refusal({**GOOD, **change}) == (400, param, code)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": None, "stop": None, "max_tokens": None},
        {"temperature": 0, "top_p": 1, "seed": 7, "user": "x", "store": False, "logit_bias": {"5": 1}},
        {"messages": [{"role": "assistant", "content": "Hello"}]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be kind"}]}, *HI]},
        {"messages": [*HI, {"role": "assistant", "refusal": "No"}, *HI]},
        {"messages": [{"role": "user", "content": "", "name": "Zoë"}]},
        {"model": "gpt-6-luna", "reasoning_effort": "none", "temperature": 0.5, "max_completion_tokens": 128_000},
        {"model": "somebody/else", "max_tokens": 5, "reasoning_effort": "max"},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "As JSON, please"}]},
    ],
)
async def test_what_is_right_passes(change: dict[str, Any]) -> None:
    assert (await post(None, {**GOOD, **change}))[0] == 200


@pytest.mark.parametrize(
    ("change", "param", "code", "status"),
    [
        ({"model": "gpt-6-luna", "max_tokens": 5}, "max_tokens", "unsupported_parameter", 400),
        ({"model": "gpt-5-mini", "reasoning_effort": "none"}, "reasoning_effort", "unsupported_value", 400),
        ({"model": "gpt-6-luna", "temperature": 0.5}, "temperature", "unsupported_value", 400),
        ({"model": "gpt-5.2-pro"}, "model", None, 404),
    ],
)
async def test_families_of_models(change: dict[str, Any], param: str, code: str | None, status: int) -> None:
    assert await refusal({**GOOD, **change}) == (status, param, code)
    if status == 400:
        assert (await post("families: false\nlimit_field: both", {**GOOD, **change}))[0] == 200


@pytest.mark.parametrize(
    ("script", "change", "param", "code"),
    [
        ("limit_field: max_tokens", {"max_completion_tokens": 5}, "max_completion_tokens", "unsupported_parameter"),
        ("limit_field: max_completion_tokens", {"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ("refuse_fields: [seed]", {"seed": 5}, "seed", "unsupported_parameter"),
        (
            "refuse_fields: [messages.name]",
            {"messages": [{"role": "user", "content": "a", "name": "Ana"}]},
            "messages[0].name",
            "unsupported_parameter",
        ),
        (
            "refuse_fields: [stream_options.include_usage]",
            {"stream": True, "stream_options": {"include_usage": True}},
            "stream_options.include_usage",
            "unsupported_parameter",
        ),
        (
            "{families: false, refuse_values: {reasoning_effort: [none]}}",
            {"reasoning_effort": "none"},
            "reasoning_effort",
            "unsupported_value",
        ),
        (
            "refuse_values: {messages.role: [developer]}",
            {"messages": [{"role": "developer", "content": "a"}, *HI]},
            "messages[0].role",
            "unsupported_value",
        ),
        (
            "strict_names: true",
            {"messages": [{"role": "user", "content": "a", "name": "Zoë"}]},
            "messages[0].name",
            "invalid_value",
        ),
        ("strict_roles: true", {"messages": [*HI, *HI]}, "messages", "invalid_value"),
        ("strict_roles: true", {"messages": [*HI, {"role": "system", "content": "a"}]}, "messages", "invalid_value"),
        ("strict_roles: true", {"messages": [*HI, {"role": "assistant", "content": "a"}]}, "messages", "invalid_value"),
        ("window: 20", {"max_tokens": 13}, "messages", "context_length_exceeded"),
    ],
)
async def test_habits_of_servers(script: str, change: dict[str, Any], param: str, code: str) -> None:
    assert await refusal({**GOOD, **change}, script) == (400, param, code)


async def test_habits_let_the_rest_pass() -> None:
    strict = "{window: 20, strict_roles: true, strict_names: true, limit_field: max_tokens}"
    assert (await post(strict, {**GOOD, "max_tokens": 12}))[0] == 200
    system = {"role": "system", "content": "a"}
    assert (await post("strict_roles: true", {**GOOD, "messages": [system, *HI]}))[0] == 200
    ignoring = "{ignore_fields: [max_completion_tokens], rules: [{reply: one two three}]}"
    _, answer = await post(ignoring, {**GOOD, "max_completion_tokens": 1})
    assert answer["choices"][0]["message"]["content"] == "one two three"


async def test_mistral_refuses_in_its_own_way() -> None:
    status, value = await post("{refuse_as: mistral, refuse_fields: [seed]}", {**GOOD, "seed": 1})
    assert (status, value["message"]["detail"][0]["loc"]) == (422, ["body", "seed"])


async def test_window_says_its_size() -> None:
    _, value = await post("window: 20", {**GOOD, "max_tokens": 13})
    assert "maximum context length is 20 tokens" in value["error"]["message"]
    assert "8 in the messages and 13 for the completion" in value["error"]["message"]


@pytest.mark.parametrize("header", [{"authorization": "Bearer right"}, {"api-key": "right"}])
async def test_key(header: dict[str, str]) -> None:
    assert (await post("key: right", GOOD, headers=header))[0] == 200
    wrong = {name: value.replace("right", "wrong") for name, value in header.items()}
    status, value = await post("key: right", GOOD, headers=wrong)
    assert (status, value["error"]["code"]) == (401, "invalid_api_key")
    assert "wrong" not in value["error"]["message"]


async def test_models_of_a_script_are_the_only_ones() -> None:
    script = "models: [tiny, {id: old, snapshot: old-1, shutdown_date: 2027-01-14}]"
    assert (await post(script, {**GOOD, "model": "old"}))[1]["model"] == "old-1"
    status, value = await post(script, GOOD)
    assert (status, value["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/", "/v1/embeddings", "/v1/models", "/openai/deployments/x/chat/completions"])
async def test_other_addresses(path: str) -> None:
    assert (await post(None, GOOD, path))[0] == (405 if path == "/v1/models" else 404)
