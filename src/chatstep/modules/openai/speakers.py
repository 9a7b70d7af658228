"""Telling people apart: how a user's name travels to the model.

A name goes beside the message where the server takes one, else in front of its text. Names are made safe for the
server, kept distinct, and depend on the author alone, so that the same person has the same name at every turn.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from chatstep.message import Author
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.tokens import PER_NAME

__all__ = [
    "NAME_LENGTH",
    "LabelCosts",
    "LabelMode",
    "Speakers",
    "author_key",
    "label_mode",
    "label_tokens",
    "labels_for",
]

Speakers = Literal["auto", "off", "name", "prefix"]
LabelMode = Literal["name", "prefix"]

NAME_LENGTH = 64  # the longest `name` that servers take (wire.md section 2)
LABEL_SLACK = 2  # tokens by which a prefix and its text may differ from the sum of both, counted apart

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]+")
_LIKE_MARKED = re.compile(r"_[0-9a-f]{6}$| \([0-9a-f]{6}\)$")


def author_key(author: Author) -> str:
    """What tells one author from another: the id where there is one, else the name."""
    return author.id or author.name


def label_mode(speakers: Speakers, dialect: Dialect) -> LabelMode | None:
    """How people are told apart on this server, if they are."""
    if speakers == "off":
        return None
    taken = not dialect.refuses("name") and not dialect.alternate  # merged neighbours cannot have a name each
    wanted = speakers == "name" or (speakers == "auto" and dialect.names)
    return "name" if wanted and taken else "prefix"


def labels_for(authors: Iterable[Author], mode: LabelMode) -> dict[str, str]:
    """The labels of the people in one prompt, by `author_key`.

    Two people of one label get a mark each; but somebody whose very name it is, alone among them, keeps it.
    """
    by_key = {author_key(author): author for author in authors}
    plain = {key: _plain(author, mode) for key, author in by_key.items()}
    owners = Counter(plain.values())
    named_so = Counter(label for key, label in plain.items() if by_key[key].name == label)

    def own(key: str, label: str) -> bool:
        if _LIKE_MARKED.search(label):
            return False
        return owners[label] == 1 or (named_so[label] == 1 and by_key[key].name == label)

    return {key: label if own(key, label) else _marked(by_key[key], mode) for key, label in plain.items()}


def label_tokens(label: str, mode: LabelMode, counter: dict[str, int]) -> int:
    """What a label costs: exactly, or at most where it stands in front of the text."""
    return counter[label] + PER_NAME if mode == "name" else counter[f"{label}: "] + LABEL_SLACK


class LabelCosts:
    """What telling people apart costs at most while a history is walked.

    Under ``auto`` nobody is labelled until a second person speaks; what the labels of the first would have cost is then
    due at once.
    """

    def __init__(self, mode: LabelMode | None, counter: dict[str, int], *, auto: bool) -> None:
        self._mode = mode
        self._counter = counter
        self._waiting = auto and mode is not None
        self._due = 0
        self._by_key: dict[str, int] = {}

    def may_cost(self, speakers: Iterable[str | None]) -> bool:
        """Whether messages of these people, by `author_key`, may cost anything for labels."""
        if self._mode is None:
            return False
        return not self._waiting or len({*speakers, *self._by_key} - {None}) > 1

    def of(self, author: Author) -> int:
        """The tokens that one more message of this author costs for labels."""
        key = author.id or author.name
        cost = self._by_key.get(key)
        if cost is None:
            cost = self._by_key[key] = self._longest(author)
        if not self._waiting:
            return cost
        self._due += cost
        if len(self._by_key) < 2:
            return 0
        self._waiting = False
        return self._due

    def _longest(self, author: Author) -> int:
        """The cost of the marked label, which is longer than the plain one; both are counted to be sure."""
        if self._mode is None:
            return 0
        labels = _plain(author, self._mode), _marked(author, self._mode)
        return max(label_tokens(label, self._mode, self._counter) for label in labels)


def _mark(author: Author) -> str:
    return hashlib.blake2s(author_key(author).encode(errors="replace"), digest_size=3).hexdigest()


def _plain(author: Author, mode: LabelMode) -> str:
    """The author's name as it may be sent; without a single usable letter, ``user`` stands for it."""
    if mode == "prefix":
        name = "".join(char for char in " ".join(author.name.replace(":", " ").split()) if char.isprintable())
        return name[:NAME_LENGTH].strip() or "user"
    return _ascii(author)[:NAME_LENGTH] or _marked(author, mode)


def _marked(author: Author, mode: LabelMode) -> str:
    """The name with a mark of its author, within the length."""
    if mode == "prefix":
        return f"{_plain(author, mode)[: NAME_LENGTH - 9]} ({_mark(author)})"
    return f"{_ascii(author)[: NAME_LENGTH - 7] or 'user'}_{_mark(author)}"


def _ascii(author: Author) -> str:
    """What servers take of a name; others may have the same rest left, and get marks then."""
    if not _UNSAFE.search(author.name):
        return author.name
    plain = unicodedata.normalize("NFKD", author.name).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("_", plain).strip("_")
