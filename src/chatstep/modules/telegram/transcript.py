"""Reads Telegram Desktop's `result.json`: one chat, or a whole account with many chats to choose from.

Times are taken from Unix seconds where the file has them; older files have local times without a zone. The file knows
no bots, except that the other side of a chat with a bot is one.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.reading import Chat, Reading, choose, decode, read_utf8, seconds_of
from chatstep.sketch import head_as_utf8, may_have, sketch
from chatstep.source import Source
from chatstep.transcript import Transcript, utc_second

__all__ = ["read", "recognise"]

_ACCOUNT_KEYS = frozenset(
    ("personal_information", "profile_pictures", "contacts", "frequent_contacts", "sessions", "chats", "left_chats")
)
_CHAT_TYPE = re.compile(
    rb'"type"\s*:\s*"(?:saved_messages|replies|verification_codes|personal_chat|bot_chat'
    rb'|(?:private|public)_(?:group|supergroup|channel))"'
)
_NOT_SAVED = "(File not included"
_PLAIN_ACTION = re.compile(r"[a-z_]{1,60}")
_EVENTS = (
    "poll",
    "contact_information",
    "location_information",
    "game_title",
    "giveaway_information",
    "invoice_information",
)
_KINDS = {
    "sticker": "sticker",
    "voice_message": "audio",
    "audio_file": "audio",
    "video_message": "video",
    "video_file": "video",
    "animation": "video",
}


class _Part(Struct):
    text: str = ""


class _Row(Struct, rename={"name": "from"}):
    id: int | str
    type: str = "message"
    date: str | None = None
    date_unixtime: str | int | None = None
    edited: str | None = None
    edited_unixtime: str | int | None = None
    name: str | None = None
    from_id: str | int | None = None
    action: str | None = None
    text: str | list[str | _Part] | None = None
    reply_to_message_id: int | str | None = None
    reply_to_peer_id: Any = None
    photo: str | None = None
    file: str | None = None
    file_name: str | None = None
    mime_type: str | None = None
    media_type: str | None = None
    poll: Any = None
    contact_information: Any = None
    location_information: Any = None
    game_title: Any = None
    giveaway_information: Any = None
    invoice_information: Any = None


class _Entities(Struct):
    text_entities: list[_Part] = []


class _Chat(Struct):
    messages: Raw = Raw(b"[]")
    id: int | str | None = None
    name: str | None = None
    type: str | None = None


class _Chats(Struct, frozen=True, rename={"chats": "list"}):
    chats: list[Raw] = []


class _Account(Struct):
    chats: _Chats = _Chats()
    left_chats: _Chats = _Chats()


_CHAT, _ACCOUNT = Decoder(_Chat), Decoder(_Account)
_ROWS, _ROW, _ENTITIES = Decoder(list[Raw]), Decoder(_Row), Decoder(_Entities)


def recognise(source: Source) -> bool:
    """Whether a file of the source is a chat or an account of Telegram Desktop."""
    return any(_is_ours(source, name) for name in _candidates(source))


def _candidates(source: Source) -> list[str]:
    if source.kind == "file":
        return source.names()
    return [name for name in source.names() if name.lower().endswith(".json")]


def _is_ours(source: Source, name: str) -> bool:
    head = source.head(name)
    if not may_have(head, b"messages") and not may_have(head, b"about"):
        return False
    seen = sketch(head)
    if seen.has("about") and not _ACCOUNT_KEYS.isdisjoint(seen.paths):
        return True
    if not seen.has("type", "messages"):
        return False
    return seen.has("messages[].date_unixtime") or _CHAT_TYPE.search(head_as_utf8(head)) is not None


def read(source: Source, channel: str | None) -> Transcript:
    """Read the chat of that name or id, or the only one."""
    chats: list[Chat] = []
    found: list[tuple[str, _Chat, tuple[str, ...]]] = []
    reading = _Telegram()
    for name in _candidates(source):
        if _is_ours(source, name):
            data, notes = read_utf8(source, name)
            for chat in _chats_of(data, source.place(name), reading):
                found.append((source.place(name), chat, notes))
                chats.append(_known_as(chat, name))
    if not chats:
        raise UnreadableFile("The export holds no chat.", place=source.place())
    at = choose(chats, channel, source.place())
    place, chat, notes = found[at]
    reading.notes += notes
    reading.read_chat(chat, place)
    return reading.finish("telegram", source.place(), chats, chats[at].name)


def _chats_of(data: bytes, place: str, reading: Reading) -> list[_Chat]:
    if sketch(data[:65_536]).has("messages"):
        return [decode(_CHAT, data, place)]
    account = decode(_ACCOUNT, data, place)
    chats: list[_Chat] = []
    for number, raw in enumerate(account.chats.chats + account.left_chats.chats, 1):
        try:
            chats.append(_CHAT.decode(raw))
        except (DecodeError, RecursionError, ValueError):
            reading.leave("unreadable chat", f"{place} chat {number}")
    return chats


def _known_as(chat: _Chat, file: str) -> Chat:
    """The account of a deleted user has no name, saved messages have none either."""
    id = file if chat.id is None else str(chat.id)
    return Chat(id, chat.name or (chat.type or id if chat.type == "saved_messages" else id))


class _Telegram(Reading):
    """One chat."""

    def __init__(self) -> None:
        super().__init__()
        self._bot: str | None = None
        self._local_times = False

    def read_chat(self, chat: _Chat, place: str) -> None:
        """Add the messages of a chat."""
        if chat.type == "bot_chat" and chat.id is not None:
            self._bot = str(chat.id)
        rows = decode(_ROWS, chat.messages, place)
        for number, raw in enumerate(rows, 1):
            try:
                row = _ROW.decode(raw)
            except (DecodeError, RecursionError, ValueError) as error:
                why = str(error) if isinstance(error, ValidationError) else "unreadable JSON"
                self.leave("unreadable", f"{place} message {number}: {why}")
            else:
                self._read_row(row, raw)
        if self._local_times:
            self.notes.append("The file gives local times without a zone.")

    def _read_row(self, row: _Row, raw: Raw) -> None:
        if row.type != "message":
            action = row.action or ""
            named = action if _PLAIN_ACTION.fullmatch(action) else "other"
            self._leave(f"system ({named})" if row.type == "service" else "unsupported", row)
            return
        text = _text_of(row, raw)
        time, when = self._time_of(row)
        author = self._author_of(row, when)
        if not text or text.isspace():
            self._leave(_without_text(row), row)
            return
        answered = row.reply_to_message_id if row.reply_to_peer_id is None else None
        self.add(
            Message(
                author,
                text,
                id=str(row.id),
                time=time,
                attachments=_attachments_of(row),
                reply_to=None if answered is None else str(answered),
                edited=_is_edited(row),
            ),
            when,
        )

    def _leave(self, reason: str, row: _Row) -> None:
        self.leave(reason, f"message {row.id}" if self.is_new(reason) else None)

    def _time_of(self, row: _Row) -> tuple[str | None, float | None]:
        if row.date_unixtime is not None:
            try:
                when = int(row.date_unixtime)
            except ValueError:
                pass
            else:
                if time := utc_second(when):
                    return time, when
        when_local = seconds_of(row.date) if row.date else None
        if when_local is None:
            return None, None
        self._local_times = True
        return row.date, when_local

    def _author_of(self, row: _Row, when: float | None) -> Author:
        id = None if row.from_id is None else str(row.from_id)
        bot = None
        if self._bot is not None and id is not None:
            bot = id.removeprefix("user") == self._bot
        name = row.name or ""
        return self.author(id or ("", name), name, when, id, bot)


def _text_of(row: _Row, raw: Raw) -> str:
    text = row.text
    if text is None:
        try:
            text = [*_ENTITIES.decode(raw).text_entities]
        except (DecodeError, RecursionError, ValueError):
            return ""
    if isinstance(text, str):
        return text
    return "".join([part if isinstance(part, str) else part.text for part in text])


def _attachments_of(row: _Row) -> tuple[Attachment, ...]:
    path = row.file or row.photo
    if path is None:
        return ()
    saved = None if path.startswith(_NOT_SAVED) else path
    name = row.file_name or (saved.rpartition("/")[2] if saved else None)
    kind = "image" if row.photo else _KINDS.get(row.media_type or "")
    return (Attachment(kind or _kind_of_mime(row.mime_type), name, saved),)


def _kind_of_mime(mime: str | None) -> str:
    kind = (mime or "").partition("/")[0]
    return kind if kind in ("image", "video", "audio") else "file"


def _is_edited(row: _Row) -> bool:
    """Old files gave every message the first day of 1970 as the time of its edit."""
    return (row.edited is not None and not row.edited.startswith("1970")) or (
        row.edited is None and row.edited_unixtime is not None
    )


def _without_text(row: _Row) -> str:
    for event in _EVENTS:
        if getattr(row, event) is not None:
            return event.removesuffix("_information").removesuffix("_title")
    if row.media_type == "sticker":
        return "sticker without text"
    return "attachment without text" if row.file or row.photo else "empty"
