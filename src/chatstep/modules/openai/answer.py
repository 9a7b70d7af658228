"""What came back, judged: an Answer to pass on, or the error that says why there is none.

Never silently short: no text although Max Tokens was spent, a refusal, a filtered answer and a stream without its end
are errors, each with what there was of it. Thoughts that a local model writes in front of its reply are left out.
"""

from __future__ import annotations

from msgspec import Struct

from chatstep.errors import (
    AnswerCut,
    AnswerFiltered,
    AnswerRefused,
    AnswerUnreadable,
    EmptyAnswer,
    ProviderDown,
    UnexpectedToolCall,
)
from chatstep.modules.openai.prices import Usage
from chatstep.modules.openai.refusals import parts_of, reported
from chatstep.modules.openai.stream import StreamReader
from chatstep.modules.openai.wire import CompletionUsage, decode_any, decode_completion

__all__ = ["OPENING", "Answer", "Thoughts", "conclude", "read_completion", "read_stream", "usage_from"]

OPENING, _CLOSING = "<think>", "</think>"


class Answer(Struct, frozen=True):
    """The end of one request: the text and what was said about it, not yet judged."""

    text: str
    finish_reason: str | None
    refusal: str = ""
    tool_call: bool = False
    usage: Usage | None = None
    model: str | None = None


def read_completion(body: bytes) -> Answer:
    """The answer in a whole body; raises AnswerUnreadable, or what the body reports as an error."""
    try:
        completion = decode_completion(body)
    except ValueError:
        raise _unreadable("The answer is not the JSON that the protocol has.", body) from None
    if completion.error:
        raise reported({"error": completion.error}, 0)
    choice = completion.choices[0] if completion.choices else None
    message = choice.message if choice is not None else None
    if choice is None or message is None:
        value = decode_any(body)
        if parts_of(value).message:  # an error without the protocol's envelope
            raise reported(value, 0)
        raise _unreadable("The answer has no choices.", body)
    return Answer(
        text=message.content or "",
        finish_reason=choice.finish_reason or None,  # some local servers leave it null on whole answers
        refusal=message.refusal or "",
        tool_call=bool(message.tool_calls),
        usage=usage_from(completion.usage),
        model=completion.model,
    )


def read_stream(reader: StreamReader, text: str) -> Answer:
    """The answer that a finished stream gave; raises AnswerCut when it ended without its end."""
    usage = usage_from(reader.usage)
    if reader.finish_reason is None:
        if not reader.events:
            raise AnswerUnreadable(
                "The stream held no event of the protocol.",
                hint="The server may not stream, or may not speak this protocol; try --no-stream.",
            )
        raise AnswerCut(
            "The answer was cut off: the stream ended without saying that it was finished.",
            hint="Ask again; the partial text was not passed on as an answer.",
            partial=text,
            usage=usage,
        )
    return Answer(text, reader.finish_reason, reader.refusal, reader.tool_calls, usage, reader.model)


def conclude(answer: Answer, limit: int) -> Answer:
    """The answer if it may be passed on; raises what it is instead. ``limit`` is the token limit that was sent."""
    text, reason, usage = answer.text, answer.finish_reason, answer.usage
    if reason == "content_filter":
        raise AnswerFiltered("The provider's content filter stopped the answer.", partial=text or None, usage=usage)
    if answer.refusal and not text.strip():
        raise AnswerRefused("The model declined to answer.", refusal=answer.refusal, usage=usage)
    if reason == "error":
        raise ProviderDown("The provider failed in the middle of the answer.", partial=text or None, usage=usage)
    if text.strip():
        return answer
    if answer.tool_call or reason in ("tool_calls", "function_call"):
        raise UnexpectedToolCall(
            "The model called a tool, although none was offered.", hint="Ask again, or use another model.", usage=usage
        )
    if reason == "length" or (usage is not None and usage.completion >= limit):  # some gateways always say "stop"
        raise _eaten(usage, limit)
    if reason != "stop":
        raise EmptyAnswer(
            "No text came, and the server did not say why.", hint="Ask again.", usage=usage, partial="", reason=reason
        )
    return answer


def _eaten(usage: Usage | None, limit: int) -> EmptyAnswer:
    thought = usage.reasoning if usage else 0
    if thought:
        return EmptyAnswer(
            f"No text came: thinking took {thought:,} of the {limit:,} tokens.",
            place="max_tokens",
            hint=f"Set reasoning_room to {max(1024, 2 * thought):,} or more, or a lower reasoning_effort.",
            usage=usage,
            partial="",
        )
    return EmptyAnswer(
        f"No text came although all {limit:,} tokens were spent, probably on thinking.",
        place="max_tokens",
        hint="Raise Max Tokens, set reasoning_room, or a lower reasoning_effort.",
        usage=usage,
        partial="",
    )


def _unreadable(message: str, body: bytes) -> AnswerUnreadable:
    return AnswerUnreadable(
        message,
        body=body[:200].decode(errors="replace"),
        hint="The server, or something between, does not speak this protocol; check the base URL.",
    )


def usage_from(counts: CompletionUsage | None) -> Usage | None:
    """Token counts as ours; None where the server gave none."""
    if counts is None:
        return None
    prompt, completion = counts.prompt_tokens or 0, counts.completion_tokens or 0
    if not (prompt or completion):
        return None
    if prompt < 0 or completion < 0:
        prompt, completion = max(prompt, 0), max(completion, 0)
    of_prompt, of_completion = counts.prompt_tokens_details, counts.completion_tokens_details
    return Usage(
        prompt=prompt,
        cached=(of_prompt.cached_tokens or 0) if of_prompt else 0,
        completion=completion,
        reasoning=(of_completion.reasoning_tokens or 0) if of_completion else 0,
        total=counts.total_tokens or prompt + completion,
        cache_write=(of_prompt.cache_write_tokens or 0) if of_prompt else 0,
    )


class Thoughts:
    """Leaves out ``<think>...</think>`` where an answer begins with it; other text passes at once."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def feed(self, text: str) -> str:
        """The part of the text so far that belongs to the reply."""
        if self._state == "reply":
            return text
        self._held += text
        if self._state == "start":
            begin = self._held.lstrip()
            if len(begin) < len(OPENING) and OPENING.startswith(begin):
                return ""
            if not begin.startswith(OPENING):
                return self._release(self._held)
            self._state = "thoughts"
        if self._state == "thoughts":
            _, closed, after = self._held.partition(_CLOSING)
            if not closed:
                self._held = self._held[-(len(_CLOSING) - 1) :] if len(self._held) > 4096 else self._held
                return ""
            self._state, self._held = "after", after
        reply = self._held.lstrip()
        return self._release(reply) if reply else ""

    def finish(self) -> str:
        """What was held back and turned out to be reply."""
        return self._release(self._held) if self._state == "start" else ""

    def _release(self, text: str) -> str:
        self._state, self._held = "reply", ""
        return text
