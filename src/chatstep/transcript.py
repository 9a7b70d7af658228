"""What a transcript is: a chat's messages as a file from some platform gave them, and what was left out of it.

Each module that knows an export declares a TranscriptFormat; `chatstep.transcripts` finds the one that a file wants.
"""

from __future__ import annotations

import gc
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib import import_module

from msgspec import Struct

from chatstep.message import Message
from chatstep.source import Source

__all__ = ["LeftOut", "Transcript", "TranscriptFormat", "clock_of", "utc_second", "utc_time"]

_MINUTES = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440)]
_SECONDS = [f":{second:02}" for second in range(60)]
_EPOCH = date(1970, 1, 1).toordinal()


class LeftOut(Struct, frozen=True):
    """Rows of the file that are no messages for a model, and why; ``example`` says where one of them is."""

    reason: str
    count: int
    example: str | None = None


def utc_time(seconds: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC; None for what is no time of this calendar."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4)  # messages follow each other
def _utc_day(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()


def utc_second(second: int) -> str | None:
    """The same as `utc_time` for whole seconds, in a third of the time; None for what is no time of this calendar."""
    day, rest = divmod(second, 86_400)
    try:
        return f"{_utc_day(day)}T{clock_of(rest)}+00:00"
    except (ValueError, OverflowError):
        return None


def clock_of(second: int, *, exact: bool = True) -> str:
    """A second of the day, 0 to 86,399, as ``HH:MM:SS``, or as ``HH:MM``."""
    minute = _MINUTES[second // 60]
    return minute + _SECONDS[second % 60] if exact else minute


class Transcript(Struct):
    """The messages of one chat, oldest first, and the report of how they were read.

    ``channel`` is the chat's name where the file has one; ``channels`` lists all that the file holds. ``notes`` tell
    what a reader had to assume, such as the order of day and month, or that times have no zone. ``assistant`` is set
    where the format itself says who the assistant is.
    """

    format: str
    messages: list[Message]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    channel: str | None = None
    channels: tuple[str, ...] = ()
    assistant: tuple[str, ...] = ()


class TranscriptFormat(Struct, frozen=True):
    """One format; ``reader`` is the module that reads it, which is imported when it is first asked.

    Its ``recognise(source) -> bool`` looks at a Source's names and first bytes. Its ``read(source, channel)`` gives the
    Transcript of that channel (by name or id), or of the only one; it raises UnknownName listing them when there are
    several, UnreadableFile with the place when the file is damaged or of another kind.
    """

    name: str
    title: str
    reader: str

    def recognise(self, source: Source) -> bool:
        """Whether the file is of this format."""
        found: bool = import_module(self.reader).recognise(source)
        return found

    def read(self, source: Source, channel: str | None = None) -> Transcript:
        """Read it. Meanwhile no garbage is looked for: there is none, and looking took a third of the time."""
        reader, collecting = import_module(self.reader), gc.isenabled()
        gc.disable()
        try:
            transcript: Transcript = reader.read(source, channel)
        finally:
            if collecting:
                gc.enable()
        return transcript
