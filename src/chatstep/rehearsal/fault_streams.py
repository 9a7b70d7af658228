"""Faults and oddities of streams, and answers that hold something else than text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import msgspec

from chatstep.modules.openai.wire import DONE, CompletionUsage, Delta, encode, encode_event
from chatstep.rehearsal.answers import Answer, Spoken, plan_of
from chatstep.rehearsal.fault_table import Params, fault, parameter
from chatstep.rehearsal.plan import Plan
from chatstep.rehearsal.refusal import by_code

__all__: list[str] = []


def _write_again(plan: Plan, answer: Answer) -> None:
    fresh = plan_of(answer)
    plan.blocks, plan.length = fresh.blocks, fresh.length


@fault("no_done", "The stream ends properly, but without `[DONE]`.", applies="stream")
def _no_done(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = list(plan.blocks)[:-1]


@fault("no_finish_reason", "No choice ever gets a finish reason.")
def _no_finish_reason(plan: Plan, answer: Answer, p: Params) -> None:
    for spoken in answer.choices:
        spoken.finish_reason = None
    _write_again(plan, answer)


@fault(
    "error_in_stream",
    "After some chunks an error comes as an event, then the stream is closed.",
    parameter("after", "count", 2, "how many chunks come before it"),
    parameter("code", "text", "server_error", "the error's code"),
    parameter(
        "style",
        "word",
        "data",
        "as data, with `event: error`, flat, or inside a chunk",
        "data",
        "event",
        "flat",
        "chunk",
    ),
    example="fault: {error_in_stream: {after: 3, code: rate_limit_exceeded}}",
    applies="stream",
)
def _error_in_stream(plan: Plan, answer: Answer, p: Params) -> None:
    refusal = by_code(p["code"])
    event = b"data: " + refusal.encoded() + b"\n\n"
    if p["style"] == "event":
        event = b"event: error\n" + event
    elif p["style"] == "flat":
        event = b"event: error\ndata: " + encode({"message": refusal.message, "code": refusal.code}) + b"\n\n"
    elif p["style"] == "chunk":
        chunk = answer.chunk(Delta(content=""), "error")
        chunk.error = {"code": refusal.status, "message": refusal.message}
        event = encode_event(chunk)
    plan.blocks = [*list(plan.blocks)[: p["after"]], event]


@fault("crlf", "Lines end in CR LF.", applies="stream")
def _crlf(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [block.replace(b"\n", b"\r\n") for block in plan.blocks]


@fault("bare_data", "`data:` without a space behind it.", applies="stream")
def _bare_data(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [block.replace(b"data: ", b"data:", 1) for block in plan.blocks]


@fault("split_data", "Every event's JSON is spread over two `data:` lines.", applies="stream")
def _split_data(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [block.replace(b'","object"', b'"\ndata: ,"object"', 1) for block in plan.blocks]


@fault("comments", "Comment lines, ids and names stand between the events.", applies="stream")
def _comments(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [
        b": still working\n\n" + b"id: %d\nevent: message\n" % at + block for at, block in enumerate(plan.blocks)
    ]


@fault("one_block", "All events arrive at once.", applies="stream")
def _one_block(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [plan.whole_body()]


@fault("no_last_blank_line", "The stream ends right behind its last data, without the blank line.", applies="stream")
def _no_last_blank_line(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [plan.whole_body().removesuffix(DONE).rstrip(b"\n")]


@fault("split_surrogates", "An emoji is cut into its two halves, over two chunks.", applies="stream")
def _split_surrogates(plan: Plan, answer: Answer, p: Params) -> None:
    spoken = answer.choices[0]
    spoken.pieces, spoken.text = [*spoken.parts(), " \U0001f642"], (spoken.text or "") + " \U0001f642"
    events: list[bytes] = []
    for chunk in answer.chunks():
        plain = msgspec.to_builtins(chunk)
        content = chunk.choices[0].delta.content if chunk.choices and chunk.choices[0].delta else None
        for half in _halves(content or ""):
            plain["choices"][0]["delta"]["content"] = half
            events.append(b"data: " + json.dumps(plain).encode() + b"\n\n")
        if not content:
            events.append(encode_event(chunk))
    plan.blocks = [*events, DONE]


def _halves(text: str) -> list[str]:
    """The text cut between the two surrogates of every character that has two."""
    units = text.encode("utf-16-le", "surrogatepass")
    pieces = [""]
    for at in range(0, len(units), 2):
        unit = chr(int.from_bytes(units[at : at + 2], "little"))
        if "\udc00" <= unit <= "\udfff":
            pieces.append("")
        pieces[-1] += unit
    return [piece for piece in pieces if piece]


@fault(
    "retry_lines_only",
    "Blocks of `retry:` lines and nothing else.",
    parameter("count", "count", 1000, "how many; 0: without end"),
    parameter("every", "seconds", 0.0, "pause between two"),
    example="fault: {retry_lines_only: 500}",
    applies="stream",
)
def _retry_lines_only(plan: Plan, answer: Answer, p: Params) -> None:
    plan.between = p["every"]
    plan.blocks = _retries(p["count"])


def _retries(count: int) -> Iterator[bytes]:
    yield from itertools.repeat(b"retry: 3000\n\n", count) if count else itertools.repeat(b"retry: 3000\n\n")


@fault("empty_first_choices", "The first chunk has no choices but filter results, as Azure sends it.", applies="stream")
def _empty_first_choices(plan: Plan, answer: Answer, p: Params) -> None:
    first = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
    }
    plan.blocks = [encode_event(first), *plan.blocks]


@fault("after_done", "More events come after `[DONE]`.", applies="stream")
def _after_done(plan: Plan, answer: Answer, p: Params) -> None:
    plan.blocks = [*plan.blocks, encode_event(answer.chunk(Delta(content="too late"))), DONE]


@fault(
    "empty_length",
    "The thinking of a reasoning model takes all of Max Tokens: no text, `length`, and every token is paid.",
    parameter("tokens", "count", None, "reasoning tokens, when the request sets no limit"),
    parameter("no_content", "flag", False, "content is null instead of empty"),
    example="fault: {empty_length: {no_content: true}}",
)
def _empty_length(plan: Plan, answer: Answer, p: Params) -> None:
    spent = answer.limit or p["tokens"] or 256
    answer.choices = [Spoken(None if p["no_content"] else "", "length")]
    usage = answer.usage or CompletionUsage()
    usage.completion_tokens = spent
    usage.total_tokens = (usage.prompt_tokens or 0) + spent
    if usage.completion_tokens_details:
        usage.completion_tokens_details.reasoning_tokens = spent
    answer.usage = usage
    _write_again(plan, answer)


@fault(
    "tool_call",
    "A call of a tool instead of text, although none may have been offered.",
    parameter("name", "text", "look_up", "the tool"),
    parameter("arguments", "text", '{"query": "opening hours"}', "its arguments, as JSON text"),
    example="fault: {tool_call: find_order}",
)
def _tool_call(plan: Plan, answer: Answer, p: Params) -> None:
    call = {"id": "call_rehearsal", "type": "function", "function": {"name": p["name"], "arguments": p["arguments"]}}
    answer.choices = [Spoken(None, "tool_calls", tool_calls=[call])]
    _write_again(plan, answer)


@fault("thoughts", "The thinking of a local model stands beside the text, in `reasoning_content`.")
def _thoughts(plan: Plan, answer: Answer, p: Params) -> None:
    if answer.stream:
        thought = msgspec.to_builtins(answer.chunk(Delta()))
        thought["choices"][0]["delta"]["reasoning_content"] = "Let me think."
        first, *rest = plan.blocks
        plan.blocks = [first, encode_event(thought), *rest]
    else:
        completion = msgspec.to_builtins(answer.completion())
        completion["choices"][0]["message"]["reasoning_content"] = "Let me think."
        plan.set_body(encode(completion))
