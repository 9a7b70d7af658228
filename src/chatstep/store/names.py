"""Names in the store: which are allowed, and what to say about one that is not there.

For the other files of the store only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from chatstep.errors import InvalidInput, UnknownName
from chatstep.message import clean_text

__all__ = ["check_id", "check_name", "findable", "nothing_called", "storable", "unix_ms"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_LISTED = 20


def unix_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def check_name(name: str, place: str) -> None:
    """Raise InvalidInput unless the name is one to type on a command line."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "This is not a usable name.",
            place=place,
            hint="Use 1 to 64 letters, digits, - and _, beginning with a letter or digit.",
        )


def check_id(text: str, place: str) -> None:
    """Raise InvalidInput unless the id is 1 to 200 printable characters; ids of chat platforms are."""
    if not (0 < len(text) <= 200 and text.isprintable() and text == text.strip()):
        raise InvalidInput("This is not a usable id.", place=place, hint="Use 1 to 200 printable characters.")


def storable(text: str) -> str:
    """The text without what a database cannot hold: lone surrogates and NUL."""
    return clean_text(text).replace("\0", "\ufffd") if not text.isprintable() else text


def findable(name: str) -> str:
    """The name as a query may hold it; a name that no database could hold is nobody's."""
    return name if name.isprintable() else ""


def nothing_called(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name that is not there, with the names that are close to it."""
    from difflib import get_close_matches  # 10 ms to import, and wanted only when something is wrong

    names = sorted(known)
    near = get_close_matches(name[:200], names, n=3)
    listed = ", ".join(names[:_MOST_LISTED]) + (f" and {len(names) - _MOST_LISTED} more" * (len(names) > _MOST_LISTED))
    hint = f"Known: {listed}." if names else f"There is no {kind} yet."
    if near:
        hint = f"Did you mean {' or '.join(near)}? {hint}"
    # Somebody may have put a key where the name belongs; what is no name is not repeated.
    shown = f"is called '{name}'" if len(name) <= 64 and name.isprintable() else "has that name"
    return UnknownName(f"No {kind} {shown}.", near=near, hint=hint)
