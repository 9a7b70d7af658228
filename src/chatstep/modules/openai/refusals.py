"""What a server says when it does not answer: any shape of error body, read into our tree of errors.

Decided on the error's code first, then its type, then the HTTP status, and on its words only where servers give no
code: a prompt that is too long (vLLM), a model that does not chat, and a 404 that is about a model or about a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chatstep.errors import (
    AnswerUnreadable,
    ChatstepError,
    ContextTooLong,
    CredentialsRefused,
    ModelUnavailable,
    OutOfMoney,
    ProviderDown,
    RateLimited,
    RequestRefused,
    TimedOut,
)
from chatstep.http.retry import server_delay
from chatstep.modules.openai.dialect import Refusal
from chatstep.modules.openai.wire import decode_any

__all__ = ["MONEY_CODES", "ErrorParts", "error_from", "parts_of", "read_refusal", "refusal_in", "reported"]

MONEY_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
_CONTEXT_TYPES = ("exceed_context_size_error",)
_LIMIT_IN_WORDS = re.compile(
    r"(?:maximum context length is|context (?:size|length|window)(?: of| is)?|n_ctx[ =:]+)"
    r"\D{0,3}(\d{1,3}(?:,\d{3})+|\d{3,8})"
)
_KEY_IN_WORDS = re.compile(r"(?i)(\bbearer\s+|\b(?:sk|gsk|key)[-_])[^\s\"']{6,}")
_BODY_SHOWN = 300
_NESTED = 4  # levels that an error may be wrapped in


class ErrorParts(Struct, frozen=True):
    """What could be read of an error body; a part that is not there is empty."""

    message: str = ""
    code: str = ""
    type: str = ""
    param: str = ""


def parts_of(value: Any, depth: int = _NESTED) -> ErrorParts:
    """Read an error in the protocol's envelope, flat, as FastAPI's ``detail``, in a list, or as plain text."""
    if isinstance(value, str):
        return ErrorParts(message=value)
    if isinstance(value, list) and depth:
        return parts_of(value[0], depth - 1) if value else ErrorParts()
    if not isinstance(value, Mapping):
        return ErrorParts()
    for key in ("error", "detail", "message"):  # nested at any of these, also a message that is itself an object
        inner = value.get(key)
        if isinstance(inner, (Mapping, list)) and depth:
            return _or(_details(inner) if isinstance(inner, list) else parts_of(inner, depth - 1), value)
    if isinstance(value.get("error"), str):
        return ErrorParts(message=value["error"], code=_word(value, "code"), type=_word(value, "type"))
    return ErrorParts(
        message=_word(value, "message") or _word(value, "detail"),
        code=_word(value, "code"),
        type=_word(value, "type"),
        param=_word(value, "param"),
    )


def _word(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def _or(parts: ErrorParts, outer: Mapping[str, Any]) -> ErrorParts:
    """The inner parts; where they lack a code or type, the outer object's."""
    return ErrorParts(
        parts.message, parts.code or _word(outer, "code"), parts.type or _word(outer, "type"), parts.param
    )


def _details(items: list[Any]) -> ErrorParts:
    """FastAPI's list of complaints: the first one, its ``loc`` as the param and its ``type`` as the code."""
    for item in items:
        if isinstance(item, Mapping):
            loc = item.get("loc")
            path = [str(part) for part in loc if part != "body"] if isinstance(loc, list) else []
            return ErrorParts(message=_word(item, "msg"), code=_word(item, "type"), param=".".join(path))
    return ErrorParts()


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> ChatstepError:
    """The error that a reply with this status means. Its details hold what the reply said, never what we sent."""
    try:
        value = decode_any(body)
    except ValueError:
        value = None
    parts = parts_of(value)
    error = error_from(status, parts)
    said = parts.message or (_beginning(body) if value is None else "")
    return error.with_details(
        status=status,
        said=_shown(said),
        provider_code=parts.code or None,
        provider_type=parts.type or None,
        param=parts.param or None,
        request_id=headers.get("x-request-id"),
        retry_after=server_delay(headers),
    )


def reported(value: Any, status: int) -> ChatstepError:
    """The error that stands where an answer should: in a body with status 200, or in the middle of a stream.

    A code of three digits in it (OpenRouter, vLLM) is the status it would have had; else ``status`` is taken for it.
    """
    parts = parts_of(value)
    if parts.code.isdecimal() and len(parts.code) == 3 and parts.code >= "400":
        status = int(parts.code)
    return error_from(status, parts).with_details(
        said=_shown(parts.message), provider_code=parts.code or None, provider_type=parts.type or None
    )


