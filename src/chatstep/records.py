"""The records of a JSON export: which file of a folder or zip holds them, and each as raw JSON, to be read one by one.

For readers of transcripts. Reading records one by one keeps memory low and confines damage to one record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Any

from msgspec import Raw, Struct
from msgspec.json import Decoder

from chatstep.errors import UnreadableFile
from chatstep.message import clean_text
from chatstep.reading import Chat, Reading, choose, decode, read_utf8
from chatstep.sketch import Sketch, sketch
from chatstep.source import Source

__all__ = ["About", "Chosen", "blocks_of", "choose_record", "data_files", "lines", "one_by_one", "records", "sketch_of"]

_CONVERSATIONS = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_BLOCK = 1 << 20
_GROUP = 1000
_DATA = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_LIST = Decoder(list[Raw])
_OBJECT = Decoder(dict[str, Raw])


class About(Struct, frozen=True):
    """What a record says about itself: its id and title where it has them, and its last time in seconds."""

    id: str | None
    title: str | None
    updated: float


class Chosen(Struct, frozen=True):
    """The record to read, where it is, and all that there were to choose from, the newest first."""

    item: Any
    place: str
    chat: Chat
    chats: list[Chat]


def data_files(source: Source) -> list[str | None]:
    """The files that hold the messages: the file itself, ``conversations.json`` and its like, or the only data file."""
    if source.kind == "file":
        return [None]
    names = source.names()
    found = [name for name in names if _CONVERSATIONS.fullmatch(name)]
    if not found:
        data = [name for name in names if name.lower().endswith(_DATA)]
        found = data if len(data) == 1 else []
    return [*found]


def sketch_of(source: Source) -> Sketch:
    """What the first of the data files looks like; "empty" where there is none."""
    for name in data_files(source):
        return sketch(source.head(name))
    return Sketch("empty")


def records(source: Source, name: str | None, key: str) -> tuple[list[Any], tuple[str, ...]]:
    """The records of one file, and notes: the items of a list, of the list under ``key``, or the one object."""
    data, notes = read_utf8(source, name)
    place = source.place(name)
    if data[:4096].lstrip()[:1] == b"[":
        return decode(_LIST, data, place), notes
    if data[:4096].lstrip()[:1] != b"{":
        raise UnreadableFile("The file is no JSON list or object.", place=place, hint="Export it again.")
    whole = decode(_OBJECT, data, place)
    if key in whole and bytes(whole[key])[:1] == b"[":
        return decode(_LIST, whole[key], place), notes
    return [Raw(data)], notes


def lines(data: bytes) -> Iterator[tuple[int, Raw]]:
    """The lines that are not blank, numbered from 1, without their line feeds.

    Lets go of what is done, and of the data itself, where the caller does so too.
    """
    number = 0
    blocks = blocks_of(data)
    del data
    for block in blocks:
        view = memoryview(block)
        start = 0
        while start < len(block):
            end = block.find(b"\n", start)
            end = len(block) if end < 0 else end
            number += 1
            line = view[start:end]
            if line and (line[0] not in b" \t\r" or bytes(line).strip()):
                yield number, Raw(line)
            start = end + 1


def blocks_of(data: bytes) -> Iterator[mmap]:
    """The data in blocks that end with a line feed, in copies of their own, of which those that are done are let go."""
    blocks: list[mmap] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _BLOCK) + 1 or len(data)
        blocks.append(_apart(data[start:end]))
        start = end
    return _emptying(blocks)


def _emptying(blocks: list[mmap]) -> Iterator[mmap]:
    blocks.reverse()
    while blocks:
        yield blocks.pop()


def _apart(data: bytes) -> mmap:
    """A copy in memory of its own, which goes back to the system at once when it is let go; malloc would keep it."""
    copy = mmap(-1, len(data))
    copy.write(data)
    return copy


def one_by_one(items: list[Any]) -> Iterator[Any]:
    """The raw items in order. Empties the list, and holds no more of the file than what is still to come.

    They are copied in groups, which costs less than a copy of each, so that the file itself can be let go.
    """
    groups: list[mmap] = []
    for start in range(0, len(items), _GROUP):
        end = min(start + _GROUP, len(items))
        groups.append(_apart(b"[" + b",".join(items[start:end]) + b"]"))
        items[start:end] = [None] * (end - start)
    items.clear()
    groups.reverse()
    while groups:
        yield from _LIST.decode(groups.pop())


def choose_record(
    source: Source, channel: str | None, reading: Reading, about: Callable[[Any, str], About | None]
) -> Chosen:
    """The conversation of that title or id, or the only one, of exports that hold a list ``conversations``.

    ``about(item, place)`` looks at a record; None, or UnreadableFile, leaves it out. Of several files the one with
    the chosen conversation is read again, so that one is held at a time. Raises UnknownName listing them.
    """
    found: list[tuple[float, str | None, int, Chat]] = []
    names = data_files(source)
    items: list[Any] = []
    for name in names:
        items, notes = records(source, name, "conversations")
        reading.notes += [note for note in notes if note not in reading.notes]
        for at, item in enumerate(items):
            place = f"{source.place(name)}: conversation {at + 1:,}"
            try:
                known = about(item, place)
            except UnreadableFile:
                known = None
            if known is None:
                reading.leave("conversations without messages, or damaged", place)
            else:
                title = clean_text(known.title or "")
                found.append((known.updated, name, at, Chat(known.id or str(at + 1), title)))
    if not found:
        raise UnreadableFile(
            "The export holds no conversation that can be read.", place=str(source.path), hint="Export it again."
        )
    found.sort(key=lambda each: -each[0])
    chats = [chat for *_, chat in found]
    _, name, at, chat = found[choose(chats, channel, str(source.path))]
    if len(names) > 1:
        items, _ = records(source, name, "conversations")
    return Chosen(items[at], f"{source.place(name)}: conversation {at + 1:,}", chat, chats)
