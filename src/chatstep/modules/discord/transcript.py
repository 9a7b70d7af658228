"""Reads what DiscordChatExporter writes as JSON: one channel per file, or a folder or zip of such files.

Files of the same channel, as a partitioned export has them, are joined. Rows that the exporter made itself (joins,
pins, calls) are known by their type alone, since their text looks like any other.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import DecodeError, Raw, Struct, ValidationError, convert
from msgspec.json import Decoder

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.reading import Chat, Reading, choose, decode, read_utf8, seconds_of
from chatstep.sketch import head_as_utf8, may_have, sketch
from chatstep.source import Source
from chatstep.transcript import Transcript

__all__ = ["read", "recognise"]

# What people and bots say. The exporter has no names for 20 and 23, the answers to slash and menu commands.
_SAID = frozenset(("Default", "Reply", "20", "23", "ChatInputCommand", "ContextMenuCommand"))
_PLAIN_KIND = re.compile(r"[A-Za-z0-9]{1,40}")
_MENTION = re.compile(r"<@!?(\d+)>")
_IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "heic")
_KINDS = dict.fromkeys(_IMAGES, "image") | {
    **dict.fromkeys(("mp4", "mov", "webm", "mkv"), "video"),
    **dict.fromkeys(("mp3", "ogg", "wav", "m4a", "opus"), "audio"),
}


class _Channel(Struct):
    id: str | int = ""
    name: str | None = None


class _File(Struct):
    messages: list[Raw]


class _Who(Struct):
    id: str | int = ""
    name: str | None = None
    discriminator: str | None = None
    nickname: str | None = None
    isBot: bool = False  # noqa: N815 - the export's own key, as are those below


class _Media(Struct):
    fileName: str | None = None  # noqa: N815
    url: str | None = None


class _Sticker(Struct):
    name: str | None = None
    sourceUrl: str | None = None  # noqa: N815


class _Reference(Struct):
    messageId: str | int | None = None  # noqa: N815
    type: str | int | None = None


class _EmbedField(Struct):
    name: str | None = None
    value: str | None = None


class _Embed(Struct):
    title: str | None = None
    description: str | None = None
    fields: list[_EmbedField] = []


class _Forwarded(Struct):
    content: str | None = None
    attachments: list[_Media] = []


class _Row(Struct):
    id: str | int
    author: _Who
    type: str | int = "Default"
    timestamp: str | None = None
    timestampEdited: str | None = None  # noqa: N815
    content: str | None = None
    attachments: list[_Media] = []
    embeds: list[_Embed] = []
    stickers: list[_Sticker] = []
    reference: _Reference | None = None
    forwardedMessage: _Forwarded | None = None  # noqa: N815


class _Mentions(Struct):
    mentions: list[_Who] = []


_FILE = Decoder(_File)
_ROW = Decoder(_Row)
_MENTIONS = Decoder(_Mentions)


def recognise(source: Source) -> bool:
    """Whether a file of the source is one channel of a Discord server."""
    return any(_is_channel(source, name) for name in _candidates(source))


def _candidates(source: Source) -> list[str]:
    if source.kind == "file":
        return source.names()
    return [name for name in source.names() if name.lower().endswith(".json")]


def _is_channel(source: Source, name: str) -> bool:
    head = source.head(name)
    return may_have(head, b"guild", b"channel") and sketch(head).has("guild", "channel")


def read(source: Source, channel: str | None) -> Transcript:
    """Read the channel of that name or id, or the only one; parts of one channel are joined."""
    names = [name for name in _candidates(source) if _is_channel(source, name)]
    if not names:
        raise UnreadableFile("This is no channel of DiscordChatExporter.", place=source.place())
    chats: dict[str, Chat] = {}
    files: dict[str, list[str]] = {}
    for name in names:
        chat = _chat_of(source, name)
        chats.setdefault(chat.id, chat)
        files.setdefault(chat.id, []).append(name)
    known = sorted(chats.values(), key=lambda chat: (chat.name, chat.id))
    chosen = known[choose(known, channel, source.place())]
    reading = _Discord()
    for name in files[chosen.id]:
        reading.read_file(source, name)
    if len(files[chosen.id]) > 1:
        reading.notes.append(f"{len(files[chosen.id])} files of this channel were joined.")
    return reading.finish("discord", source.place(), known, chosen.name)


_CHANNEL_KEY = re.compile(r'"channel"\s*:\s*(?=\{)')


def _chat_of(source: Source, name: str) -> Chat:
    """Which channel a file holds, from its head: whole files are read one at a time, and only the chosen ones."""
    from json import JSONDecoder  # the one that can read a value out of a text that goes on

    text = head_as_utf8(source.head(name)).decode("utf-8", "replace")
    found = _CHANNEL_KEY.search(text)
    try:
        channel = convert(JSONDecoder().raw_decode(text, found.end())[0], _Channel) if found else _Channel()
    except (ValueError, RecursionError):
        channel = _Channel()
    id = str(channel.id)
    return Chat(id or name, channel.name or id or name)


class _Discord(Reading):
    """One channel."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: set[str] = set()

    def read_file(self, source: Source, name: str) -> None:
        """Add the messages of one file."""
        data, notes = read_utf8(source, name)
        self.notes += [note for note in notes if note not in self.notes]
        place = source.place(name)
        file = decode(_FILE, data, place)
        for number, raw in enumerate(file.messages, 1):
            self._read_row(raw, number, place)

    def _read_row(self, raw: Raw, number: int, place: str) -> None:
        try:
            row = _ROW.decode(raw)
        except (DecodeError, RecursionError, ValueError) as error:
            why = str(error) if isinstance(error, ValidationError) else "unreadable JSON"
            self.leave("unreadable", f"{place} message {number}: {why}")
            return
        kind = str(row.type)
        if kind not in _SAID:
            self._leave(f"system ({kind if _PLAIN_KIND.fullmatch(kind) else 'other'})", row)
        elif str(row.id) in self._ids:
            self._leave("the same message again", row)
        else:
            self._ids.add(str(row.id))
            self._read_message(row, raw)

    def _leave(self, reason: str, row: _Row) -> None:
        self.leave(reason, f"message {row.id}" if self.is_new(reason) else None)

    def _read_message(self, row: _Row, raw: Raw) -> None:
        text, attachments = _text_of(row), _attachments_of(row)
        if "<@" in text:
            text = _with_names(text, raw)
        when = seconds_of(row.timestamp) if row.timestamp else None
        author = self._author_of(row.author, when)
        if not text or text.isspace():
            kinds = {attachment.kind for attachment in attachments}
            what = "sticker" if kinds == {"sticker"} else "attachment" if kinds else ""
            self._leave(f"{what} without text" if what else "empty", row)
            return
        # A forwarded message refers to where it came from, and answers nobody.
        answers = row.reference if row.reference and row.reference.type not in ("Forward", "1", 1) else None
        self.add(
            Message(
                author,
                text,
                id=str(row.id),
                time=row.timestamp if when is not None else None,
                attachments=attachments,
                reply_to=str(answers.messageId) if answers and answers.messageId is not None else None,
                edited=row.timestampEdited is not None,
            ),
            when,
        )

    def _author_of(self, who: _Who, when: float | None) -> Author:
        id = str(who.id)
        name = who.nickname or who.name or ""
        # A webhook, a bot without a number of its own, speaks for others and takes a name with each message.
        webhook = who.isBot and who.discriminator == "0000"
        return self.author((id, name if webhook else ""), name, when, id or None, who.isBot)


