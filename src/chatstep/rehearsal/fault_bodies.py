"""Faults in the body of an answer: not the right one, unreadable, packed, or without end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from chatstep.modules.openai.wire import Delta, encode, encode_event
from chatstep.rehearsal.answers import Answer
from chatstep.rehearsal.fault_table import Params, fault, parameter
from chatstep.rehearsal.plan import Plan

__all__: list[str] = []

_FILL = "@@fill@@"
_BLOCK = 1 << 20


def _around_filling(answer: Answer) -> tuple[bytes, bytes]:
    """The bytes before and after the text of an answer that has one choice."""
    if answer.stream:
        whole = encode_event(answer.chunk(Delta(content=_FILL)))
    else:
        whole = encode(answer.saying(_FILL).completion())
    before, _, after = whole.partition(_FILL.encode())
    return before, after


@fault("choices_null", "`choices` is null; in a stream, in every chunk.")
def _choices_null(plan: Plan, answer: Answer, p: Params) -> None:
    if answer.stream:
        chunks = answer.chunks()
        for chunk in chunks:
            chunk.choices = None
        plan.blocks = [*map(encode_event, chunks), b"data: [DONE]\n\n"]
    else:
        completion = answer.completion()
        completion.choices = None
        plan.set_body(encode(completion))


@fault("choices_empty", "`choices` is an empty list.", applies="plain")
def _choices_empty(plan: Plan, answer: Answer, p: Params) -> None:
    completion = answer.completion()
    completion.choices = []
    plan.set_body(encode(completion))


@fault("plain_json_to_stream", "A whole completion as JSON although a stream was asked for.", applies="stream")
def _plain_json_to_stream(plan: Plan, answer: Answer, p: Params) -> None:
    plan.headers.pop("cache-control", None)
    plan.set_body(encode(answer.completion()))


@fault("stream_to_plain", "A stream although none was asked for.", applies="plain")
def _stream_to_plain(plan: Plan, answer: Answer, p: Params) -> None:
    plan.headers["content-type"] = "text/event-stream"
    plan.blocks, plan.length = [*map(encode_event, answer.chunks()), b"data: [DONE]\n\n"], None


@fault("no_usage", "The answer lacks `usage`, also where a stream's usage chunk was asked for.")
def _no_usage(plan: Plan, answer: Answer, p: Params) -> None:
    answer.usage, answer.include_usage = None, False
    if answer.stream:
        plan.blocks = [*map(encode_event, answer.chunks()), b"data: [DONE]\n\n"]
    else:
        plan.set_body(encode(answer.completion()))


@fault("empty_body", "HTTP 200 and no body at all.")
def _empty_body(plan: Plan, answer: Answer, p: Params) -> None:
    plan.set_body(b"", plan.headers["content-type"])


@fault("garbage", "Bytes that are not HTTP, instead of an answer.")
def _garbage(plan: Plan, answer: Answer, p: Params) -> None:
    junk = bytes(range(256)) * 4
    plan.before, plan.cut_at, plan.cut_of = [junk], len(junk), "response"


@fault("broken_json", "JSON that breaks off in the middle; in a stream, its second event does.")
def _broken_json(plan: Plan, answer: Answer, p: Params) -> None:
    if answer.stream:
        blocks = list(plan.blocks)
        blocks[1] = blocks[1][: len(blocks[1]) // 2] + b"\n\n"
        plan.blocks = blocks
    else:
        body = plan.whole_body()
        plan.set_body(body[: len(body) // 2])


@fault("bom", "A UTF-8 byte order mark before the body.")
def _bom(plan: Plan, answer: Answer, p: Params) -> None:
    blocks = list(plan.blocks)
    blocks[0] = b"\xef\xbb\xbf" + blocks[0]
    plan.blocks = blocks
    plan.length = None if answer.stream else len(blocks[0])


@fault("invalid_utf8", "Bytes in the text that are not UTF-8.")
def _invalid_utf8(plan: Plan, answer: Answer, p: Params) -> None:
    before, after = _around_filling(answer)
    wrong = before + b"caf\xe9 \xff\xfe \xed\xa0\x80" + after
    if answer.stream:
        blocks = list(plan.blocks)
        plan.blocks = [blocks[0], wrong, *blocks[1:]]
    else:
        plan.set_body(wrong)


@fault("gzip", "The same answer, honestly packed with gzip.")
def _gzip(plan: Plan, answer: Answer, p: Params) -> None:
    packed = gzip.compress(plan.whole_body(), mtime=0)
    plan.headers["content-encoding"] = "gzip"
    plan.blocks, plan.length = [packed], len(packed)


@fault(
    "big_body",
    "A valid answer of this size, made while it is sent and never held; in a stream it is one event.",
    parameter("size", "size", 3 * 10**9, "how many bytes"),
    example="fault: {big_body: 3GB}",
)
def _big_body(plan: Plan, answer: Answer, p: Params) -> None:
    before, after = _around_filling(answer)
    letters = max(p["size"] - len(before) - len(after), 0)
    plan.blocks = _with_filling(before, letters, after)
    plan.length = None if answer.stream else len(before) + letters + len(after)


def _with_filling(before: bytes, letters: int, after: bytes) -> Iterator[bytes]:
    yield before
    block = b"a" * (1 << 16)
    for _ in range(letters // len(block)):
        yield block
    yield block[: letters % len(block)]
    yield after


@fault(
    "gzip_bomb",
    "A valid answer of this size, packed to a thousandth of it while it is sent.",
    parameter("size", "size", 2 * 10**9, "how many bytes it unpacks to"),
    example="fault: {gzip_bomb: 2GB}",
)
def _gzip_bomb(plan: Plan, answer: Answer, p: Params) -> None:
    before, after = _around_filling(answer)
    plan.headers["content-encoding"] = "gzip"
    plan.blocks, plan.length = _packed(before, max(p["size"] - len(before) - len(after), 0), after), None


def _packed(before: bytes, letters: int, after: bytes) -> Iterator[bytes]:
    """One gzip member. A block flushed fully stands by itself, so the same packed block is sent again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b"a" * _BLOCK
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    opening = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    closing = packer.compress(block[: letters % _BLOCK] + after) + packer.flush(zlib.Z_FINISH)
    check, size = zlib.crc32(before), len(before) + letters + len(after)
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + opening
    for _ in range(letters // _BLOCK):
        check = zlib.crc32(block, check)
        yield packed
    check = zlib.crc32(block[: letters % _BLOCK] + after, check)
    yield closing + check.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


@fault(
    "endless",
    "An answer that never ends: chunk after chunk, or a text without its closing quote.",
    parameter("every", "seconds", 0.0, "pause between two blocks"),
    example="fault: {endless: {every: 0.01}}",
)
def _endless(plan: Plan, answer: Answer, p: Params) -> None:
    plan.between, plan.length = p["every"], None
    if answer.stream:
        blocks = list(plan.blocks)
        plan.blocks = _forever(blocks[0], encode_event(answer.chunk(Delta(content="and so on "))))
    else:
        plan.blocks = _forever(_around_filling(answer)[0], b"and so on " * 100)


def _forever(first: bytes, again: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield again
