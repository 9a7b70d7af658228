"""Answers judged: what is passed on, and which error stands for everything that is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatstep.errors import (
    AnswerFiltered,
    AnswerRefused,
    AnswerUnreadable,
    ChatstepError,
    EmptyAnswer,
    OutOfMoney,
    ProviderDown,
    RateLimited,
    RequestRefused,
    UnexpectedToolCall,
)
from chatstep.modules.openai.answer import Answer, Thoughts, conclude, read_completion
from chatstep.modules.openai.prices import Usage

USAGE = {"prompt_tokens": 8, "completion_tokens": 256, "total_tokens": 264}
THINKING = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 256}}


def body(content: Any = "Hello", reason: Any = "stop", usage: Any = None, **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    return json.dumps({"id": "c", "model": "gpt-4o-mini-2024-07-18", "choices": [choice], "usage": usage}).encode()


def judged(raw: bytes, limit: int = 256) -> Answer:
    return conclude(read_completion(raw), limit)


@pytest.mark.parametrize(
    ("raw", "text", "reason"),
    [
        (body(), "Hello", "stop"),
        (body(reason="length"), "Hello", "length"),
        (body(reason=None), "Hello", None),
        (body(reason=""), "Hello", None),
        (body(reason="eos"), "Hello", "eos"),
        (body(reason=["odd"]), "Hello", None),
        (body(""), "", "stop"),
        (body(None), "", "stop"),
        (body("Partly", refusal="but not all"), "Partly", "stop"),
        (body("Beside", tool_calls=[{"id": "t"}], reason="tool_calls"), "Beside", "tool_calls"),
        (body([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]), "Hello", "stop"),
        (body("a\ud83eb"), "a\ufffdb", "stop"),
        (body(reasoning_content="hm", reasoning="hm"), "Hello", "stop"),
        (b"\xef\xbb\xbf" + body(), "Hello", "stop"),
        (body(refusal=7, tool_calls="no", role=None), "Hello", "stop"),
    ],
)
def test_answers_that_are_passed_on(raw: bytes, text: str, reason: str | None) -> None:
    answer = judged(raw)
    assert (answer.text, answer.finish_reason, answer.model) == (text, reason, "gpt-4o-mini-2024-07-18")


NOT_PASSED_ON: dict[str, tuple[bytes, type[ChatstepError], dict[str, Any]]] = {
    "eaten by thinking": (body("", "length", THINKING), EmptyAnswer, {"partial": "", "place": "max_tokens"}),
    "eaten, null": (body(None, "length", USAGE), EmptyAnswer, {}),
    "eaten, without counts": (body(" \n", "length"), EmptyAnswer, {}),
    "eaten, a gateway says stop": (body("", "stop", THINKING), EmptyAnswer, {}),
    "nothing and no reason": (body("", None), EmptyAnswer, {}),
    "nothing and an unknown reason": (body("", "eos"), EmptyAnswer, {}),
    "refused": (body(None, refusal="I cannot."), AnswerRefused, {"refusal": "I cannot."}),
    "filtered": (body("", "content_filter"), AnswerFiltered, {}),
    "filtered half-way": (body("Hel", "content_filter"), AnswerFiltered, {"partial": "Hel"}),
    "failed half-way": (body("Hel", "error"), ProviderDown, {"partial": "Hel"}),
    "tool call": (body(None, "tool_calls", tool_calls=[{"id": "t"}]), UnexpectedToolCall, {}),
    "function call of old": (body(None, "function_call", function_call={"name": "f"}), UnexpectedToolCall, {}),
}


@pytest.mark.parametrize(("raw", "kind", "details"), NOT_PASSED_ON.values(), ids=NOT_PASSED_ON)
def test_answers_that_are_errors(raw: bytes, kind: type[ChatstepError], details: dict[str, Any]) -> None:
    with pytest.raises(kind) as caught:
        judged(raw)
    assert type(caught.value) is kind
    assert caught.value.details.items() >= details.items()


def test_an_answer_eaten_by_thinking_says_how_much_thinking_took_and_what_to_set() -> None:
    with pytest.raises(EmptyAnswer) as caught:
        judged(body("", "length", THINKING))
    assert "256 of the 256" in caught.value.message
    assert "reasoning_room" in (caught.value.hint or "")
    assert caught.value.details["usage"] == Usage(8, 0, 256, 256, 264)


UNREADABLE: dict[str, tuple[bytes, type[ChatstepError]]] = {
    "html": (b"<html><body>Bad gateway</body></html>", AnswerUnreadable),
    "empty": (b"", AnswerUnreadable),
    "cut": (body()[:-20], AnswerUnreadable),
    "words": (b'"Hello"', AnswerUnreadable),
    "number": (b"17", AnswerUnreadable),
    "list": (b"[]", AnswerUnreadable),
    "not utf-8": (body("Hello").replace(b"Hello", b"\xff\xfe"), AnswerUnreadable),
    "deep": (b"[" * 200_000, AnswerUnreadable),
    "choices null": (b'{"choices": null}', AnswerUnreadable),
    "choices none": (b'{"choices": []}', AnswerUnreadable),
    "choices odd": (b'{"choices": 7}', AnswerUnreadable),
    "message null": (b'{"choices": [{"message": null}]}', AnswerUnreadable),
    "error with 200": (b'{"error": {"message": "It broke.", "type": "server_error"}}', ProviderDown),
    "error with 200, words": (b'{"error": "It broke."}', RequestRefused),
    "error with 200, flat": (b'{"object": "error", "message": "No.", "code": 400}', RequestRefused),
    "error with 200, detail": (b'{"detail": "No."}', RequestRefused),
    "OpenRouter 429": (b'{"error": {"code": 429, "message": "Slow."}}', RateLimited),
    "OpenRouter 502": (b'{"error": {"code": 502, "message": "Down."}, "choices": []}', ProviderDown),
    "quota with 200": (b'{"error": {"code": "insufficient_quota", "message": "Pay."}}', OutOfMoney),
}


@pytest.mark.parametrize(("raw", "kind"), UNREADABLE.values(), ids=UNREADABLE)
def test_bodies_that_are_no_answer(raw: bytes, kind: type[ChatstepError]) -> None:
    with pytest.raises(kind) as caught:
        judged(raw)
    assert type(caught.value) is kind
    assert len(caught.value.details.get("body", "")) <= 200


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, None),
        ({}, None),
        ("odd", None),
        ({"prompt_tokens": 8, "completion_tokens": None}, Usage(8, 0, 0, 0, 8)),
        ({"prompt_tokens": 8.0, "completion_tokens": "2", "total_tokens": True}, Usage(8, 0, 0, 0, 8)),
        ({"prompt_tokens": 8, "completion_tokens": -3}, Usage(8, 0, 0, 0, 5 + 3)),
        ({"prompt_tokens": 1e999, "completion_tokens": 2}, Usage(0, 0, 2, 0, 2)),
        ({"prompt_tokens": 8, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(8, 0, 2, 0, 10)),
        ({"prompt_tokens": 8, "completion_tokens": 2, "completion_tokens_details": 7}, Usage(8, 0, 2, 0, 10)),
        (
            {
                "prompt_tokens": 80,
                "completion_tokens": 20,
                "total_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
                "completion_tokens_details": {"reasoning_tokens": 12},
            },
            Usage(80, 64, 20, 12, 100, 16),
        ),
    ],
)
def test_token_counts_of_any_shape(usage: Any, counted: Usage | None) -> None:
    assert judged(body(usage=usage)).usage == counted


# --- thoughts in front of a reply -------------------------------------------------------------------------------------

THOUGHTS = [
    ("Hello", "Hello"),
    ("<think>hm</think>Hello", "Hello"),
    ("\n<think>\nhm\n</think>\n\nHello <think>not</think>", "Hello <think>not</think>"),
    ("<think></think>Hello", "Hello"),
    ("  Hello", "  Hello"),
    ("<thin ice>", "<thin ice>"),
    ("<thi", "<thi"),
    ("<think>never ends", ""),
    ("<think>" + "hm " * 5000 + "</think>Hello", "Hello"),
    ("<think>a</thin</think>Hello", "Hello"),
    ("<think>hm</think> \n", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "reply"), THOUGHTS, ids=range(len(THOUGHTS)))
@pytest.mark.parametrize("size", [1, 3, 10_000_000])
def test_thoughts_are_left_out(text: str, reply: str, size: int) -> None:
    thoughts = Thoughts()
    pieces = [thoughts.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(pieces) + thoughts.finish() == reply


def test_a_reply_without_thoughts_is_not_held_back() -> None:
    thoughts = Thoughts()
    assert [thoughts.feed(piece) for piece in ("He", "llo", "<think>")] == ["He", "llo", "<think>"]