def _text_of(row: _Row) -> str:
    if row.content:
        return row.content
    if row.forwardedMessage is not None:
        return row.forwardedMessage.content or ""
    parts: list[str] = []
    for embed in row.embeds:
        parts += [part for part in (embed.title, embed.description) if part]
        parts += [": ".join(part for part in (field.name, field.value) if part) for field in embed.fields]
    return "\n".join(parts)


def _attachments_of(row: _Row) -> tuple[Attachment, ...]:
    if not row.attachments and not row.stickers and row.forwardedMessage is None:
        return ()
    files = row.attachments + (row.forwardedMessage.attachments if row.forwardedMessage else [])
    found = [Attachment(_kind(file.fileName or ""), file.fileName, file.url) for file in files]
    found += [Attachment("sticker", sticker.name, sticker.sourceUrl) for sticker in row.stickers]
    return tuple(found)


def _kind(name: str) -> str:
    return _KINDS.get(name.rpartition(".")[2].lower(), "file")


def _with_names(text: str, raw: Raw) -> str:
    """The text of an export without markdown, where people are still numbers, with their names."""
    try:
        names = {str(who.id): who.nickname or who.name for who in _MENTIONS.decode(raw).mentions}
    except (DecodeError, RecursionError, ValueError):
        return text

    def name(found: re.Match[str]) -> str:
        known: Any = names.get(found[1])
        return f"@{known}" if known else found[0]

    return _MENTION.sub(name, text)
