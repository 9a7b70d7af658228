"""The head of a WhatsApp row, `[DATE, TIME] ` on iOS and `DATE, TIME - ` on Android, in every locale's own way.

A phone writes all heads of a file alike; `detect` finds out how from the file's beginning and compiles one expression
for just that. Whether the day or the month stands first is written nowhere: `day_order` judges it from all dates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from chatstep.modules.whatsapp.words import AFTER_NOON, BEFORE_NOON, MARKS

__all__ = ["ANY", "Order", "Variant", "date_of", "day_order", "detect", "minutes_of"]

Order = Literal["dmy", "mdy", "ymd"]

_S = "[ \\t\u00a0\u2009\u202f]"
_DIR = "[\u200e\u200f\u202a-\u202e]*+"
_WORD = "[^\\W\\d_][^\\d\\[\\]:\\n]{0,14}?"
_AUTHOR = r"(?:([^:\n]++(?::(?! |\n|\Z)[^:\n]*+)*+):(?: |(?=\n)|\Z))?"


def _head(separator: str, seconds: str, before: str, after: str) -> str:
    """A date, and a time with the words beside it, such as `klo`, `p. m.` or `午後`; four groups."""
    joint = f"{_DIR}{separator}{_S}?{_DIR}"
    day = rf"{_DIR}(\d{{1,4}}{joint}\d{{1,2}}{joint}\d{{1,4}})\.?{_DIR}"
    clock = rf"({before}{_DIR}\d{{1,2}}[:.]\d{{2}}){seconds}{_DIR}({after})"
    return rf"{day}[,،、]?{_S}*+{clock}{_S}?"


_CLOCK = re.compile(r"(\D*)(\d{1,2})[:.](\d{2})(.*)", re.DOTALL)
_SECONDS, _NO_SECONDS = r"[:.](\d{2})", "()"
_BEFORE, _AFTER = f"{_WORD}{_S}?", f"{_S}?{_WORD}"
_LOOSE_HEAD = _head("[./-]", f"(?:{_SECONDS})?", f"(?:{_BEFORE})?", f"(?:{_AFTER})?")
_FRAMES = {"ios": rf"{_DIR}\[%s\]{_S}?", "android": rf"{_DIR}%s(?<={_S})[-–]{_S}"}
_LOOSE = {frame: re.compile("^" + framed % _LOOSE_HEAD, re.MULTILINE) for frame, framed in _FRAMES.items()}
ANY = re.compile(f"^(?:{'|'.join(framed % _LOOSE_HEAD for framed in _FRAMES.values())})", re.MULTILINE)
"""A head of any shape, to notice those that the file's own expression does not take."""


class Variant(Struct, frozen=True):
    """How the heads of one file look.

    ``header`` begins with the line feed before a head, which is found sooner than the begin of a line. Its groups:
    date, hour and minute with the words before them, second, words after, author (None when there is none).
    """

    frame: str
    header: re.Pattern[str]


def detect(beginning: str) -> Variant | None:
    """The most frequent shape among the heads at the beginning of a file, the first of equals; None without any."""
    shapes: Counter[tuple[str, str, bool, bool, bool]] = Counter()
    for frame, loose in _LOOSE.items():
        for found in loose.finditer(beginning):
            day, clock, second, after = found.groups()
            separator = next(sign for sign in day if sign in "./-")
            shapes[frame, separator, second is not None, _words_before(clock) != "", after != ""] += 1
    if not shapes:
        return None
    (frame, sign, seconds, words_before, words_after), _ = shapes.most_common(1)[0]
    head = _head(
        re.escape(sign),
        _SECONDS if seconds else _NO_SECONDS,
        _BEFORE if words_before else "",
        _AFTER if words_after else "",
    )
    return Variant(frame, re.compile("\n" + _FRAMES[frame] % head + _AUTHOR))


_NOT_LETTERS = re.compile(r"[\W\d_]+")


def _letters(text: str) -> str:
    return _NOT_LETTERS.sub("", text).casefold()


_BEFORE_NOON, _AFTER_NOON = frozenset(map(_letters, BEFORE_NOON)), frozenset(map(_letters, AFTER_NOON))


def _words_before(clock: str) -> str:
    found = _CLOCK.match(clock)
    return found[1].translate(MARKS) if found else ""


def minutes_of(clock: str) -> int | None:
    """The minutes since midnight of a head's hour and minute with the words around; None when it is no time."""
    found = _CLOCK.match(clock)
    if found is None:
        return None
    hour, minute, words = int(found[2]), int(found[3]), {_letters(found[1]), _letters(found[4])}
    if not words.isdisjoint(_AFTER_NOON) and hour < 12 and not ("中午" in words and hour == 11):
        hour += 12
    elif not words.isdisjoint(_BEFORE_NOON) and hour == 12:
        hour = 0
    return hour * 60 + minute if hour < 24 and minute < 60 else None


def date_of(text: str, order: Order) -> date | None:
    """A head's date, its parts in that order; None when there is no such day."""
    parts = _parts(text)
    return None if parts is None else _day(parts, order)


def _parts(text: str) -> tuple[int, int, int] | None:
    found = re.findall(r"\d+", text.translate(MARKS))
    return (int(found[0]), int(found[1]), int(found[2])) if len(found) == 3 else None


def _day(parts: tuple[int, int, int], order: Order) -> date | None:
    first, second, last = parts
    year, month, day = parts if order == "ymd" else (last, second, first) if order == "dmy" else (last, first, second)
    year += 2000 if year < 100 else -543 if year > 2400 else 0  # Thai phones count from the Buddha's year
    try:
        return date(year, month, day)
    except ValueError:
        return None


def day_order(dates: Sequence[str]) -> tuple[Order, str | None]:
    """The order of day, month and year in a file's dates, given as they follow each other; and a note when in doubt.

    An impossible date decides, then the order in which time runs back least often; else the day is taken to be first.
    """
    parts = [part for part in map(_parts, dates) if part is not None]
    if any(part[0] > 99 for part in parts):
        return "ymd", None
    candidates: tuple[Order, ...] = ("dmy", "mdy", "ymd")
    scores = {order: _score(parts, order) for order in candidates}
    best: Order = "mdy" if scores["mdy"][:2] < scores["dmy"][:2] else "dmy"
    # WhatsApp began in 2009, so that a year of two figures is none of the others.
    if scores["ymd"] < scores[best] and all(9 <= part[0] <= 40 for part in parts):
        return "ymd", None
    if scores["dmy"][:2] == scores["mdy"][:2] and any(part[0] != part[1] for part in parts):
        return "dmy", "The dates do not tell whether day or month comes first; the day was taken to be first."
    return best, None


def _score(parts: Sequence[tuple[int, int, int]], order: Order) -> tuple[int, int, int]:
    """How badly an order fits: impossible dates, steps back in time, years met."""
    days = [_day(part, order) for part in parts]
    real = [day for day in days if day is not None]
    return (
        len(days) - len(real),
        sum(later < earlier for earlier, later in pairwise(real)),
        len({day.year for day in real}),
    )
