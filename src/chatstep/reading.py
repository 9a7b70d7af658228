"""What readers of exports share: bytes to UTF-8, JSON with the place of its damage, and one chat while it is read.

A `Reading` gathers messages, authors and everything that was left out, and turns them into a Transcript: oldest first,
each author under the newest name. Only the transcript readers of the modules use this.
"""

from __future__ import annotations

import re
from array import array
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import inf, isnan
from typing import Any, TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder
from msgspec.structs import force_setattr

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Author, Message
from chatstep.source import Source
from chatstep.transcript import LeftOut, Transcript

__all__ = [
    "WIDE_MARKS",
    "Chat",
    "Reading",
    "as_utf8",
    "choose",
    "decode",
    "not_utf8",
    "read_utf8",
    "seconds_of",
]

T = TypeVar("T")

WIDE_MARKS = (BOM_UTF32_LE, BOM_UTF32_BE, BOM_UTF16_LE, BOM_UTF16_BE)
"""The byte order marks of texts that `as_utf8` turns into UTF-8."""

_BLOCK = 1 << 15  # four bytes a character, when it is decoded: what a processor keeps at hand
_EXPORT_AGAIN = "Export or download the chat again; the end of this file is missing."
_ESCAPES = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u[dD][89a-fA-F]..|.)", re.DOTALL)


class Chat(Struct, frozen=True):
    """One of the chats of an export, as users choose it: by id or by name."""

    id: str
    name: str


def as_utf8(data: bytes, place: str) -> tuple[bytes, tuple[str, ...]]:
    """The text as UTF-8 without a byte order mark, and a note when it was UTF-16 or UTF-32.

    Raises UnreadableFile where those are damaged; does not look at UTF-8 itself.
    """
    if data.startswith(WIDE_MARKS):
        name = "UTF-32" if data.startswith((BOM_UTF32_LE, BOM_UTF32_BE)) else "UTF-16"
        try:
            return data.decode(name).encode(), (f"The file was {name} text.",)
        except UnicodeDecodeError as error:
            raise _not_text(name, error.start, place) from None
    return data.removeprefix(BOM_UTF8), ()


