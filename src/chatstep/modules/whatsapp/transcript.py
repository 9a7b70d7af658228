"""Reads the text that WhatsApp's "Export chat" writes: alone, in a folder, or in the zip that iOS hands out.

The text is read in blocks, so that a chat of any length needs little more than its own messages. Rows are kept with
their dates as written until the whole file has told whether days or months come first.
"""

from __future__ import annotations

import re
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator

from msgspec.structs import force_setattr

from chatstep.errors import UnreadableFile
from chatstep.message import Author, Message
from chatstep.modules.whatsapp.headers import ANY, Order, Variant, date_of, day_order, detect, minutes_of
from chatstep.modules.whatsapp.rows import author_name, is_plain, is_rename, said
from chatstep.reading import WIDE_MARKS, Chat, Reading, as_utf8, choose, not_utf8
from chatstep.sketch import head_as_utf8
from chatstep.transcript import Source, Transcript

__all__ = ["read", "recognise"]

_BLOCK = 1 << 16
_HEAD_LINES = 50
_TITLE = re.compile(r".*?whatsapp.*?[ -](?:with|mit|con|com|avec|met|с|із|z|ile|dengan|med|-) (.+)", re.IGNORECASE)

_NO_TIME = -1

Head = tuple[str, str, str, str, str, str | None]
"""What stands in a head, see `Variant`; the author is None in rows of WhatsApp's own."""


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
    reading.read_text(_blocks(source, name, reading.notes))
    reading.settle()
    return reading.finish("whatsapp", source.place(name), chats, chats[at].name)


def _title(name: str, source: Source) -> str:
    stem = name.rpartition("/")[2].rpartition(".")[0]
    if stem.startswith("_chat"):
        stem = source.path.stem
    found = _TITLE.match(stem)
    return found[1] if found else stem


class _Day:
    """A date as it was written, which all rows of that day share; what it means is known at the end."""

    __slots__ = ("iso", "last", "seconds", "written")

    def __init__(self, written: str) -> None:
        self.written = written
        self.iso: str | None = None
        self.seconds = 0
        self.last: tuple[int, str | None, float | None] = (_NO_TIME, None, None)

    def settle(self, order: Order) -> None:
        """Learn what the date means."""
        day = date_of(self.written, order)
        if day is not None:
            self.iso, self.seconds = day.isoformat(), day.toordinal() * 86_400

    def at(self, second: int, exact: bool) -> tuple[int, str | None, float | None]:
        """A second of this day, its ISO 8601 time, to the minute unless exact, and its seconds for sorting."""
        if second != self.last[0] and self.iso is not None:
            clock = f"T{second // 3600:02}:{second // 60 % 60:02}" + (f":{second % 60:02}" if exact else "")
            self.last = (second, self.iso + clock, self.seconds + second)
        return self.last if second != _NO_TIME else (_NO_TIME, None, None)