def _shown(said: str) -> str | None:
    """The beginning of what a server said, without anything that looks like a key."""
    return _KEY_IN_WORDS.sub(r"\1***", said)[:_BODY_SHOWN] or None


def refusal_in(error: ChatstepError) -> Refusal:
    """The refusal behind an error that `read_refusal` made, for learning from."""
    details = error.details
    return Refusal(
        status=details.get("status", 0),
        code=details.get("provider_code", ""),
        param=details.get("param", ""),
        message=details.get("said", ""),
    )


def error_from(status: int, parts: ErrorParts) -> ChatstepError:
    """The class of error for a status (0: none, as inside a stream) and what the body said."""
    return _by_code(parts) or _by_status(status, parts)


def _by_code(parts: ErrorParts) -> ChatstepError | None:
    code = parts.code
    if code in MONEY_CODES or parts.type == "insufficient_quota":
        return OutOfMoney(
            "The provider's quota, credit or spend limit is used up.",
            hint="Check the plan and billing page of the account; nothing is retried.",
        )
    if code == "context_length_exceeded" or parts.type in _CONTEXT_TYPES:
        return _too_long(parts)
    if code == "model_not_found":
        return _no_model()
    if code in ("invalid_api_key", "invalid_organization"):
        return _no_access(code)
    if code == "content_filter":
        return RequestRefused(
            "The provider's content filter refused the conversation.", hint="Look at the newest messages."
        )
    if code in ("rate_limit_exceeded", "slow_down") or parts.type == "rate_limit_error":
        return _by_status(429, parts)
    if code == "server_is_overloaded" or parts.type in (
        "service_unavailable_error",
        "overloaded_error",
        "server_error",
    ):
        return ProviderDown("The provider is overloaded or failing.", hint="Try again in a while.")
    return None


def _too_long(parts: ErrorParts) -> ContextTooLong:
    limit = _LIMIT_IN_WORDS.search(parts.message)
    return ContextTooLong(
        "The conversation is longer than the model takes.",
        hint="Send less history (history_tokens) or use a model with a larger window.",
        limit=int(limit[1].replace(",", "")) if limit else None,
    )


def _no_model() -> ModelUnavailable:
    return ModelUnavailable(
        "The model is not there: retired, misspelt, or not open to this key.",
        hint="`chatstep models` lists what this connection offers.",
    )


def _no_access(code: str) -> CredentialsRefused:
    if code == "invalid_organization":
        return CredentialsRefused("The organization was not accepted.", hint="Check the connection's organization.")
    return CredentialsRefused(
        "The key was not accepted.", hint="Check it with `chatstep connections test`, or replace it with `rotate`."
    )


_STATUSES: dict[int, tuple[type[ChatstepError], str, str]] = {
    402: (OutOfMoney, "The provider wants credit first.", "Top up the account; nothing is retried."),
    403: (
        CredentialsRefused,
        "Access was denied.",
        "The key may lack a permission, or the country or address is not served.",
    ),
    413: (RequestRefused, "The request is larger than the provider takes.", "Send less text."),
    429: (RateLimited, "Too many requests or tokens in a short time.", "Wait, or ask for a higher limit."),
}


def _by_status(status: int, parts: ErrorParts) -> ChatstepError:
    if status == 400 and "maximum context length" in parts.message:
        return _too_long(parts)
    if status == 401:
        return _no_access(parts.code)
    if status == 404 and (parts.param == "model" or "not a chat model" in parts.message):
        return ModelUnavailable(
            "The model does not chat here, or is not there.",
            hint="Some models answer on the Responses API alone; choose another with `chatstep models`.",
        )
    if status == 404 and "model" in parts.message.lower():
        return _no_model()
    if status in (404, 405):
        return RequestRefused("Nothing chats at this address.", hint="Check the connection's base URL: it ends in /v1.")
    if status in _STATUSES:
        kind, message, hint = _STATUSES[status]
        return kind(message, hint=hint)
    if status == 408:
        return TimedOut("The provider gave up waiting.", hint="Try again in a while.", phase="provider")
    if status == 409 or status >= 500:
        return ProviderDown(f"The provider failed with status {status}.", hint="Try again in a while.")
    if 300 <= status < 400:
        return RequestRefused("The address redirects elsewhere, and a key is not sent there.", hint="Fix the base URL.")
    if 400 <= status < 500 or parts.message:
        return RequestRefused("The provider refused the request.", hint="See what it said.")
    return AnswerUnreadable(f"The server answered with status {status} and nothing to read.")


def _beginning(body: bytes) -> str:
    """The first words of a body that is no JSON; of HTML its text alone."""
    text = body[:4096].decode(errors="replace")
    if "<" in text:
        text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", text)
    return " ".join(text.split())
