"""The text of a WhatsApp chat in blocks of whole lines, so that a long chat needs little more than its messages."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator

from chatstep.reading import WIDE_MARKS, as_utf8, not_utf8
from chatstep.source import Source

__all__ = ["blocks"]

_BLOCK = 1 << 16


def blocks(source: Source, name: str, notes: list[str]) -> Iterator[str]:
    """The text in blocks of whole lines, each with a line feed before it and none behind it.

    A character that is cut at the very end is dropped.
    """
    place, at = source.place(name), -1  # the first line feed is ours
    parts = [b"\n"]
    for block in _as_utf8(source, name, notes):
        cut = block.rfind(b"\n")
        if cut < 0:
            parts.append(block)
            continue
        lines = b"".join((*parts, block[:cut]))
        yield _text(lines, at, place)
        at += len(lines)
        parts = [block[cut:]]
    last = b"".join(parts)
    try:
        last.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            notes.append("The file ends in the middle of a character.")
            last = last[: error.start]
    yield _text(last, at, place)


def _as_utf8(source: Source, name: str, notes: list[str]) -> Iterator[bytes]:
    found = source.blocks(name, _BLOCK)
    first = next(found, b"")
    if first.startswith(WIDE_MARKS):
        first, more = as_utf8(first + b"".join(found), source.place(name))
        notes += more
    yield first.removeprefix(BOM_UTF8)
    yield from found


def _text(data: bytes, at: int, place: str) -> str:
    # Changed before it is decoded, since one emoji makes each character of a text take four bytes.
    try:
        return _with_line_feeds(data).decode()
    except UnicodeDecodeError as error:
        wrong = error
    try:
        data.decode()
    except UnicodeDecodeError as error:
        wrong = error  # with its place in the file, where line ends may be longer
    raise not_utf8(wrong, at, place) from None


def _with_line_feeds(data: bytes) -> bytes:
    """The text with line feeds alone as line ends; other carriage returns stay."""
    if b"\r" not in data:
        return data
    data = data.removesuffix(b"\r")
    plain = data.replace(b"\r", b"")  # thrice as quick as the replacement of pairs
    return plain if len(data) - len(plain) == data.count(b"\r\n") else data.replace(b"\r\n", b"\n")