def read_utf8(source: Source, name: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    """A file inside as valid UTF-8, and notes; raises UnreadableFile with the byte where it is something else."""
    place = source.place(name)
    data, notes = as_utf8(source.read(name), place)
    at = 0
    while at < len(data):
        end = min(at + _BLOCK, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80 and end > at + 1:
            end -= 1  # not in the middle of a character
        try:
            data[at:end].decode()
        except UnicodeDecodeError as error:
            raise _not_text("UTF-8", at + error.start, place) from None
        at = end
    return data, notes


def _not_text(encoding: str, at: int, place: str) -> UnreadableFile:
    return UnreadableFile(
        f"The file is not {encoding} text: byte {at:,} fits no character.",
        place=place,
        hint="Save it as UTF-8, or export the chat again.",
    )


def not_utf8(error: UnicodeDecodeError, base: int, place: str) -> UnreadableFile:
    """The error for bytes that are no UTF-8, ``base`` bytes into the file."""
    return _not_text("UTF-8", base + error.start, place)


def decode(decoder: Decoder[T], data: bytes | Raw, place: str) -> T:
    """Decode a file's JSON; raises UnreadableFile saying where it is cut, malformed or of another shape.

    Halves of surrogate pairs, which some exporters write, are replaced by U+FFFD.
    """
    try:
        return decoder.decode(data)
    except ValidationError as error:
        raise UnreadableFile(f"The file has another shape: {error}.", place=place) from None
    except (DecodeError, UnicodeDecodeError) as error:
        repaired = _ESCAPES.sub(_pair_or_mark, bytes(data))
        if repaired != bytes(data):
            return decode(decoder, repaired, place)
        raise _damaged(str(error), data, place) from None
    except RecursionError:
        raise UnreadableFile("The JSON is nested too deeply.", place=place) from None


def _pair_or_mark(found: re.Match[bytes]) -> bytes:
    escape = found[0]
    return rb"\ufffd" if len(escape) == 6 and escape[1:2] == b"u" else escape


def _damaged(reason: str, data: bytes | Raw, place: str) -> UnreadableFile:
    size = len(bytes(data))
    found = re.search(r"^(?:JSON is malformed: )?(.*?) \(byte (\d+)\)$", reason)
    at = int(found[2]) if found else size
    before = bytes(data)[:at]
    line, column = before.count(b"\n") + 1, at - before.rfind(b"\n")
    # Files on one line are counted in bytes; a line among others is named by who knows its number.
    where = f"byte {at:,}" + (f" (line {line:,}), column {column:,}" if line > 1 else "")
    if found is None or at >= size:
        return UnreadableFile(
            f"The JSON ends in the middle, at {where}.",
            place=place,
            hint=_EXPORT_AGAIN,
        )
    return UnreadableFile(
        f"The JSON is malformed at {where}: {found[1]}.",
        place=place,
        hint="Export the chat again.",
    )


def choose(chats: Sequence[Chat], channel: str | None, place: str) -> int:
    """Which of the chats is meant; raises UnknownName listing them when that is none, or none was named of several."""
    if channel is None:
        if len(chats) == 1:
            return 0
        labels = _labels(chats)
        raise UnknownName(
            f"The export holds {len(chats)} chats; name one.", place=place, hint=_known(_shown(chats)), near=labels[:3]
        )
    wanted = channel.removeprefix("#")
    found = [at for at, chat in enumerate(chats) if channel == chat.id] or [
        at for at, chat in enumerate(chats) if wanted == chat.name.removeprefix("#")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = [chats[at].id for at in found]
        raise UnknownName(f"{len(found)} chats are called {channel!r}.", place=place, hint=_known(ids), near=ids[:3])
    from chatstep.registry import unknown  # it looks for installed packages, which takes long to import

    raise unknown("chat", channel, _labels(chats), place)


def _labels(chats: Sequence[Chat]) -> list[str]:
    names = [chat.name for chat in chats]
    return [chat.name if chat.name and names.count(chat.name) == 1 else chat.id for chat in chats[:200]]


def _shown(chats: Sequence[Chat]) -> list[str]:
    return [
        label if not chat.name or label == chat.name else f"{label} ({chat.name})"
        for label, chat in zip(_labels(chats), chats, strict=False)
    ]


def _known(labels: Sequence[str]) -> str:
    return f"Known: {', '.join(labels[:20])}{' ...' if len(labels) > 20 else ''}."


def seconds_of(time: str) -> float | None:
    """An ISO 8601 time in seconds since 1970, for sorting; one without zone counts as UTC; None when it is none."""
    try:
        moment = datetime.fromisoformat(time)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


class _Known:
    """An author while names may still change: the one object that all messages share, and the time of its name."""

    __slots__ = ("author", "name", "when")

    def __init__(self, author: Author, when: float) -> None:
        self.author, self.name, self.when = author, author.name, when


class Reading:
    """One chat while it is read: `add` messages or `leave` rows out, in the file's order, then `finish`."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.notes: list[str] = []
        self._left: dict[str, list[Any]] = {}
        self._times = array("d")
        self._latest = -inf
        self._sorted = True
        self._authors: dict[Any, _Known] = {}
        self._without_time = 0

    def author(self, key: Any, name: str, when: float | None, id: str | None, bot: bool | None) -> Author:
        """The author of that key; of its names the one with the latest time wins for all its messages."""
        known = self._authors.get(key)
        if known is None:
            author = Author(name or id or "unknown", id=id, bot=bot)
            self._authors[key] = _Known(author, -inf if when is None else when)
            return author
        if when is not None and when >= known.when:
            known.when = when
            if name:
                known.name = name
        if bot is not None and known.author.bot is None:
            force_setattr(known.author, "bot", bot)
        return known.author

    def add(self, message: Message, when: float | None) -> None:
        """Take a message; one without a time stays after the one before it."""
        self.messages.append(message)
        self.date(when)

    def date(self, when: float | None) -> None:
        """Give the next message that has none yet its time in seconds."""
        if when is None:
            self._without_time += 1
            when = self._latest
        elif when < self._latest:
            self._sorted = False
        self._latest = when
        self._times.append(when)

    def date_all(self, times: array[float]) -> None:
        """Do that for all messages at once, of which none has a time yet; NaN stands for None."""
        if any(map(isnan, times)):
            for when in times:
                self.date(None if isnan(when) else when)
        else:
            self._times = times
            self._sorted = all(earlier <= later for earlier, later in pairwise(times))

    def leave(self, reason: str, example: str | None = None, count: int = 1) -> None:
        """Count rows that are left out; the first example of a reason is kept."""
        left = self._left.get(reason)
        if left is None:
            self._left[reason] = [count, example]
        else:
            left[0] += count

    def is_new(self, reason: str) -> bool:
        """Whether nothing was left out for that reason yet, so that an example is worth its making."""
        return reason not in self._left

    def left(self) -> tuple[LeftOut, ...]:
        """What was left out so far, the most frequent first."""
        rows = [LeftOut(reason, count, example) for reason, (count, example) in self._left.items()]
        return tuple(sorted(rows, key=lambda row: (-row.count, row.reason)))

    def finish(self, format: str, place: str, chats: Iterable[Chat] = (), channel: str | None = None) -> Transcript:
        """The transcript; raises UnreadableFile when there is no message."""
        left = self.left()
        if not self.messages:
            rows = "; ".join(f"{row.count:,} {row.reason}" for row in left)
            raise UnreadableFile(
                "The chat has no messages" + (f" (left out: {rows})." if rows else "."),
                place=place,
                hint="Check that it is the right chat, and that it was exported in full.",
            )
        if not self._sorted:
            order = sorted(range(len(self.messages)), key=self._times.__getitem__)
            self.messages = [self.messages[at] for at in order]
        for known in self._authors.values():
            if known.name and known.name != known.author.name:
                force_setattr(known.author, "name", known.name)
        if self._without_time:
            self.notes.append(
                f"Messages without a readable time: {self._without_time:,}; they stand where the file has them."
            )
        known_chats = tuple(chat.name or chat.id for chat in chats)
        return Transcript(format, self.messages, left, tuple(self.notes), channel, known_chats)
