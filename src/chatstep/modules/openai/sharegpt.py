"""ShareGPT: conversations of ``{from, value}``, as a JSON list, as JSON Lines, or one alone; as data sets have them.

A conversation is chosen by its id or its number, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct, json

from chatstep.errors import UnreadableFile
from chatstep.message import Author, Message
from chatstep.modules.openai.role_rows import read_rows
from chatstep.reading import Chat, Reading, choose, decode, read_utf8
from chatstep.records import data_files, lines, records, sketch_of
from chatstep.source import Source
from chatstep.transcript import Transcript

__all__ = ["read", "recognise"]

_LISTS = ("conversations", "conversation", "items", "messages")


class _Record(Struct):
    id: str | int | None = None
    system: str | None = None
    conversations: list[Raw] | None = None
    conversation: list[Raw] | None = None
    items: list[Raw] | None = None
    messages: list[Raw] | None = None

    def rows(self) -> list[Raw]:
        """The messages, whatever the list is called."""
        return self.conversations or self.conversation or self.items or self.messages or []


_RECORD = json.Decoder(_Record)


def recognise(source: Source) -> bool:
    """Whether the file is of this format."""
    seen = sketch_of(source)
    prefix = "[]." if seen.kind == "array" else ""
    for key in _LISTS:
        if seen.has(f"{prefix}{key}[].from", f"{prefix}{key}[].value"):
            return True
        if seen.has(f"{prefix}{key}[].role", f"{prefix}{key}[].content") and (prefix or key != "messages"):
            return True
    return False


def read(source: Source, channel: str | None) -> Transcript:
    """Read that channel, or the only one (see `TranscriptFormat`)."""
    name = next(iter(data_files(source)), None)
    reading = Reading()
    chats, found = _conversations(source, name, channel, reading)
    if not chats:
        raise UnreadableFile(
            "The file holds no conversation that can be read.",
            place=source.place(name),
            hint='Each must be an object such as {"conversations": [{"from": "human", "value": "Hello"}]}.',
        )
    at = choose(chats, channel, source.place(name))
    item = found[at]
    found.clear()
    where = f"{source.place(name)}: conversation {int(chats[at].name):,}"
    record = decode(_RECORD, item, where)
    if record.system and not record.system.isspace():
        reading.messages.append(Message(Author("system"), record.system, role="system"))
    rows = record.rows()
    del item, record
    read_rows(rows, where, reading)
    transcript = reading.finish("sharegpt", where, chats, chats[at].id)
    transcript.assistant = ("assistant",)
    return transcript


def _conversations(
    source: Source, name: str | None, channel: str | None, reading: Reading
) -> tuple[list[Chat], list[Any]]:
    """The records that are conversations; the others are counted as left out."""
    chats: list[Chat] = []
    found: list[Any] = []
    for number, item in _records(source, name, reading):
        where = f"{source.place(name)}: conversation {number:,}"
        try:
            id = _id(item, where, number)
        except UnreadableFile:
            if channel == str(number):
                raise
            id = None
        if id is None:
            reading.leave("conversations without messages, or damaged", where)
        else:
            found.append(item)
            chats.append(Chat(id, str(number)))
    return chats, found


def _id(item: Any, where: str, number: int) -> str | None:
    """What the conversation is called, or None where it has no messages."""
    record = decode(_RECORD, item, where)
    return str(number if record.id is None else record.id) if record.rows() else None


def _records(source: Source, name: str | None, reading: Reading) -> Iterator[tuple[int, Any]]:
    if sketch_of(source).kind != "lines":
        items, notes = records(source, name, "")
        reading.notes += notes
        yield from enumerate(items, 1)
        return
    data, notes = read_utf8(source, name)
    reading.notes += notes
    rows = lines(data)
    del data
    yield from rows
