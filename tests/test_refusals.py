"""Refusals in every shape and status that servers are known to send, read into our tree of errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.errors import (
    Busy,
    ChatstepError,
    ContextTooLong,
    CredentialsRefused,
    ModelUnavailable,
    OutOfMoney,
    ProviderDown,
    RateLimited,
    RequestRefused,
    StepError,
    TimedOut,
)
from chatstep.modules.openai.refusals import MONEY_CODES, read_refusal, refusal_in


def envelope(code: Any = None, type: Any = None, param: Any = None, message: Any = "It says no.") -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def refused(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> ChatstepError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_refusal(status, headers or {}, raw)


# The rows of wire.md, section 5: status, code, type, what it means here.
ROWS: list[tuple[int, str | None, str | None, type[ChatstepError]]] = [
    (400, "context_length_exceeded", "invalid_request_error", ContextTooLong),
    (400, "unsupported_parameter", "invalid_request_error", RequestRefused),
    (400, "unsupported_value", "invalid_request_error", RequestRefused),
    (400, "invalid_parameter_combination", "invalid_request_error", RequestRefused),
    (400, "invalid_value", "invalid_request_error", RequestRefused),
    (400, "content_filter", None, RequestRefused),
    (401, "invalid_api_key", "invalid_request_error", CredentialsRefused),
    (401, "invalid_organization", "invalid_request_error", CredentialsRefused),
    (401, None, None, CredentialsRefused),
    (403, "unsupported_country_region_territory", "request_forbidden", CredentialsRefused),
    (404, "model_not_found", "invalid_request_error", ModelUnavailable),
    (402, None, None, OutOfMoney),
    (408, None, None, TimedOut),
    (409, None, None, ProviderDown),
    (413, None, None, RequestRefused),
    (422, "extra_forbidden", None, RequestRefused),
    (429, "rate_limit_exceeded", "requests", RateLimited),
    (429, "rate_limit_exceeded", "tokens", RateLimited),
    (429, "slow_down", "rate_limit_error", RateLimited),
    (429, None, None, RateLimited),
    *((429, code, "insufficient_quota", OutOfMoney) for code in sorted(MONEY_CODES)),
    *((429, code, None, OutOfMoney) for code in sorted(MONEY_CODES)),
    (429, None, "insufficient_quota", OutOfMoney),
    (500, None, "server_error", ProviderDown),
    (502, None, None, ProviderDown),
    (503, "server_is_overloaded", "service_unavailable_error", ProviderDown),
    (504, None, None, ProviderDown),
    *((status, None, None, ProviderDown) for status in range(520, 530)),
    (529, None, "overloaded_error", ProviderDown),
    (400, "exceed_context_size_error", "exceed_context_size_error", ContextTooLong),
    (302, None, None, RequestRefused),
    (418, None, None, RequestRefused),
]


@pytest.mark.parametrize(("status", "code", "type", "kind"), ROWS)
def test_every_row_of_the_table(status: int, code: str | None, type: str | None, kind: type[ChatstepError]) -> None:
    error = refused(status, envelope(code, type), {"x-request-id": "req_1"})
    assert error.__class__ is kind
    assert error.details["status"] == status
    assert error.details["said"] == "It says no."
    assert error.details["request_id"] == "req_1"
    assert error.details.get("provider_code") == code
    assert error.hint


def test_money_is_never_busy_and_limits_always_are() -> None:
    assert not issubclass(OutOfMoney, Busy)
    assert issubclass(RateLimited, Busy)


# Codes and words in every place where servers put them.
MISTRAL = {
    "object": "error",
    "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "No extras."}]},
    "type": "invalid_request_error",
    "param": None,
    "code": None,
}
FASTAPI = {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 1, "name"], "msg": "No extras."}]}
SHAPES: dict[str, tuple[int, Any, type[ChatstepError], dict[str, Any]]] = {
    "nested": (404, envelope("model_not_found"), ModelUnavailable, {"said": "It says no."}),
    "flat": (404, envelope("model_not_found")["error"], ModelUnavailable, {"said": "It says no."}),
    "in a list": (404, [envelope("model_not_found")], ModelUnavailable, {"said": "It says no."}),
    "error as words": (400, {"error": "It says no."}, RequestRefused, {"said": "It says no."}),
    "detail as words": (400, {"detail": "It says no."}, RequestRefused, {"said": "It says no."}),
    "detail as object": (429, {"detail": envelope("insufficient_quota")["error"]}, OutOfMoney, {}),
    "words alone": (400, "It says no.", RequestRefused, {"said": "It says no."}),
    "plain text": (404, b"404 page not found", RequestRefused, {"said": "404 page not found"}),
    "html": (502, b"<html><style>a{}</style><h1>Bad\ngateway</h1></html>", ProviderDown, {"said": "Bad gateway"}),
    "empty": (500, b"", ProviderDown, {}),
    "broken": (400, b'{"error": {"mess', RequestRefused, {"said": '{"error": {"mess'}),
    "not utf-8": (500, b"\xff\xfe no", ProviderDown, {}),
    "null": (500, b"null", ProviderDown, {}),
    "empty list": (500, b"[]", ProviderDown, {}),
    "deep": (500, b'{"error":' * 5000 + b"1" + b"}" * 5000, ProviderDown, {}),
    "deeper": (500, b"[" * 200_000, ProviderDown, {}),
    "OpenRouter": (429, envelope(429), RateLimited, {"provider_code": "429"}),
    "OpenRouter, money": (402, envelope(402), OutOfMoney, {"provider_code": "402"}),
    "old vLLM": (
        400,
        {"object": "error", "message": "No.", "type": "BadRequestError", "code": 400},
        RequestRefused,
        {},
    ),
    "Mistral": (422, MISTRAL, RequestRefused, {"provider_code": "extra_forbidden", "param": "max_completion_tokens"}),
    "FastAPI": (422, FASTAPI, RequestRefused, {"provider_code": "extra_forbidden", "param": "messages.1.name"}),
    "Azure filter": (400, envelope("content_filter") | {"innererror": {}}, RequestRefused, {}),
    "Anthropic": (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}}, ProviderDown, {}),
    "xAI": (400, {"code": "Some words", "error": "It says no."}, RequestRefused, {"provider_code": "Some words"}),
    "message null": (404, envelope("model_not_found", message=None), ModelUnavailable, {}),
    "everything odd": (500, envelope([], {}, 1.5, True), ProviderDown, {}),
}


@pytest.mark.parametrize(("status", "body", "kind", "details"), SHAPES.values(), ids=SHAPES)
def test_every_shape_of_body(status: int, body: Any, kind: type[ChatstepError], details: dict[str, Any]) -> None:
    error = refused(status, body)
    assert type(error) is kind
    assert error.details.items() >= details.items()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (envelope(None, param="model"), ModelUnavailable),
        (envelope(None, message="This is not a chat model."), ModelUnavailable),
        (envelope(404, message="The model `x` does not exist."), ModelUnavailable),
        (envelope("not_found_error", message="model 'x' not found"), ModelUnavailable),
        (envelope(None, message="Invalid URL (POST /v2/chat)"), RequestRefused),
        ({"detail": "Not Found"}, RequestRefused),
        (b"", RequestRefused),
    ],
)
def test_a_404_is_about_a_model_or_about_an_address(body: Any, kind: type[ChatstepError]) -> None:
    error = refused(404, body)
    assert type(error) is kind
    assert ("base URL" in (error.hint or "")) == (kind is RequestRefused)


@pytest.mark.parametrize(
    ("status", "code", "type", "message", "limit"),
    [
        (400, "context_length_exceeded", None, "This model's maximum context length is 8192 tokens. However", 8192),
        (400, "context_length_exceeded", None, "Too long.", None),
        (400, 400, "BadRequestError", "This model's maximum context length is 4096 tokens.", 4096),
        (400, 400, "exceed_context_size_error", "the request exceeds the available context size (2048 tokens)", 2048),
        (500, 500, "exceed_context_size_error", "the request exceeds the available context size.", None),
    ],
)
def test_a_prompt_that_is_too_long(
    status: int, code: str | int, type: str | None, message: str, limit: int | None
) -> None:
    error = refused(status, envelope(code, type, message=message))
    assert error.__class__ is ContextTooLong
    assert error.details.get("limit") == limit


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_names(headers: dict[str, str], delay: float | None) -> None:
    assert refused(429, envelope(), headers).details.get("retry_after") == delay


def test_words_decide_nothing_where_there_is_a_code() -> None:
    assert type(refused(429, envelope("rate_limit_exceeded", message="INSUFFICIENT QUOTA per minute"))) is RateLimited
    assert type(refused(400, envelope("invalid_value", message="rate limit"))) is RequestRefused


@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-proj-0123456789abcdef.",
        "Bearer 0123456789abcdef0123 is not known",
        "gsk_0123456789abcdef is not known",
    ],
)
def test_a_key_that_the_server_repeats_is_not_shown(said: str) -> None:
    for body in (envelope("invalid_api_key", message=said), said.encode()):
        error = refused(401, body)
        assert "0123456789" not in str(error.to_data())
        assert "***" in error.details["said"]


def test_what_was_said_is_cut_and_can_be_learnt_from() -> None:
    error = refused(400, envelope("unsupported_parameter", param="temperature", message="x" * 100_000))
    assert len(error.details["said"]) == 300
    refusal = refusal_in(error)
    assert (refusal.status, refusal.code, refusal.param) == (400, "unsupported_parameter", "temperature")
    assert refusal_in(StepError("No.")).status == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "detail", "message", "code", "type", "param", "loc"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(status=st.integers(100, 599), body=JSON | st.binary(max_size=30))
def test_any_body_gives_an_error_of_the_tree(status: int, body: Any) -> None:
    error = refused(status, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert isinstance(error, StepError)
    json.dumps(error.to_data())
