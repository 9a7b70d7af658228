"""Claude's data export: `conversations.json` as a file, a folder or the zip.

Answers that were asked for again share the message they answer; the branch of the last message is the one that was
shown, and the others are left out and counted.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import DecodeError, Raw, Struct, json

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message, Role
from chatstep.reading import Reading, decode, seconds_of
from chatstep.records import About, choose_record, sketch_of
from chatstep.source import Source
from chatstep.transcript import Transcript

__all__ = ["read", "recognise"]

T = TypeVar("T")

_ROLES: dict[str, Role] = {"human": "user", "user": "user", "assistant": "assistant"}
_AUTHORS = {"user": Author("user"), "assistant": Author("assistant", bot=True)}
_ROOT = "00000000-0000-4000-8000-000000000000"


class _Header(Struct):
    uuid: str | None = None
    name: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    chat_messages: list[Raw] | None = None


class _Link(Struct):
    """Where a message stands."""

    uuid: str | None = None
    parent_message_uuid: str | None = None
    created_at: str | None = None


class _Block(Struct):
    type: str | None = "text"
    text: str | None = None


class _File(Struct):
    file_name: str | None = None


class _Said(Struct):
    sender: str
    uuid: str | None = None
    text: str | None = None
    content: list[_Block] | None = None
    created_at: str | None = None
    attachments: list[_File] | None = None
    files: list[_File] | None = None


_DAMAGED = _Link()
_HEADER, _LINK, _SAID = json.Decoder(_Header), json.Decoder(_Link), json.Decoder(_Said)


def recognise(source: Source) -> bool:
    """Whether the file is of this format."""
    paths = sketch_of(source).paths
    return any(path in paths for path in ("[].chat_messages", "conversations[].chat_messages", "chat_messages"))


def read(source: Source, channel: str | None) -> Transcript:
    """Read that channel, or the only one (see `TranscriptFormat`)."""
    reading = Reading()
    chosen = choose_record(source, channel, reading, _about)
    _read_messages(decode(_HEADER, chosen.item, chosen.place), chosen.place, reading)
    transcript = reading.finish("claude", chosen.place, chosen.chats, chosen.chat.name or chosen.chat.id)
    transcript.assistant = ("assistant",)
    return transcript


def _about(item: Any, place: str) -> About | None:
    header = decode(_HEADER, item, place)
    if not header.chat_messages:
        return None
    return About(header.uuid, header.name, seconds_of(header.updated_at or header.created_at or "") or 0.0)


def _read_messages(header: _Header, place: str, reading: Reading) -> None:
    raws = header.chat_messages or []
    shown = _shown(raws, reading)
    others = [at for at, kept in enumerate(shown) if kept is False]
    if others:
        where = f"{place}, message {others[0] + 1:,}"
        reading.leave("other branches (edited or answered again)", where, len(others))
    for at, raw in enumerate(raws):
        raws[at] = Raw()  # a long conversation is not held twice
        if shown[at] is False:
            continue
        said = _decoded(_SAID, raw)
        message = _message(said) if said else "unreadable"
        if isinstance(message, str):
            reading.leave(message, f"{place}, message {at + 1:,}")
        else:
            reading.messages.append(message)


def _decoded(decoder: json.Decoder[T], raw: Raw) -> T | None:
    try:
        return decoder.decode(raw)
    except (DecodeError, RecursionError):
        try:
            return decode(decoder, raw, "message")  # mends halves of characters
        except UnreadableFile:
            return None


def _shown(raws: list[Raw], reading: Reading) -> list[bool]:
    """Which of the messages are on the branch of the newest one; damaged ones count as if they were.

    A message that names no parent, or one that is not in the file, follows the one before it.
    """
    links = [_decoded(_LINK, raw) or _DAMAGED for raw in raws]
    if not any(link.parent_message_uuid for link in links):
        return [True] * len(links)
    places = {link.uuid: at for at, link in enumerate(links) if link.uuid is not None}
    roots = {_ROOT, links[0].parent_message_uuid}
    parents: list[int] = []
    missing = 0
    for at, link in enumerate(links):
        parent = link.parent_message_uuid
        if parent is not None and parent in places:
            parents.append(places[parent])
        elif parent is not None and parent in roots:
            parents.append(-1)
        else:
            missing += parent is not None
            parents.append(at - 1)
    if missing:
        reading.notes.append(
            f"Messages that answer one that is not in the file: {missing:,}. They follow the one before."
        )
    shown = [link is _DAMAGED for link in links]
    at = max(range(len(links)), key=lambda at: (seconds_of(links[at].created_at or "") or 0.0, at))
    seen: set[int] = set()
    while at >= 0 and at not in seen:
        seen.add(at)
        shown[at] = True
        at = parents[at]
    return shown


def _message(said: _Said) -> Message | str:
    """The message, or why it is none."""
    role = _ROLES.get(said.sender)
    if role is None:
        return "unknown senders"
    text = _text(said)
    files = (*(said.attachments or ()), *(said.files or ()))
    if not text or text.isspace():
        return "attachment without text" if files else "empty"
    return Message(
        _AUTHORS[role],
        text,
        id=said.uuid,
        time=said.created_at,
        attachments=tuple(Attachment("file", file.file_name or None) for file in files),
        role=role,
    )


def _text(said: _Said) -> str:
    """The words of the content's text blocks, else of ``text``, which has stand-ins for blocks that are no text.

    Blocks side by side are one text (citations split it); those that something else parts are paragraphs.
    """
    blocks = said.content
    if blocks and len(blocks) == 1 and blocks[0].type == "text":
        return blocks[0].text or said.text or ""
    words: list[str] = []
    apart = False
    for block in blocks or ():
        if block.type not in ("text", None) or block.text is None:
            apart = True
        elif block.text:
            words.append("\n\n" + block.text if apart and words else block.text)
            apart = False
    return "".join(words) or said.text or ""
