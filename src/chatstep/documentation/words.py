"""The words of a text that tell what it is about: identifiers cut into parts, endings and common words left out."""

from __future__ import annotations

import re

__all__ = ["stem", "tokens", "words"]

_TOKEN = re.compile(r"[^\W_]+(?:[.,]\d+)*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+(?:[.,]\d+)*")
_ENDINGS = (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", ""), ("ion", ""))
_COMMON = """
a about after again all also am an and any are as at be because been before being both but by can cannot could did do
does doing done for from had has have having he her here his how i if in into is it its just like may me might my no not
of on once one only or other our out over please shall she should so some such than that the their them then there these
they this those through to too under up us use used using very want was way we were what when where whether which while
who whom whose why will with would you your chatstep
"""
_SAME = """
delete erase: remove
price expensive cheap: cost
budget: limit
credential: key
invoke: call
execute: run
postgresql: postgres
setup: install
recover: survive
regular morning: schedule
slot: part
verify validate: check
simulate mock fake: rehearse
sdk library: client
create write: make
max: most
min: least
configure configuration option: setting
fail exception: error
truncate short: cut
dollar bill: money
endpoint url: address
"""


def words(text: str) -> list[str]:
    """The words that tell something, in order: ``max_tokens`` is `most` and `token`.

    A name such as ``MySQL`` is its parts and itself.
    """
    found: list[str] = []
    for token in tokens(text):
        parts = [part.lower() for part in (_PART.findall(token) if token.isascii() else [token])]
        whole = [token.lower()] if len(parts) > 1 else []
        found.extend(stem(word) for word in parts + whole if _tells(word))
    return found


def tokens(text: str) -> list[str]:
    """What white space, punctuation and underscores part from each other."""
    return _TOKEN.findall(text)


def stem(word: str) -> str:
    """A word in small letters without its ending, or the word that stands here for all that mean the same."""
    cut = _without_ending(word)
    return _INSTEAD.get(cut, cut)


def _tells(word: str) -> bool:
    return word not in _LEFT_OUT and (len(word) > 1 or not word.isascii())


def _without_ending(word: str) -> str:
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word.removesuffix(ending) + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]  # stopped, running
    return word


def _instead() -> dict[str, str]:
    lines = (line.partition(":") for line in _SAME.strip().splitlines())
    return {_without_ending(word): _without_ending(one.strip()) for many, _, one in lines for word in many.split()}


_LEFT_OUT = frozenset(_COMMON.split())
_INSTEAD = _instead()
