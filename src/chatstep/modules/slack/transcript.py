"""Reads a Slack export: a zip or folder with a file per channel and day.

Messages are sorted by their `ts`, since a reply lies in the file of its own day. Bots often have no text of their own;
their words are in blocks and attachments.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.slack.archive import Archive, User, recognise
from chatstep.modules.slack.text import plain_text, words_of_attachments, words_of_blocks
from chatstep.reading import Reading, choose
from chatstep.source import Source
from chatstep.transcript import Transcript, utc_second

__all__ = ["read", "recognise"]

_SAID = frozenset(
    ("", "bot_message", "me_message", "thread_broadcast", "reply_broadcast", "file_share", "slackbot_response")
)
_PLAIN_SUBTYPE = re.compile(r"[a-z_]{1,60}")
_TS = re.compile(r"(\d{1,12})(?:\.\d{1,6})?")


class _Media(Struct):
    name: str | None = None
    title: str | None = None
    mimetype: str | None = None
    url_private: str | None = None
    permalink: str | None = None


class _BotProfile(Struct):
    name: str | None = None


class _Row(Struct):
    ts: str
    type: str = "message"
    subtype: str | None = None
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    bot_profile: _BotProfile | None = None
    user_profile: User | None = None
    text: str | None = None
    thread_ts: str | None = None
    edited: Any = None
    hidden: bool = False
    files: list[_Media | None] | None = None
    attachments: Any = None
    blocks: Raw = Raw(b"[]")


_ROW, _ANY = Decoder(_Row), Decoder()


def read(source: Source, channel: str | None) -> Transcript:
    """Read the channel of that name or id, or the only one."""
    archive = Archive(source)
    if not archive.chats:
        raise UnreadableFile("The export holds no channel.", place=source.place())
    at = choose(archive.chats, channel, source.place())
    reading = _Slack(archive)
    for name in archive.files[at]:
        reading.read_day(name)
    reading.notes += archive.notes
    return reading.finish("slack", source.place(), archive.chats, archive.chats[at].name)


class _Slack(Reading):
    """One channel."""

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self._archive = archive
        self._seen: set[str] = set()

    def read_day(self, name: str) -> None:
        """Add the messages of one file."""
        place = self._archive.source.place(name)
        for number, raw in enumerate(self._archive.rows(name), 1):
            try:
                row = _ROW.decode(raw)
            except (DecodeError, RecursionError, ValueError) as error:
                why = str(error) if isinstance(error, ValidationError) else "unreadable JSON"
                self.leave("unreadable", f"{place} message {number}: {why}")
            else:
                self._read_row(row, place)

    def _read_row(self, row: _Row, place: str) -> None:
        subtype = row.subtype or ""
        if subtype == "tombstone":
            self._leave("deleted", row, place)
        elif row.hidden:
            self._leave("hidden", row, place)
        elif row.type != "message" or subtype not in _SAID:
            kind = subtype or row.type
            self._leave(f"system ({kind if _PLAIN_SUBTYPE.fullmatch(kind) else 'other'})", row, place)
        elif row.ts in self._seen:
            self._leave("the same message again", row, place)
        else:
            self._seen.add(row.ts)
            self._read_message(row, place)

    def _leave(self, reason: str, row: _Row, place: str) -> None:
        self.leave(reason, f"{place} message {row.ts}" if self.is_new(reason) else None)

    def _read_message(self, row: _Row, place: str) -> None:
        time, when = _time_of(row.ts)
        author = self._author_of(row, when)
        text, links = plain_text(_text_of(row), self._archive.shown, self._archive.channel_names)
        files = tuple([_attachment(file) for file in row.files if file is not None]) if row.files else ()
        if not text or text.isspace():
            self._leave("attachment without text" if files else "empty", row, place)
            return
        answered = row.thread_ts if row.thread_ts != row.ts else None
        self.add(
            Message(
                author,
                text,
                id=row.ts,
                time=time,
                attachments=files + links,
                reply_to=answered,
                edited=row.edited is not None,
            ),
            when,
        )

    def _author_of(self, row: _Row, when: float | None) -> Author:
        id = row.user or self._archive.user_of_bot.get(row.bot_id or "") or row.bot_id
        known = self._archive.users.get(id or "")
        bot = bool(row.bot_id) or row.subtype == "bot_message" or (known is not None and known.is_bot)
        if known is not None:
            return self.author((id, ""), self._archive.shown(known.id) or "", when, id, bot)
        profile = row.user_profile.shown() if row.user_profile else ""
        name = profile or row.username or (row.bot_profile.name if row.bot_profile else None) or ""
        # One integration may post under many names, which are then different speakers.
        return self.author((id, name if row.username and not row.user else ""), name, when, id, bot)


def _time_of(ts: str) -> tuple[str | None, float | None]:
    found = _TS.fullmatch(ts)
    if found is None:
        return None, None
    # What stands after the point is a number in sequence, not a part of a second.
    time = utc_second(int(found[1]))
    return time, None if time is None else float(ts)


def _text_of(row: _Row) -> str:
    if row.text:
        return row.text
    try:
        words = words_of_blocks(_ANY.decode(row.blocks))
    except (DecodeError, RecursionError, ValueError):
        words = ""
    return words or words_of_attachments(row.attachments)


def _attachment(file: _Media) -> Attachment:
    kind = (file.mimetype or "").partition("/")[0]
    return Attachment(
        kind if kind in ("image", "video", "audio") else "file",
        file.name or file.title,
        file.url_private or file.permalink,
    )
