"""Writing messages for others: as our own JSON, as CSV, or as a line of OpenAI's fine-tuning files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from msgspec import json
from msgspec.structs import replace

from chatstep.message import History, Message, clean_text
from chatstep.registry import unknown

__all__ = ["WRITTEN", "write_transcript"]

WRITTEN = ("openai-jsonl", "json", "csv")
"""The formats that can be written."""
_COLUMNS = ("author", "author_id", "bot", "text", "time", "id", "role", "reply_to", "edited", "attachments")


def write_transcript(messages: Sequence[Message], assistant: Iterable[str], format: str, stream: BinaryIO) -> int:
    """Write messages as UTF-8 for others to read; returns how many were written.

    ``json`` and ``csv`` keep everything and are read back the same. CSV cells are the plain texts: a spreadsheet may
    take one that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, so import them as text. ``openai-jsonl`` is
    one line of roles and texts for fine-tuning, without tool results. Raises UnknownName for another format.
    """
    who = tuple(assistant)
    if format == "json":
        return _write_json(messages, who, stream)
    if format == "csv":
        return _write_csv(messages, stream)
    if format == "openai-jsonl":
        return _write_openai(messages, who, stream)
    raise unknown("format to write", format, WRITTEN)


def _write_json(messages: Sequence[Message], who: tuple[str, ...], stream: BinaryIO) -> int:
    stream.write(b'{"assistant": ' + json.encode(who) + b', "messages": [')
    for at, message in enumerate(messages):
        stream.write((b",\n" if at else b"\n") + json.encode(_clean(message)))
    stream.write(b"\n]}\n")
    return len(messages)


def _write_csv(messages: Sequence[Message], stream: BinaryIO) -> int:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    try:
        rows = csv.writer(text)
        rows.writerow(_COLUMNS)
        rows.writerows(_row(_clean(message)) for message in messages)
        text.flush()
    finally:
        text.detach()
    return len(messages)


def _row(message: Message) -> Iterator[str]:
    author = message.author
    yield author.name
    yield author.id or ""
    yield "" if author.bot is None else str(author.bot).lower()
    yield message.text
    yield message.time or ""
    yield message.id or ""
    yield message.role or ""
    yield message.reply_to or ""
    yield "true" if message.edited else ""
    yield json.encode(message.attachments).decode() if message.attachments else ""


def _write_openai(messages: Sequence[Message], who: tuple[str, ...], stream: BinaryIO) -> int:
    from chatstep.modules.openai.roles import Roles  # who is the assistant is told by the step's own rule

    roles = Roles(History(who))
    rows = []
    for at, message in enumerate(messages):
        if message.role == "tool":
            continue
        role = "system" if message.role == "system" else "user"
        if role == "user" and roles.is_assistant(message, at):
            role = "assistant"
        rows.append({"role": role, "content": clean_text(message.text)})
    stream.write(json.encode({"messages": rows}) + b"\n")
    return len(rows)


def _clean(message: Message) -> Message:
    """The message with nothing in it that cannot be written as UTF-8."""
    try:
        json.encode(message)
    except UnicodeEncodeError:
        author = message.author
        return replace(message, text=clean_text(message.text), author=replace(author, name=clean_text(author.name)))
    return message
