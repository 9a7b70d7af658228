"""Tables of author and text: CSV with commas, semicolons or tabs, whose first row names the columns.

Quoted cells may hold line breaks. Cells are kept as they are, also those that a spreadsheet would take for formulas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from mmap import mmap

from msgspec import DecodeError, json

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message, Role
from chatstep.modules.plain.order import oldest_first
from chatstep.reading import Reading, read_utf8, seconds_of
from chatstep.records import blocks_of, data_files
from chatstep.sketch import head_as_utf8
from chatstep.source import Source
from chatstep.transcript import Transcript, utc_time

__all__ = ["read", "recognise"]

_SPELLINGS = {
    "author": ("author", "author_name", "name", "from", "sender", "user", "username", "user_name", "speaker"),
    "text": ("text", "message", "content", "body", "value"),
    "time": ("time", "date", "timestamp", "created_at", "datetime", "sent_at"),
    "id": ("id", "message_id"),
    "author_id": ("author_id", "authorid", "user_id", "sender_id", "from_id"),
    "role": ("role",),
    "bot": ("bot", "is_bot"),
    "reply_to": ("reply_to",),
    "edited": ("edited",),
    "attachments": ("attachments",),
}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_CELL = {
    mark: re.compile(rb'(?:"([^"]*(?:""[^"]*)*)"|((?:[^"%b\r\n][^%b\r\n]*)?))(%b|\r\n|\n|\r|\Z)' % (mark, mark, mark))
    for mark in (b",", b";", b"\t")
}
_SEPARATOR = re.compile(rb"\s*sep=([,;\t])\r?\n", re.IGNORECASE)
_NUMBER = re.compile(r"\d{9,13}(?:\.\d+)?")
_ATTACHMENTS = json.Decoder(tuple[Attachment, ...])
_LARGEST_HEADER = 4096

Columns = dict[str, int]


def recognise(source: Source) -> bool:
    """Whether the file is of this format."""
    files = data_files(source)
    return bool(files) and _header(head_as_utf8(source.head(files[0]))) is not None


def read(source: Source, channel: str | None) -> Transcript:
    """Read that channel, or the only one (see `TranscriptFormat`)."""
    name = next(iter(data_files(source)), None)
    data, notes = read_utf8(source, name)
    place = source.place(name)
    header = _header(data[:_LARGEST_HEADER])
    if header is None:
        raise UnreadableFile(
            "The first row names no columns for author and text.", place=place, hint="Begin the file with: author,text"
        )
    if channel is not None:
        raise UnreadableFile("The file is one conversation; it has no channels.", place=place, hint="Leave it out.")
    mark, columns, width, start = header
    reading = Reading()
    reading.notes += notes
    authors: dict[Author, Author] = {}
    unclear = 0
    blocks = blocks_of(data)
    del data
    for number, row in enumerate(_rows(blocks, start, mark, place), 2):
        where = f"row {number:,}"
        if len(row) > width and any(row[width:]):
            reading.leave("rows with more cells than columns (a text without quotes?)", where)
            continue
        message = _message(row, columns, authors)
        if isinstance(message, str):
            reading.leave(message, where)
            continue
        unclear += message.time is not None and seconds_of(message.time) is None
        reading.messages.append(message)
    if unclear:
        reading.notes.append(f"Times that are not ISO 8601, kept as they are written: {unclear:,}.")
    return oldest_first(reading.finish("csv", place))


def _header(data: bytes) -> tuple[bytes, Columns, int, int] | None:
    """The delimiter, the columns that are known, how many there are, and where the rows begin; None for no table."""
    start = 0
    marks: Sequence[bytes] = tuple(_CELL)
    if found := _SEPARATOR.match(data):
        start, marks = found.end(), (found[1],)
    for mark in marks:
        names: list[str] = []
        at = start
        while cell := _CELL[mark].match(data, at):
            at = cell.end()
            value = (cell[1] or cell[2] or b"").decode("utf-8", "replace")
            names.append(re.sub(r"[\s-]+", "_", value.strip().casefold()))
            if cell[3] != mark:
                break
        else:
            continue
        columns = {
            column: names.index(spelling)
            for column, spellings in _SPELLINGS.items()
            if (spelling := next((spelling for spelling in spellings if spelling in names), None)) is not None
        }
        if "text" in columns and columns.keys() & {"author", "author_id", "role"} and at < len(data):
            return mark, columns, len(names), at
    return None


def _rows(blocks: Iterator[mmap], at: int, mark: bytes, place: str) -> Iterator[list[bytes]]:
    """The rows that are not blank, from a place in the first block on."""
    match = _CELL[mark].match
    line = 1
    for whole in blocks:
        block: mmap | bytes = whole
        joined, begin = 1, at
        row: list[bytes] = []
        while at < len(block) or row:
            cell = match(block, at)
            if cell is None:  # the row may go on in the next block; twice as many each time, if it is a long one
                more = b"".join(islice(blocks, joined))
                if not more:
                    raise _unclosed(line + block[:at].count(b"\n"), place)
                line += block[:begin].count(b"\n")
                block, at, begin, row = block[begin:] + more, 0, 0, []
                joined *= 2
                continue
            quoted = cell[1]
            row.append(quoted.replace(b'""', b'"') if quoted is not None else cell[2])
            at = cell.end()
            if cell[3] != mark:
                if len(row) > 1 or row[0]:
                    yield row
                row, begin = [], at
        line += block[:].count(b"\n")
        at = 0


def _unclosed(line: int, place: str) -> UnreadableFile:
    return UnreadableFile(
        f"A quote that opens on line {line:,} is not closed, or something follows the closing one.",
        place=place,
        hint='Write a quote inside a cell twice (""); if the file was cut off, export it again.',
    )


def _message(row: list[bytes], columns: Columns, authors: dict[Author, Author]) -> Message | str:
    """The message of a row, or why it is none."""
    cells = {column: row[at].decode() for column, at in columns.items() if at < len(row) and row[at]}
    text = cells.get("text", "")
    if not text or text.isspace():
        return "attachment without text" if "attachments" in cells else "empty"
    role = None
    if "role" in cells:
        role = _ROLES.get(cells["role"].strip().casefold())
        if role is None:
            return "unknown roles"
    name = cells.get("author") or cells.get("author_id") or role
    if name is None:
        return "rows without author"
    bot = cells.get("bot", "").casefold()
    author = Author(name, id=cells.get("author_id"), bot=True if bot in _YES else False if bot in _NO else None)
    return Message(
        authors.setdefault(author, author),
        text,
        id=cells.get("id"),
        time=_time(cells.get("time")),
        attachments=_attachments(cells["attachments"]) if "attachments" in cells else (),
        role=role,
        reply_to=cells.get("reply_to"),
        edited=cells.get("edited", "").casefold() in _YES,
    )


def _time(cell: str | None) -> str | None:
    """The time as it is written; seconds and milliseconds since 1970 become ISO 8601."""
    if cell is None or not _NUMBER.fullmatch(cell):
        return cell
    seconds = float(cell)
    return utc_time(seconds / 1000 if seconds >= 1e11 else seconds)


def _attachments(cell: str) -> tuple[Attachment, ...]:
    try:
        return _ATTACHMENTS.decode(cell)
    except (DecodeError, RecursionError):
        return (Attachment("file", url=cell),)
