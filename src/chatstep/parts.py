"""Splitting a text for a platform's length limit, where a reader would: between paragraphs, lines, sentences, words.

A code block that is cut is closed and opened again, so that each part shows as it should. Nothing but the white space
at a border is lost.
"""

from __future__ import annotations

import re
import unicodedata

from chatstep.errors import InvalidInput

__all__ = ["split_text"]

_FENCE = re.compile(r"^ {0,3}(`{3,6}(?!`)|~{3,6}(?!~))([^\n`]*)$", re.MULTILINE)
_SHORTEST = 20
_BORDERS = (
    re.compile(r"()\n\s*\n"),
    re.compile(r"()\n"),
    re.compile(r"(?<=[.!?…。！？])([\"'»”’)\]]*)\s+|(?<=[。！？])([」』”’）]*)"),
    re.compile(r"()\s+"),
)
_LONGEST_CLUSTER = 64
_JOINER = "\u200d"


def split_text(text: str, limit: int) -> tuple[str, ...]:
    """The text in parts of at most ``limit`` characters (at least 20); raises InvalidInput for a smaller limit.

    A blank text has no parts.
    """
    if limit < _SHORTEST:
        raise InvalidInput(f"{limit} characters are too few for a part.", place="part_length", hint="Use 20 or more.")
    parts: list[str] = []
    opening = ""
    end = len(text.rstrip())
    at = end - len(text[:end].lstrip("\n"))
    while len(opening) + end - at > limit:
        cut, resume, fence = _cut(text, at, opening, limit)
        part = text[at:cut].rstrip()
        if part:
            parts.append(opening + part + (f"\n{_marks(fence)}" if fence else ""))
        at, opening = resume, _reopened(fence, limit)
        if fence and (closed := _closing_line(text, at, fence)):
            at, opening = closed, ""
    if at < end:
        parts.append(opening + text[at:end])
    return tuple(parts)


def _cut(text: str, at: int, opening: str, limit: int) -> tuple[int, int, str]:
    """Where the part that begins at ``at`` ends, where the next begins, and the code block that is cut by it."""
    room, reserve = limit - len(opening), 0
    while True:
        cut, resume = _border(text, at, room - reserve)
        fence = _open_fence(opening + text[at:cut])
        closing = len(_marks(fence)) + 1 if fence else 0
        if cut - at + closing <= room:
            return cut, resume, fence
        reserve = closing


def _border(text: str, at: int, room: int) -> tuple[int, int]:
    """Where to end a part within ``room`` characters, and where the next begins."""
    for border in _BORDERS:
        last = None
        for found in border.finditer(text, at, at + room + 1):
            if found.end(found.lastindex or 0) <= at + room:
                last = found
        if last is not None and last.end(last.lastindex or 0) - at >= max(room // 3, 1):
            return last.end(last.lastindex or 0), last.end()
    cut = at + room
    while cut > at + 1 and at + room - cut < _LONGEST_CLUSTER and _joins(text, cut):
        cut -= 1
    return (at + room,) * 2 if _joins(text, cut) else (cut, cut)


def _joins(text: str, at: int) -> bool:
    """Whether a cut here would part what shows as one: a letter and its mark, an emoji, a flag, a run of backticks."""
    before, after = text[at - 1], text[at]
    if after.isascii():
        return before == after == "`"
    if _JOINER in (before, after) or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if _is_flag_letter(after):
        letters = 0
        while letters < at and _is_flag_letter(text[at - 1 - letters]):
            letters += 1
        return letters % 2 == 1
    return "\U000e0020" <= after <= "\U000e007f" or unicodedata.category(after) in ("Mn", "Mc", "Me")


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _open_fence(text: str) -> str:
    """The line that opened the code block which this text leaves open, or nothing."""
    opened = ""
    for found in _FENCE.finditer(text):
        if not opened:
            opened = found[0].strip()
        elif found[1].startswith(_marks(opened)) and not found[2].strip():
            opened = ""
    return opened


def _reopened(fence: str, limit: int) -> str:
    """How the next part opens the code block again: with its language, unless that takes too much of the part."""
    if not fence:
        return ""
    return f"{fence}\n" if len(fence) < limit // 4 else f"{_marks(fence)}\n"


def _closing_line(text: str, at: int, fence: str) -> int:
    """The end of the line that closes the block, where nothing else of the block is left; else 0."""
    line = re.compile(rf"\s*^ {{0,3}}{re.escape(_marks(fence))}{fence[0]}*[ \t]*(?:\n\s*|\Z)", re.MULTILINE)
    found = line.match(text, at)
    return found.end() if found else 0


def _marks(fence: str) -> str:
    return fence[: len(fence) - len(fence.lstrip(fence[:1]))]
