"""The bytes of an event stream: every odd stream known, and any way that a network may cut one."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.errors import (
    AnswerCut,
    AnswerUnreadable,
    ChatstepError,
    ContextTooLong,
    OutOfMoney,
    ProviderDown,
    RateLimited,
    RequestRefused,
)
from chatstep.modules.openai.answer import read_stream
from chatstep.modules.openai.stream import StreamReader
from chatstep.modules.openai.wire import DONE

FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
USAGE = {"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}}


def delta(content: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "delta": {"content": content}, "logprobs": None, "finish_reason": None}],
        "usage": None,
        **more,
    }


def event(value: Any, end: str = "\n", before: str = "data: ") -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{before}{text}{end}{end}".encode()


def read(*blocks: bytes) -> tuple[str, StreamReader]:
    reader = StreamReader()
    text = "".join(reader.feed(block) for block in blocks)
    return text + reader.finish(), reader


HELLO = event(delta("Hel")) + event(delta("lo")) + event(FINISH)

# --- streams that are odd but whole -----------------------------------------------------------------------------------

WHOLE = {
    "plain": HELLO + event(USAGE) + DONE,
    "no [DONE]": HELLO,
    "CRLF": (HELLO + DONE).replace(b"\n", b"\r\n"),
    "CR": (HELLO + DONE).replace(b"\n", b"\r"),
    "mixed line ends": HELLO.replace(b"\n\n", b"\r\n\n") + DONE,
    "no space after the colon": HELLO.replace(b"data: ", b"data:"),
    "byte order mark": b"\xef\xbb\xbf" + HELLO + DONE,
    "comments": b": OPENROUTER PROCESSING\n\n" + HELLO.replace(b"data", b": ping\ndata") + b": bye\n\n" + DONE,
    "ids and retry times": b"id: 7\nretry: 3000\n" + HELLO + b"retry: 1\n\n" + DONE,
    "several data lines": HELLO.replace(b'"choices"', b'\ndata: "choices"') + DONE,
    "several data lines, CRLF": HELLO.replace(b'"choices"', b'\ndata: "choices"').replace(b"\n", b"\r\n"),
    "no blank line at the end": HELLO.removesuffix(b"\n\n"),
    "no line end at the end": HELLO.removesuffix(b"\n"),
    "empty data": b"data:\n\ndata: \n\ndata:  \n\n" + HELLO + DONE,
    "[DONE] with a space": HELLO + b"data: [DONE] \n\n",
    "anything after [DONE]": HELLO + DONE + b"data: {broken\n\nevent: error\ndata: no\n\n" + event(delta("no")),
    "choices [] first": event({"choices": [], "prompt_filter_results": []}) + HELLO,
    "choices null": event({"choices": None, "id": ""}) + HELLO,
    "no delta": event({"choices": [{"index": 0, "finish_reason": None}]}) + HELLO,
    "delta null": event({"choices": [{"delta": None}]}) + HELLO,
    "content as parts": event(delta([{"type": "text", "text": "Hel"}])) + event(delta("lo")) + event(FINISH),
    "content null, empty": event(delta(None)) + event(delta("")) + HELLO,
    "empty finish reasons": HELLO.replace(b'"finish_reason": null', b'"finish_reason": ""'),
    "numbers where text belongs": event(delta("", id=7, model=None, created="now")) + HELLO,
    "event names": HELLO.replace(b"data", b"event: message\ndata"),
    "an error's name without an error": b"event: error\n\n" + HELLO,
    "thoughts beside": event({"choices": [{"delta": {"reasoning_content": "hm", "reasoning": "hm"}}]}) + HELLO,
    "padding": HELLO.replace(b'"usage": null', b'"usage": null, "obfuscation": "xxxx"'),
    "cut after the finish reason": HELLO + b'data: {"choices": [], "usa',
}


@pytest.mark.parametrize("stream", WHOLE.values(), ids=WHOLE)
def test_odd_streams_that_are_whole(stream: bytes) -> None:
    for size in (len(stream), 7, 1):
        text, reader = read(*(stream[at : at + size] for at in range(0, len(stream), size)))
        assert text == "Hello"
        assert reader.finish_reason == "stop"
        assert read_stream(reader, text).text == "Hello"


def test_what_is_gathered_beside_the_text() -> None:
    text, reader = read(WHOLE["plain"])
    assert (reader.model, reader.done, reader.events, text) == ("gpt-4o-mini-2024-07-18", True, 4, "Hello")
    assert reader.usage is not None
    assert reader.usage.total_tokens == 10
    answer = read_stream(reader, text)
    assert answer.usage is not None
    assert (answer.usage.prompt, answer.usage.completion) == (8, 2)


def test_a_refusal_and_a_tool_call_are_noted() -> None:
    refused = {"choices": [{"delta": {"refusal": "I can"}}]}, {"choices": [{"delta": {"refusal": "not."}}]}
    _, reader = read(*map(event, refused), event(FINISH))
    assert reader.refusal == "I cannot."
    _, reader = read(event({"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}), event(FINISH))
    assert reader.tool_calls


# --- letters in two halves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["a\ud83e", "\udd8ab"], "a🦊b"),
        (["\ud83e", "", "\udd8a"], "🦊"),
        (["a\ud83e", "b"], "a\ufffdb"),
        (["c\udd8a", "d"], "c\ufffdd"),
        (["a\ud83e"], "a\ufffd"),
        (["\ud83e", "\ud83e\udd8a"], "\ufffd🦊"),
    ],
)
def test_a_letter_cut_into_two_halves(contents: list[str], text: str) -> None:
    stream = b"".join(event(delta(content)) for content in contents) + event(FINISH)
    assert read(stream)[0] == text
    assert read(*(stream[at : at + 1] for at in range(len(stream))))[0] == text


# --- any way to cut ---------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(
    texts=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=6), max_size=6),
    escaped=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
    cuts=st.lists(st.floats(0, 1), max_size=12),
)
def test_any_cut_of_the_bytes_gives_the_same_text(
    texts: list[str], escaped: bool, end: str, mark: bool, cuts: list[float]
) -> None:
    values = [*(delta(text) for text in texts), FINISH]
    stream = b"".join(event(json.dumps(value, ensure_ascii=escaped), end) for value in values)
    stream = b"\xef\xbb\xbf" * mark + stream + f": bye{end}data: [DONE]{end}{end}".encode()
    places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    blocks = [stream[left:right] for left, right in itertools.pairwise(places)]
    text, reader = read(b"", *blocks, b"")
    assert text == "".join(texts)
    assert (reader.done, reader.finish_reason) == (True, "stop")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_that_stops_anywhere_is_never_taken_for_whole(end: bytes) -> None:
    stream = (event(delta("Hel")) + event(delta("lo 🦊")) + event(FINISH)).replace(b"\n", end)
    for at in range(len(stream)):
        text, reader = read(stream[:at])
        assert "Hello 🦊".startswith(text)
        if reader.finish_reason is None:
            with pytest.raises((AnswerCut, AnswerUnreadable)) as caught:
                read_stream(reader, text)
            assert caught.type is (AnswerCut if reader.events else AnswerUnreadable)
            assert caught.value.details.get("partial", "") == text
        else:
            assert text == "Hello 🦊"


def test_an_empty_finish_reason_is_none() -> None:
    text, reader = read(event({"choices": [{"delta": {"content": "Hel"}, "finish_reason": ""}]}) + DONE)
    with pytest.raises(AnswerCut):
        read_stream(reader, text)


def test_a_long_line_in_small_blocks_is_whole() -> None:
    stream = event(delta("x" * 2_000_000)) + event(FINISH)
    assert len(read(*(stream[at : at + 256] for at in range(0, len(stream), 256)))[0]) == 2_000_000


# --- errors inside the stream -----------------------------------------------------------------------------------------

BROKEN = {"message": "It broke.", "type": "server_error", "param": None, "code": None}
QUOTA = {"message": "No quota.", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
ERRORS: list[tuple[str, bytes, type[ChatstepError]]] = [
    ("in the envelope", event({"error": BROKEN}), ProviderDown),
    ("in the envelope, named", b"event: error\n" + event({"error": BROKEN}), ProviderDown),
    ("flat, named", b"event: error\n" + event({"message": "It broke."}), ProviderDown),
    ("flat, not named", event({"object": "error", "message": "It broke.", "code": 500}), ProviderDown),
    ("flat with a status of the caller's", event({"object": "error", "message": "No.", "code": 400}), RequestRefused),
    ("words alone, named", b"event: error\ndata: It broke.\n\n", ProviderDown),
    ("words alone in the envelope", event({"error": "It broke."}), ProviderDown),
    ("detail", event({"detail": "It broke."}), ProviderDown),
    ("OpenRouter", event(delta("", error={"code": 502, "message": "It broke."})), ProviderDown),
    ("OpenRouter, limit", event(delta("", error={"code": 429, "message": "Slow."})), RateLimited),
    ("OpenRouter, money", event(delta("", error={"code": 402, "message": "Pay."})), OutOfMoney),
    ("a number that is no status", event({"error": {"code": 200, "message": "It broke."}}), ProviderDown),
    ("quota", event({"error": QUOTA}), OutOfMoney),
    ("too long", event({"error": {"message": "Too long.", "code": "context_length_exceeded"}}), ContextTooLong),
    ("after CRLF", b"event: error\r\n" + event({"error": BROKEN}, "\r\n"), ProviderDown),
]


@pytest.mark.parametrize(("stream", "kind"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_an_error_inside_the_stream(stream: bytes, kind: type[ChatstepError]) -> None:
    for before in (b"", event(delta("Hel"))):
        reader = StreamReader()
        assert reader.feed(before) in ("", "Hel")
        with pytest.raises(kind) as caught:
            reader.feed(stream)
        assert type(caught.value) is kind
        assert caught.value.details["said"]


@pytest.mark.parametrize(
    "data",
    [b"{broken", b'"words"', b"[1]", b"17", b"\xff\xfe", b"<html>", b'{"choices": 7}', b"[" * 100_000],
    ids=["broken", "words", "list", "number", "not utf-8", "html", "choices", "deep"],
)
def test_an_event_that_is_none_of_the_protocol(data: bytes) -> None:
    reader = StreamReader()
    with pytest.raises(AnswerUnreadable) as caught:
        reader.feed(b"data: " + data + b"\n\n")
    assert len(caught.value.details["body"]) <= 200


@pytest.mark.parametrize("stream", [b"", b"\xef", b": ping\n\n" * 3, b"retry: 1\n\n" * 9, DONE, b"<html>no</html>"])
def test_a_stream_without_an_event(stream: bytes) -> None:
    text, reader = read(stream)
    with pytest.raises(AnswerUnreadable, match="no event"):
        read_stream(reader, text)
