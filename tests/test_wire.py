"""The protocol's bytes, in both directions: what we write, and what odd servers write that we still read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.modules.openai.wire import (
    DONE,
    ChatCompletion,
    Choice,
    Chunk,
    ChunkChoice,
    CompletionUsage,
    Delta,
    ErrorBody,
    ErrorEnvelope,
    ReplyMessage,
    decode_chunk,
    decode_completion,
    encode,
    encode_event,
)

WRITTEN: list[tuple[Any, bytes]] = [
    (
        ErrorEnvelope(ErrorBody("No.", "invalid_request_error")),
        b'{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":null}}',
    ),
    (
        ChunkChoice(delta=Delta(role="assistant", content="")),
        b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}',
    ),
    (
        ChunkChoice(delta=Delta(), finish_reason="stop"),
        b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}',
    ),
    (
        Chunk(id="c", created=1, model="m", choices=[], usage=None),
        b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":null}',
    ),
    (
        Chunk(id="c", created=1, model="m", choices=[]),
        b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}',
    ),
    (
        ReplyMessage(content="Hi \u2028 \x00 🦊"),
        b'{"role":"assistant","content":"Hi \xe2\x80\xa8 \\u0000 \xf0\x9f\xa6\x8a","refusal":null,"annotations":[]}',
    ),
    (
        CompletionUsage(8, 2, 10),
        b'{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,'
        b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0,"cache_write_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}',
    ),
]


@pytest.mark.parametrize(("value", "raw"), WRITTEN, ids=range(len(WRITTEN)))
def test_bytes_out(value: Any, raw: bytes) -> None:
    assert encode(value) == raw
    assert encode_event(value) == b"data: " + raw + b"\n\n"


def test_the_end_of_a_stream() -> None:
    assert DONE == b"data: [DONE]\n\n"


def test_a_completion_has_every_key_that_the_contract_requires() -> None:
    choice = Choice(message=ReplyMessage(content="Hi"), finish_reason="stop")
    value = json.loads(encode(ChatCompletion(id="c", created=1, model="m", choices=[choice], usage=CompletionUsage())))
    assert value.keys() >= {"id", "object", "created", "model", "choices"}
    assert value["choices"][0].keys() >= {"index", "message", "logprobs", "finish_reason"}
    assert value["choices"][0]["message"].keys() >= {"role", "content", "refusal"}
    assert "error" not in value
    assert "tool_calls" not in value["choices"][0]["message"]


@settings(max_examples=200)
@given(st.text(st.characters(codec="utf-8")), st.sampled_from(["stop", "length", None]))
def test_what_is_written_is_read_back(text: str, reason: str | None) -> None:
    choice = Choice(message=ReplyMessage(content=text), finish_reason=reason)
    completion = ChatCompletion(id="c", created=1, model="m", choices=[choice], usage=CompletionUsage(8, 2, 10))
    assert decode_completion(encode(completion)) == completion
    chunk = decode_chunk(encode(Chunk(id="c", model="m", choices=[ChunkChoice(delta=Delta(content=text))])))
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert chunk.choices[0].delta.content == text


# --- lenient reading --------------------------------------------------------------------------------------------------

COMPLETIONS: dict[str, tuple[str, str | None]] = {
    "smallest": ('{"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
    "unknown keys": ('{"choices":[{"message":{"content":"Hi","x":1},"y":2}],"z":3}', "Hi"),
    "numbers as ids": ('{"id":7,"model":8,"object":9,"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
    "created as text": ('{"created":"now","choices":[{"message":{"content":"Hi"}}]}', "Hi"),
    "created as a fraction": ('{"created":1.5,"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
    "index as text": ('{"choices":[{"index":"0","message":{"content":"Hi"}}]}', "Hi"),
    "content as parts": ('{"choices":[{"message":{"content":[{"text":"H"},{"x":1},"?",{"text":"i"}]}}]}', "Hi"),
    "content null": ('{"choices":[{"message":{"content":null}}]}', None),
    "half a letter": ('{"choices":[{"message":{"content":"H\\ud83e"}}]}', "H\ufffd"),
    "a whole letter": ('{"choices":[{"message":{"content":"\\ud83e\\udd8a"}}]}', "🦊"),
    "fields of other kinds": (
        '{"choices":[{"finish_reason":0,"message":{"content":"Hi","refusal":{},"tool_calls":{},"annotations":1}}]}',
        "Hi",
    ),
    "usage odd": ('{"usage":{"prompt_tokens":{}},"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
    "usage endless": ('{"usage":{"prompt_tokens":1e999},"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
    "usage not a number": ('{"usage":{"prompt_tokens":NaN},"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
}


@pytest.mark.parametrize(("raw", "content"), COMPLETIONS.values(), ids=COMPLETIONS)
def test_bytes_in(raw: str, content: str | None) -> None:
    completion = decode_completion(raw.encode())
    assert completion.choices is not None
    assert completion.choices[0].message is not None
    assert completion.choices[0].message.content == content
    chunk = decode_chunk(raw.replace('"message"', '"delta"').encode())
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert (chunk.choices[0].delta.content or "")[:1] == (content or "")[:1] or "\\u" in raw


NONE = [
    b"",
    b"{",
    b"[]",
    b"17",
    b'"x"',
    b"null",
    b"\xff",
    b"<html>",
    b'{"choices":7}',
    b'{"choices":[7]}',
    b"[" * 99_999,
]


@pytest.mark.parametrize("raw", NONE, ids=range(len(NONE)))
def test_what_is_none_of_the_protocol_is_a_value_error(raw: bytes) -> None:
    for decode in (decode_completion, decode_chunk):
        with pytest.raises(ValueError):  # noqa: PT011  # the words are the decoder's
            decode(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "delta", "content", "usage", "prompt_tokens", "id", "index"]), inner
        )
    ),
    max_leaves=15,
)


@settings(max_examples=400)
@given(JSON)
def test_any_json_is_read_or_is_a_value_error(value: Any) -> None:
    raw = json.dumps(value).encode()
    for decode, kind in ((decode_completion, ChatCompletion), (decode_chunk, object)):
        try:
            assert isinstance(decode(raw), kind)
        except ValueError:
            assert not (isinstance(value, dict) and not value)