class _WhatsApp(Reading):
    """One chat: `read_text` takes its rows, `settle` turns them into messages."""

    def __init__(self, variant: Variant, place: str) -> None:
        super().__init__()
        self._header, self._ios, self._place = variant.header, variant.frame == "ios", place
        self._by_name: dict[str | None, Author | None] = {None: None}
        self._days: list[_Day] = []
        self._day_numbers: dict[str, int] = {}
        self._run_of_days: list[str] = [""]
        self._minutes: dict[str, int | None] = {}
        self._exact = False
        # Per message its day and second of the day: messages get their times when the meaning of dates is known.
        self._day_of, self._second_of = array("I"), array("i")
        self._line = 1
        self._other_heads = 0

    def read_text(self, blocks: Iterator[str]) -> None:
        """Take all rows of the text; a row may reach over the borders of blocks."""
        head: Head | None = None
        pieces: list[str] = []
        head_line = 1
        for block in blocks:
            at = start = 0
            for found in self._header.finditer(block):
                end = found.start()
                if at:
                    self._take(head, block[at:end], (block, start))
                else:
                    pieces.append(block[:end])
                    self._take(head, "".join(pieces), head_line)
                    pieces.clear()
                head, start, at = found.groups(), end, found.end()  # type: ignore[assignment]
            if at:
                head_line = self._line_of((block, start))
            pieces.append(block[at:])
            self._line += block.count("\n")
        self._take(head, "".join(pieces).rstrip("\n"), head_line)

    def _take(self, head: Head | None, body: str, where: int | tuple[str, int]) -> None:
        if head is None:
            if body.strip():
                self._leave("text before the first message", where)
            return
        written_day, before, clock, second, after, name = head
        if written_day != self._run_of_days[-1]:
            self._run_of_days.append(written_day)
            if written_day not in self._day_numbers:
                self._day_numbers[written_day] = len(self._days)
                self._days.append(_Day(written_day))
        try:
            author = self._by_name[name]
        except KeyError:
            author = self._author_named(name or "")
        if author is None:
            self._leave("system", where)
            return
        if is_plain(body):
            message = Message(author, body)
        else:
            if "\n" in body:
                self._other_heads += sum(1 for _ in ANY.finditer(body))
            text, attachments, edited, reason = said(body, self._ios)
            if reason is not None:
                self._leave(reason, where)
                return
            message = Message(author, text, attachments=attachments, edited=edited)
        self.messages.append(message)
        self._day_of.append(self._day_numbers[written_day])
        self._second_of.append(self._second(before, clock, second, after))

    def _second(self, before: str, clock: str, second: str, after: str) -> int:
        """The second of the day that a head names, or _NO_TIME."""
        words = f"{before}{clock}{after}" if before or after else clock
        try:
            minutes = self._minutes[words]
        except KeyError:
            minutes = self._minutes[words] = minutes_of(before, clock, after)
        if not second:
            return _NO_TIME if minutes is None else minutes * 60
        self._exact = True
        return _NO_TIME if minutes is None or int(second) > 59 else minutes * 60 + int(second)

    def _author_named(self, written: str) -> Author | None:
        name = author_name(written)
        author = None if not name or is_rename(written) else self.author(name, name, None, None, None)
        self._by_name[written] = author
        return author

    def _leave(self, reason: str, where: int | tuple[str, int]) -> None:
        self.leave(reason, f"{self._place} line {self._line_of(where)}" if self.is_new(reason) else None)

    def _line_of(self, where: int | tuple[str, int]) -> int:
        return where if isinstance(where, int) else self._line + where[0].count("\n", 0, where[1])

    def settle(self) -> None:
        """Turn the rows into messages, now that all dates are known."""
        order, note = day_order(self._run_of_days[1:])
        for day in self._days:
            day.settle(order)
        self.notes.append("Times are the phone's own, without a zone.")
        if note is not None:
            self.notes.append(note)
        if self._other_heads:
            heads = f"{self._other_heads:,}"
            self.notes.append(f"Lines that look like heads of another shape: {heads}; they were taken as text.")
        days, exact = self._days, self._exact
        for message, number, second in zip(self.messages, self._day_of, self._second_of, strict=True):
            _, time, when = days[number].at(second, exact)
            force_setattr(message, "time", time)
            self.date(when)


def _blocks(source: Source, name: str, notes: list[str]) -> Iterator[str]:
    """The text in blocks of whole lines, each with a line feed before it and none behind it.

    A character that is cut at the very end is dropped.
    """
    place, at = source.place(name), 0
    parts: list[bytes] = []
    for block in _as_utf8(source, name, notes):
        cut = block.rfind(b"\n")
        if cut < 0:
            parts.append(block)
            continue
        lines = b"".join((*parts, block[:cut]))
        yield _text(lines, at, place)
        at += len(lines) + 1
        parts = [block[cut + 1 :]]
    last = b"".join(parts)
    try:
        last.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            notes.append("The file ends in the middle of a character.")
            last = last[: error.start]
    yield _text(last, at, place)


def _as_utf8(source: Source, name: str, notes: list[str]) -> Iterator[bytes]:
    blocks = source.blocks(name, _BLOCK)
    first = next(blocks, b"")
    if first.startswith(WIDE_MARKS):
        first, more = as_utf8(first + b"".join(blocks), source.place(name))
        notes += more
    yield first.removeprefix(BOM_UTF8)
    yield from blocks


def _text(data: bytes, at: int, place: str) -> str:
    # Changed before it is decoded, since one emoji makes each character of a text take four bytes.
    plain = b"\n" + (data.replace(b"\r\n", b"\n").removesuffix(b"\r") if b"\r" in data else data)
    try:
        return plain.decode()
    except UnicodeDecodeError as error:
        wrong = error
    try:
        data.decode()
    except UnicodeDecodeError as error:
        wrong = error  # with its place in the file, where line ends may be longer
    raise not_utf8(wrong, at, place) from None
