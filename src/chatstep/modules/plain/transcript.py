"""Plain JSON: a list of messages, an object with ``messages`` (and ``assistant``), or one message a line.

Messages are ``{author, text}``, ``{role, content}`` or ``[author, text]``. Items that are no message are left out and
named; the order is kept, unless the file begins with the newest message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, json
from msgspec.structs import force_setattr, replace

from chatstep.errors import InvalidInput, UnreadableFile
from chatstep.message import Author, Message, Role, message_from
from chatstep.modules.plain.order import oldest_first
from chatstep.reading import Reading, decode, read_utf8
from chatstep.records import data_files, lines, one_by_one, sketch_of
from chatstep.source import Source
from chatstep.transcript import Transcript, utc_time

__all__ = ["read", "recognise"]


class _WithRole(Struct):
    """The common form of ``{role, content}``; one with an author is read by the author."""

    role: Role
    content: str
    name: str | None = None
    id: str | None = None
    time: str | None = None
    author: UnsetType = UNSET
    text: UnsetType = UNSET


_MESSAGE, _WITH_ROLE, _ANY = json.Decoder(Message), json.Decoder(_WithRole), json.Decoder()
_LIST, _OBJECT = json.Decoder(list[Raw]), json.Decoder(dict[str, Raw])
_WHO = json.Decoder(str | list[str] | None)


def recognise(source: Source) -> bool:
    """Whether the file is of this format."""
    seen = sketch_of(source)
    if seen.kind == "array":
        lists = seen.paths == ("[][]",)
        return lists or seen.has("[].author", "[].text") or seen.has("[].role", "[].content")
    if seen.kind == "lines" or (seen.kind == "object" and not seen.has("messages")):
        return seen.has("author", "text") or seen.has("role", "content")
    if seen.kind != "object":
        return False
    if seen.has("messages[].author", "messages[].text") or set(seen.paths) <= {"messages", "assistant"}:
        return True
    return seen.has("messages[].role", "messages[].content") and (not seen.one_line or seen.has("assistant"))


def read(source: Source, channel: str | None) -> Transcript:
    """Read that channel, or the only one (see `TranscriptFormat`)."""
    name = next(iter(data_files(source)), None)
    data, notes = read_utf8(source, name)
    reading = Reading()
    reading.notes += notes
    place = source.place(name)
    if channel is not None:
        raise UnreadableFile("The file is one conversation; it has no channels.", place=place, hint="Leave it out.")
    who, items, is_ours = _items(data, place, sketch_of(source).kind == "lines")
    del data
    problem = _read_all(items, place, reading)
    if not reading.messages and problem is not None:
        raise UnreadableFile(problem.message, place=problem.place, hint=problem.hint) from None
    transcript = reading.finish("json", place)
    transcript.assistant = who
    return transcript if is_ours else oldest_first(transcript)


def _items(data: bytes, place: str, is_lines: bool) -> tuple[tuple[str, ...], Iterator[tuple[str, Any]], bool]:
    """Who the file says is the assistant, its messages as raw JSON, each with its name, and whether order is sure."""
    if is_lines:
        return (), ((f"line {number:,}", line) for number, line in lines(data)), False
    if data[:4096].lstrip()[:1] == b"[":
        return (), _numbered(decode(_LIST, data, place)), False
    whole = decode(_OBJECT, data, place)
    if "messages" not in whole:
        return (), iter([("the message", Raw(data))]), False
    named = decode(_WHO, whole.get("assistant", Raw(b"null")), f"{place}: assistant")
    who = (named,) if isinstance(named, str) else tuple(named or ())
    return who, _numbered(decode(_LIST, whole["messages"], f"{place}: messages")), "assistant" in whole


def _numbered(items: list[Any]) -> Iterator[tuple[str, Any]]:
    for at, item in enumerate(one_by_one(items)):
        yield f"messages[{at}]", item


def _read_all(items: Iterator[tuple[str, Any]], place: str, reading: Reading) -> InvalidInput | None:
    """Read the messages; equal authors become one object. Returns the first problem."""
    authors: dict[Author, Author] = {}
    first: InvalidInput | None = None
    readers = [_by_author, _by_role]
    for where, item in items:
        try:
            message = readers[0](item)
        except (DecodeError, RecursionError):
            try:
                message = readers[1](item)
                readers.reverse()  # files are mostly of one form
            except (DecodeError, RecursionError):
                try:
                    message = _in_any_form(item, f"{place}: {where}")
                except InvalidInput as error:
                    first = first or error
                    reading.leave("records that are no message", f"{where}: {error.message}")
                    continue
        if not message.text or message.text.isspace():
            reading.leave("attachment without text" if message.attachments else "empty", where)
            continue
        if not message.author.name:
            called = message.author.id or message.role
            if not called:
                reading.leave("records without author", where)
                continue
            force_setattr(message, "author", replace(message.author, name=called))
        known = authors.setdefault(message.author, message.author)
        force_setattr(message, "author", known)
        reading.messages.append(message)
    return first


def _by_author(item: Any) -> Message:
    return _MESSAGE.decode(item)


def _by_role(item: Any) -> Message:
    read = _WITH_ROLE.decode(item)
    return Message(read.name or read.role, read.content, id=read.id, time=read.time, role=read.role)


def _in_any_form(item: Any, place: str) -> Message:
    """All that is understood besides the common forms: other roles, numbers, parts, missing names."""
    try:
        value = decode(_ANY, item, place)
    except UnreadableFile as error:
        raise InvalidInput(error.message, place=place, hint=error.hint) from None
    if not isinstance(value, Mapping):
        return message_from(value, place)
    time = value.get("time")
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        value = {**value, "time": utc_time(time)}
    message = message_from(value, place)
    reply_to = value.get("reply_to")
    if isinstance(reply_to, (str, int)) and not isinstance(reply_to, bool):
        force_setattr(message, "reply_to", str(reply_to))
    force_setattr(message, "edited", value.get("edited") is True)
    return message
