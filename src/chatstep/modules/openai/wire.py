"""The values of the chat-completions protocol, and their bytes in both directions.

The client, the rehearsal provider and the server all use these Structs: what one writes the others read. Names are the
protocol's own (openapi.yaml of openai/openai-openapi). Reading is lenient, since compatible servers leave out what the
contract requires; writing is strict. No network here.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from chatstep.message import clean_text

__all__ = [
    "DONE",
    "MOST_COUNTED",
    "ArrivingChoice",
    "ArrivingChunk",
    "ChatCompletion",
    "Choice",
    "Chunk",
    "ChunkChoice",
    "CompletionTokensDetails",
    "CompletionUsage",
    "Delta",
    "ErrorBody",
    "ErrorEnvelope",
    "PromptTokensDetails",
    "ReplyMessage",
    "decode_any",
    "decode_chunk",
    "decode_completion",
    "encode",
    "encode_event",
]

DONE = b"data: [DONE]\n\n"
MOST_COUNTED = 2**53
"""Above this a token count is nonsense, and no longer exact in JSON."""

T = TypeVar("T")


class PromptTokensDetails(Struct):
    """How the prompt's tokens divide."""

    cached_tokens: int | None = 0
    audio_tokens: int | None = 0
    cache_write_tokens: int | None = 0


class CompletionTokensDetails(Struct):
    """How the completion's tokens divide."""

    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    accepted_prediction_tokens: int | None = 0
    rejected_prediction_tokens: int | None = 0


class CompletionUsage(Struct):
    """Token counts; `prompt_tokens` includes the cached ones, `completion_tokens` the reasoning ones."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = 0
    prompt_tokens_details: PromptTokensDetails | None = field(default_factory=PromptTokensDetails)
    completion_tokens_details: CompletionTokensDetails | None = field(default_factory=CompletionTokensDetails)


class ReplyMessage(Struct, kw_only=True):
    """The assistant's message of a completion."""

    role: str | None = "assistant"
    content: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = field(default_factory=list)
    tool_calls: list[Any] | msgspec.UnsetType | None = msgspec.UNSET


class Choice(Struct, kw_only=True):
    """One alternative of a completion; we only ever ask for one."""

    index: int | None = 0
    message: ReplyMessage | None = None
    logprobs: Any = None
    finish_reason: str | None = None


class ChatCompletion(Struct, kw_only=True):
    """The answer to a request without streaming. ``error`` is there because some servers answer 200 with one."""

    id: str | None = None
    object: str | None = "chat.completion"
    created: int | float | None = 0
    model: str | None = None
    choices: list[Choice] | None = None
    usage: CompletionUsage | None = None
    service_tier: str | msgspec.UnsetType | None = msgspec.UNSET
    system_fingerprint: str | msgspec.UnsetType | None = msgspec.UNSET
    error: Any = msgspec.UNSET


class Delta(Struct, kw_only=True, omit_defaults=True):
    """What a chunk adds to the message."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None


class ChunkChoice(Struct, kw_only=True):
    """One alternative of a chunk."""

    index: int | None = 0
    delta: Delta | None = None
    logprobs: Any = None
    finish_reason: str | None = None


class Chunk(Struct, kw_only=True):
    """One event of a stream. The usage chunk has no choices; all others have no usage."""

    id: str | None = None
    object: str | None = "chat.completion.chunk"
    created: int | float | None = 0
    model: str | None = None
    choices: list[ChunkChoice] | None = None
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
    service_tier: str | msgspec.UnsetType | None = msgspec.UNSET
    system_fingerprint: str | msgspec.UnsetType | None = msgspec.UNSET
    error: Any = msgspec.UNSET


class ErrorBody(Struct):
    """The inside of the error envelope; all four keys are always written."""

    message: str
    type: str
    param: str | None = None
    code: str | int | None = None


class ErrorEnvelope(Struct):
    """How the protocol says that something is wrong."""

    error: ErrorBody


encode = msgspec.json.Encoder().encode

_completion = msgspec.json.Decoder(ChatCompletion).decode


class ArrivingChoice(Struct):
    """The part of a chunk's choice that a reader of streams looks at."""

    delta: Delta | None = None
    finish_reason: str | None = None


class ArrivingChunk(Struct):
    """The part of a chunk that a reader of streams looks at: decoding no more saves a third of the time."""

    choices: list[ArrivingChoice] | None = None
    usage: CompletionUsage | None = None
    model: str | None = None
    error: Any = None


_chunk = msgspec.json.Decoder(ArrivingChunk).decode


def encode_event(value: Any) -> bytes:
    """One server-sent event holding the value as JSON."""
    return b"data: " + encode(value) + b"\n\n"


def decode_completion(body: bytes) -> ChatCompletion:
    """Read a completion; raises ValueError when it is none."""
    try:
        return _completion(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _converted(_leniently(body), ChatCompletion)


def decode_chunk(data: bytes) -> ArrivingChunk:
    """Read a chunk; raises ValueError when it is none. Halves of a surrogate pair stay in the text as they are."""
    try:
        return _chunk(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _converted(_leniently(data, keep_surrogates=True), ArrivingChunk)


def decode_any(body: bytes) -> Any:
    """Plain values from JSON of any shape; raises ValueError when it is none, or nested beyond reason."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _converted(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:  # in older versions of msgspec no ValueError
        raise ValueError(str(error)) from None


def _leniently(body: bytes, *, keep_surrogates: bool = False) -> Any:
    """Plain values with what an odd server gets wrong put right, so that a paid answer is not thrown away."""
    value = decode_any(body)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            _plain_choice(choice, keep_surrogates=keep_surrogates)
    for key in ("id", "object", "model", "service_tier", "system_fingerprint"):
        if key in value and value[key] is not None and not isinstance(value[key], str):
            value[key] = str(value[key])
    if not isinstance(value.get("created"), (int, float)):
        value.pop("created", None)
    value["usage"] = _whole_numbers(value.get("usage"))
    return value


def _plain_choice(choice: dict[str, Any], *, keep_surrogates: bool) -> None:
    choice.pop("index", None)  # nobody reads it, and servers write it as they like
    if not isinstance(choice.get("finish_reason"), str):
        choice["finish_reason"] = None
    for key in ("message", "delta"):
        message = choice.get(key)
        if isinstance(message, dict):
            _plain_message(message, keep_surrogates=keep_surrogates)


def _plain_message(message: dict[str, Any], *, keep_surrogates: bool) -> None:
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        content = "".join(part for part in parts if isinstance(part, str))
    if isinstance(content, str) and not keep_surrogates:
        content = clean_text(content)
    message["content"] = content
    for key, kind in (("role", str), ("refusal", str), ("tool_calls", list), ("annotations", list)):
        if not isinstance(message.get(key), kind):
            message.pop(key, None)


def _whole_numbers(usage: Any) -> Any:
    """Token counts as whole numbers; what is none (text, null, a negative or endless number) is left out."""
    if not isinstance(usage, dict):
        return None
    counts: dict[str, Any] = {}
    for key, value in usage.items():
        if key.endswith("_details"):
            counts[key] = _whole_numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST_COUNTED:
            counts[key] = int(value)
    return counts
