"""Messages that bring roles: ``{role, content}`` and ``{from, value}``, in all the spellings that data sets have.

For the readers of ShareGPT and of fine-tuning files.
"""

from __future__ import annotations

from typing import Any

from msgspec import DecodeError, Raw, Struct, field, json

from chatstep.errors import InvalidInput, UnreadableFile
from chatstep.message import Attachment, Author, Message, Role, message_from
from chatstep.reading import Reading, decode
from chatstep.records import one_by_one

__all__ = ["read_rows"]

_TOOLS = "calls and results of tools"
_ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "function_call", "function_response", "observation"), "tool"),
}
_AUTHORS = {"user": Author("user"), "assistant": Author("assistant", bot=True), "system": Author("system")}


class _Row(Struct):
    role: str | None = None
    content: Any = None
    name: str | None = None
    speaker: str | None = field(name="from", default=None)
    value: Any = None
    tool_calls: Any = None
    function_call: Any = None


_ROW = json.Decoder(_Row)


def read_rows(rows: list[Raw], place: str, reading: Reading) -> None:
    """Read the messages into ``reading``; the list is emptied, so that a long conversation is not held twice."""
    decode_row = _ROW.decode
    for at, raw in enumerate(one_by_one(rows)):
        row: _Row | None
        try:
            row = decode_row(raw)
        except (DecodeError, RecursionError):
            row = _mended(raw)
        message = _message(row) if row is not None else "unreadable"
        if isinstance(message, str):
            reading.leave(message, f"{place}, message {at + 1:,}")
        else:
            reading.messages.append(message)


def _mended(raw: Raw) -> _Row | None:
    try:
        return decode(_ROW, raw, "message")  # replaces halves of characters
    except UnreadableFile:
        return None


def _message(row: _Row) -> Message | str:
    """The message, or why it is none."""
    speaker = row.role or row.speaker or ""
    role = _ROLES.get(speaker) or _ROLES.get(speaker.strip().casefold())
    content = row.content if row.content is not None else row.value
    if content.__class__ is str and content and not content.isspace() and role in _AUTHORS and not row.name:
        return Message(_AUTHORS[role], content, role=role)  # nearly always
    if role is None:
        return "unknown speakers"
    if role == "tool" or (not content and (row.tool_calls or row.function_call)):
        return _TOOLS
    attachments: tuple[Attachment, ...] = ()
    if not isinstance(content, str):
        try:
            read = message_from({"role": role, "content": content})
        except InvalidInput:
            return "unreadable"
        content, attachments = read.text, read.attachments
    if not content or content.isspace():
        return "attachment without text" if attachments else "empty"
    author = _AUTHORS[role]
    if row.name:
        author = Author(row.name, bot=author.bot)
    return Message(author, content, attachments=attachments, role=role)
