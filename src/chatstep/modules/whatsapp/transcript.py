"""Reads the text that WhatsApp's "Export chat" writes: alone, in a folder, or in the zip that iOS hands out.

Rows are kept with the numbers of their days until the whole file has told whether days or months come first. All that
repeats, such as days, minutes and authors, is understood once and then looked up.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from datetime import date
from itertools import compress, groupby
from math import nan
from operator import add
from typing import Any, TypeVar

from msgspec.structs import force_setattr

from chatstep.errors import UnreadableFile
from chatstep.message import Author, Message
from chatstep.modules.whatsapp.blocks import blocks
from chatstep.modules.whatsapp.headers import ANY, Order, Variant, date_of, day_order, detect, minutes_of
from chatstep.modules.whatsapp.rows import are_plain, author_name, is_plain, is_rename, said
from chatstep.reading import Chat, Reading, choose
from chatstep.sketch import head_as_utf8
from chatstep.source import Source
from chatstep.transcript import Transcript, clock_of

__all__ = ["read", "recognise"]

_HEAD_LINES = 50
_TITLE = re.compile(r".*?whatsapp.*?[ -](?:with|mit|con|com|avec|met|с|із|z|ile|dengan|med|-) (.+)", re.IGNORECASE)
_MAYBE_HEAD = re.compile(r"\n[^\w\n]{0,4}\d")
_COLUMNS = 6  # the groups of a header, and the body behind it
_NO_TIME = -100_000  # below zero also with a second added


def recognise(source: Source) -> bool:
    """Whether a text of the source has a head as WhatsApp writes them among its first lines."""
    return any(_beginning(source, name) is not None for name in _candidates(source))


def _candidates(source: Source) -> list[str]:
    if source.kind == "file":
        return source.names()
    return [name for name in source.names() if name.lower().endswith(".txt")]


def _beginning(source: Source, name: str) -> Variant | None:
    text = head_as_utf8(source.head(name)).decode("utf-8", "replace")
    if ANY.search("\n".join(text.split("\n", _HEAD_LINES)[:_HEAD_LINES])) is None:
        return None
    return detect(text.replace("\r\n", "\n"))


def read(source: Source, channel: str | None) -> Transcript:
    """Read the only chat, or the one of that name (the file's own, or what stands in it after "with")."""
    found = [(name, variant) for name in _candidates(source) if (variant := _beginning(source, name)) is not None]
    if not found:
        raise UnreadableFile("This is no chat of WhatsApp.", place=source.place())
    chats = [Chat(name, _title(name, source)) for name, _ in found]
    at = choose(chats, channel, source.place())
    name, variant = found[at]
    reading = _WhatsApp(variant, source.place(name))
    reading.read_text(blocks(source, name, reading.notes))
    reading.settle()
    return reading.finish("whatsapp", source.place(name), chats, chats[at].name)


def _title(name: str, source: Source) -> str:
    stem = name.rpartition("/")[2].rpartition(".")[0]
    if stem.startswith("_chat"):
        stem = source.path.stem
    found = _TITLE.match(stem)
    return found[1] if found else stem


K = TypeVar("K")
V = TypeVar("V")


class _Once(dict[K, V]):
    """What the values of a column mean, each understood when it is first met."""

    def __init__(self, understand: Callable[[K], V]) -> None:
        self._understand = understand

    def __missing__(self, key: K) -> V:
        value = self[key] = self._understand(key)
        return value


def _second_of_clock(clock: str) -> int:
    minutes = minutes_of(clock)
    return _NO_TIME if minutes is None else minutes * 60


def _second(written: str) -> int:
    second = int(written or 0)
    return second if second < 60 else _NO_TIME


class _WhatsApp(Reading):
    """One chat: `read_text` takes its rows, `settle` gives the messages their times."""

    def __init__(self, variant: Variant, place: str) -> None:
        super().__init__()
        self._header, self._ios, self._place = variant.header, variant.frame == "ios", place
        self._by_name: _Once[str | None, Author | None] = _Once(self._author_named)
        self._run_of_days: list[str] = []
        self._days: _Once[str, int] = _Once(lambda _: len(self._days))
        self._minutes = _Once(_second_of_clock)
        self._seconds = _Once(_second)
        # Per message its day and second of the day: messages get their times when the meaning of dates is known.
        self._day_of, self._second_of = array("I"), array("i")
        self._line = 1
        self._other_heads = 0

    def read_text(self, blocks: Iterator[str]) -> None:
        """Take all rows of the text; a row may reach over the borders of blocks."""
        head: list[str] = []
        pieces: list[str] = []
        for block in blocks:
            parts = self._header.split(block)
            pieces.append(parts[0])
            if len(parts) == 1:
                continue
            parts[0] = "".join(pieces)
            if head:
                self._take(head + parts[:-_COLUMNS])
            else:
                self._take_preface(parts[0])
                self._take(parts[1:-_COLUMNS])
            head, pieces = parts[-_COLUMNS:-1], parts[-1:]
        last = "".join(pieces).rstrip("\n")
        if head:
            self._take([*head, last])
        else:
            self._take_preface(last)

    def _take_preface(self, text: str) -> None:
        if text.strip():
            self._leave("text before the first message", 1)
        self._line += text.count("\n")

    def _take(self, rows: list[Any]) -> None:
        """Take whole rows that follow each other, six values each."""
        days, clocks, seconds, afters, names, bodies = (rows[column::_COLUMNS] for column in range(_COLUMNS))
        by_name = self._by_name
        made: list[Message | None] = []
        for name, body in zip(names, bodies, strict=True):
            author = by_name[name]
            if author is not None and "\n" not in body and is_plain(body):
                made.append(Message(author, body))
            else:
                made.append(self._unusual(author, body, len(made)))
        self._line += len(made)
        self.messages.extend(filter(None, made))
        self._day_of.extend(compress(self._numbers_of(days), made))
        self._second_of.extend(compress(self._seconds_of(clocks, seconds, afters), made))

    def _unusual(self, author: Author | None, body: str, at: int) -> Message | None:
        """The message of a row with several lines or something of the app's own; None where it is left out."""
        line = self._line + at
        self._line += body.count("\n")  # of the row itself; those before it are in already
        if author is None:
            self._leave("system", line)
            return None
        if _MAYBE_HEAD.search(body):
            self._other_heads += sum(1 for _ in ANY.finditer(body))
        if are_plain(body):
            return Message(author, body)
        text, attachments, edited, reason = said(body, self._ios)
        if reason is None:
            return Message(author, text, attachments=attachments, edited=edited)
        self._leave(reason, line)
        return None

    def _leave(self, reason: str, line: int) -> None:
        self.leave(reason, f"{self._place} line {line}" if self.is_new(reason) else None)

    def _author_named(self, written: str | None) -> Author | None:
        """The author of a name as it is written; None in rows of the app's own, which may hold a colon, too."""
        if written is None:
            return None
        name = author_name(written)
        return self.author(name, name, None, None, None) if name and not is_rename(written) else None

    def _numbers_of(self, days: list[str]) -> list[int]:
        """The number of the day of each row."""
        run = [day for day, _ in groupby(days)]
        self._run_of_days += run[1:] if run[:1] == self._run_of_days[-1:] else run
        return [self._days[day] for day in days]

    def _seconds_of(self, clocks: list[str], seconds: list[str], afters: list[str]) -> list[int]:
        """The second of the day of each row; below zero where there is no such time."""
        words = list(map(add, clocks, afters)) if any(afters) else clocks
        minutes = [self._minutes[clock] for clock in words]
        if not any(seconds):
            return minutes
        return [minute + self._seconds[second] for minute, second in zip(minutes, seconds, strict=True)]

    def settle(self) -> None:
        """Give the messages their times, now that all dates are known."""
        order, note = day_order(self._run_of_days)
        self.notes.append("Times are the phone's own, without a zone.")
        if note is not None:
            self.notes.append(note)
        if self._other_heads:
            heads = f"{self._other_heads:,}"
            self.notes.append(f"Lines that look like heads of another shape: {heads}; they were taken as text.")
        days = [_Day.of(written, order) for written in self._days]
        exact = any(self._seconds)
        whens = array("d")
        for message, number, second in zip(self.messages, self._day_of, self._second_of, strict=True):
            day = days[number]
            if day is None or second < 0:
                whens.append(nan)
                continue
            whens.append(day.start + second)
            if second != day.second:  # else both share one text
                day.second = second
                day.time = f"{day.iso}T{clock_of(second, exact=exact)}"
            force_setattr(message, "time", day.time)
        self.date_all(whens)


class _Day:
    """What a date means: its ISO 8601 form, its begin in seconds, and the last time that was made of it."""

    __slots__ = ("iso", "second", "start", "time")

    def __init__(self, day: date) -> None:
        self.iso, self.start = day.isoformat(), day.toordinal() * 86_400
        self.second, self.time = _NO_TIME, ""

    @classmethod
    def of(cls, written: str, order: Order) -> _Day | None:
        """The day of a date as it is written; None when there is no such day."""
        day = date_of(written, order)
        return None if day is None else cls(day)
