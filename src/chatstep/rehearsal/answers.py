"""From what is to be said to the answer of the protocol: a completion, or the chunks of a stream.

A `Reply` is what a script or the conversationalist says; `make_answer` applies the request's limits to it (Max Tokens,
stop, n) and counts; `Answer.completion` and `Answer.chunks` write it. Same request and same reply give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from chatstep.modules.openai.tokens import count
from chatstep.modules.openai.wire import (
    DONE,
    ChatCompletion,
    Choice,
    Chunk,
    ChunkChoice,
    CompletionTokensDetails,
    CompletionUsage,
    Delta,
    PromptTokensDetails,
    ReplyMessage,
    encode,
    encode_event,
)
from chatstep.rehearsal.habits import limit_of
from chatstep.rehearsal.plan import Plan
from chatstep.rehearsal.usage import Prompt, cut_to

__all__ = ["Answer", "Reply", "Spoken", "make_answer", "plan_of"]

FINGERPRINT = "fp_rehearsal"
_PIECE = re.compile(r"\s*\S{1,32}|\s+")


class Reply(Struct, kw_only=True):
    """What to say. ``texts`` has one text per choice; ``pieces`` are the exact chunks of a stream."""

    texts: list[str] = field(default_factory=lambda: [""])
    finish_reason: str | None = None
    refusal: str | None = None
    reasoning: int = 0
    pieces: list[str] | int | None = None
    model: str | None = None
    usage: dict[str, Any] | UnsetType | None = UNSET


class Spoken(Struct):
    """One choice of an answer."""

    text: str | None
    finish_reason: str | None = "stop"
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    pieces: list[str] | None = None

    def parts(self) -> list[str]:
        """The text as a stream sends it: the script's own pieces, or a word at a time."""
        return self.pieces if self.pieces is not None else _PIECE.findall(self.text or "")


class Answer(Struct, kw_only=True):
    """An answer before it is written. Faults may change it."""

    id: str
    created: int
    model: str
    choices: list[Spoken]
    usage: CompletionUsage | None
    stream: bool
    include_usage: bool = False
    limit: int | None = None

    def saying(self, text: str) -> Answer:
        """The same answer with one choice of this text."""
        return msgspec.structs.replace(self, choices=[Spoken(text)])

    def completion(self) -> ChatCompletion:
        """The answer in one piece."""
        choices = [
            Choice(
                index=at,
                message=ReplyMessage(
                    content=spoken.text, refusal=spoken.refusal, tool_calls=spoken.tool_calls or UNSET
                ),
                finish_reason=spoken.finish_reason,
            )
            for at, spoken in enumerate(self.choices)
        ]
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=choices,
            usage=self.usage,
            service_tier="default",
            system_fingerprint=FINGERPRINT,
        )

    def chunk(self, delta: Delta | None, finish_reason: str | None = None, index: int = 0) -> Chunk:
        """One chunk of this answer; without a delta it has no choices."""
        choices = [] if delta is None else [ChunkChoice(index=index, delta=delta, finish_reason=finish_reason)]
        return Chunk(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=choices,
            usage=None if self.include_usage else UNSET,
            service_tier="default",
            system_fingerprint=FINGERPRINT,
        )

    def chunks(self) -> list[Chunk]:
        """The answer as a stream: roles, pieces, finish reasons, and the usage where it was asked for."""
        chunks = [self._opening(spoken, at) for at, spoken in enumerate(self.choices)]
        for at, spoken in enumerate(self.choices):
            chunks += [self.chunk(Delta(content=piece), index=at) for piece in spoken.parts()]
            chunks += [self.chunk(Delta(refusal=piece), index=at) for piece in _PIECE.findall(spoken.refusal or "")]
            for number, call in enumerate(spoken.tool_calls or ()):
                chunks.append(self.chunk(Delta(tool_calls=[{"index": number, **call}]), index=at))
        chunks += [self.chunk(Delta(), spoken.finish_reason, at) for at, spoken in enumerate(self.choices)]
        if self.include_usage:
            last = self.chunk(None)
            last.usage = self.usage
            chunks.append(last)
        return chunks

    def _opening(self, spoken: Spoken, at: int) -> Chunk:
        return self.chunk(Delta(role="assistant", content=None if spoken.tool_calls else ""), index=at)


def make_answer(
    body: Mapping[str, Any], reply: Reply, prompt: Prompt, *, cached: int, identity: str, created: int
) -> Answer:
    """The answer to a checked request. ``cached`` is the part of the prompt's tokens that was seen before."""
    limit, encoding = limit_of(body), prompt.counter.encoding
    reasoning = reply.reasoning if limit is None else min(reply.reasoning, limit)
    room = None if limit is None else limit - reasoning
    choices = [_spoken(text, reply, body, room, prompt) for text in reply.texts]
    written = sum(count(spoken.text or spoken.refusal or "", encoding) for spoken in choices)
    completion = written + reasoning * len(choices)
    usage: CompletionUsage | None = CompletionUsage(
        prompt_tokens=prompt.total,
        completion_tokens=completion,
        total_tokens=prompt.total + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning * len(choices)),
    )
    if reply.usage is None:
        usage = None
    elif reply.usage is not UNSET:
        usage = _with_counts(usage, reply.usage)
    return Answer(
        id=identity,
        created=created,
        model=reply.model or body["model"],
        choices=choices,
        usage=usage,
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        limit=limit,
    )


def _spoken(text: str, reply: Reply, body: Mapping[str, Any], room: int | None, prompt: Prompt) -> Spoken:
    if reply.refusal is not None:
        return Spoken(None, reply.finish_reason or "stop", refusal=reply.refusal)
    whole, finish = text, reply.finish_reason or "stop"
    stops = body.get("stop") or ()
    for stop in (stops,) if isinstance(stops, str) else stops:
        if stop:
            text = text.partition(stop)[0]
    if room is not None:
        kept = cut_to(text, room, prompt.counter.encoding)
        # Thinking that took all of the limit ends in `length`, also when no text was left to cut.
        if kept != text or (room == 0 and text):
            text, finish = kept, "length"
    pieces = reply.pieces
    if isinstance(pieces, int):
        pieces = [text[start : start + pieces] for start in range(0, len(text), pieces)]
    elif text != whole:
        pieces = None
    return Spoken(text, finish, pieces=pieces)


def _with_counts(usage: CompletionUsage | None, counts: Mapping[str, Any]) -> CompletionUsage:
    plain = msgspec.to_builtins(usage)
    for key, value in counts.items():
        plain[key] = {**plain[key], **value} if isinstance(value, Mapping) and plain.get(key) else value
    return msgspec.convert(plain, CompletionUsage)


def plan_of(answer: Answer) -> Plan:
    """The answer as it is sent when nothing goes wrong."""
    plan = Plan()
    if answer.stream:
        plan.headers["content-type"] = "text/event-stream; charset=utf-8"
        plan.headers["cache-control"] = "no-cache"
        plan.streaming = True
        plan.blocks = [*(encode_event(chunk) for chunk in answer.chunks()), DONE]
    else:
        plan.set_body(encode(answer.completion()))
    return plan
