"""Counts tokens offline: an adapter around splintr, a cache for histories, and the overhead of a message.

Text is ordinary text: `<|endoftext|>` is counted as what people typed. Lone surrogates are replaced first, as they are
before sending. Without splintr (no wheel for the platform) every count is an estimate, and says so. For prompts, the
step's preview and the rehearsal provider; nobody else needs to know which tokenizer is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from chatstep.message import clean_text
from chatstep.modules.openai.models import Encoding
from chatstep.modules.openai.recent import Recent

__all__ = [
    "LONG_TEXT",
    "PER_MESSAGE",
    "PER_NAME",
    "REPLY",
    "ByteCounter",
    "Counter",
    "count",
    "counter_for",
    "is_loaded",
    "message_tokens",
]

PER_MESSAGE = 4
"""What every message costs beside its text: three for its frame, one for the role's word."""
PER_NAME = 1
"""What a `name` costs beside its own text."""
REPLY = 3
"""What opens the reply, once per prompt."""

LONG_TEXT = 200_000
"""Characters from which a text is counted in pieces; a caller in an event loop counts such a text in a thread."""

_PIECE = 100_000
_REACH = 2_000
# Where a word ends and white space begins both encodings begin a new token, so that cutting there changes no count.
_WORD_END = re.compile(r"(?<=[^\W_])(?=\s)")

_KEPT_WHOLE = 20_000
_ENTRY = 150
_ROOM = 16_000_000
_LONG_ENTRIES = 2_000
_TAILS = 500_000  # tokens of the histories whose tails are remembered: those of 60 chats with a window of 8,000


_asked: set[Encoding] = set()


@cache
def _encoder(encoding: Encoding) -> Callable[[str], list[int]] | None:
    _asked.add(encoding)
    try:
        from splintr import Tokenizer
    except ImportError:
        return None
    return Tokenizer.from_pretrained(encoding).encode_ordinary


def count(text: str, encoding: Encoding = "o200k_base") -> int:
    """The number of tokens of ``text``, without any message around it.

    A text above `LONG_TEXT` characters is cut into pieces, since one endless word costs the tokenizer more than
    linear time. Cuts fall where a word ends; only inside a run of 2,000 characters without such a place do they fall
    anywhere, and then the count may be off by a token or two per 100,000 characters, as a rule upwards. Without a
    tokenizer the count is a third of the text's UTF-8 bytes.
    """
    encode = _encoder(encoding)
    if encode is None:
        return -(-len(clean_text(text).encode()) // 3)
    try:
        if len(text) <= LONG_TEXT:
            return len(encode(text))
        return sum(len(encode(piece)) for piece in _pieces(text))
    except UnicodeEncodeError:
        return count(clean_text(text), encoding)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > LONG_TEXT:
        near = start + _PIECE
        found = _WORD_END.search(text, near, near + _REACH)
        end = found.start() if found else near
        yield text[start:end]
        start = end
    yield text[start:]


class Counter(dict[str, int]):
    """Remembers counts: ``counter[text]`` costs one look into a dictionary when the text was counted before.

    Memory is bounded by ``room`` (bytes, roughly) in two generations: when the young one is full it becomes the old
    one, and what is still in use moves over as it is met. Texts above 20,000 characters are remembered by hash and
    length, not kept.
    """

    def __init__(self, encoding: Encoding, room: int = _ROOM) -> None:
        super().__init__()
        self.encoding: Encoding = encoding
        self._room = room
        self._held = 0
        self._old: dict[str, int] = {}
        self._long: dict[tuple[int, int], int] = {}
        self.tails: Recent[Any] = Recent(_TAILS)  # what `tail` read with these counts

    @property
    def exact(self) -> bool:
        """Whether counts are the encoding's own; False: splintr is missing and they are estimates."""
        return _encoder(self.encoding) is not None

    def __call__(self, text: str) -> int:
        """The count of ``text``; the same as ``counter[text]``."""
        return self[text]

    def __missing__(self, text: str) -> int:
        """Count, and remember."""
        if len(text) > _KEPT_WHOLE:
            return self._count_long(text)
        tokens = self._old.get(text)
        if tokens is None:
            tokens = count(text, self.encoding)
        self._held += len(text) + _ENTRY
        if self._held > self._room:
            self._old = dict(self)
            self.clear()
            self._held = len(text) + _ENTRY
        self[text] = tokens
        return tokens

    def _count_long(self, text: str) -> int:
        key = (hash(text), len(text))
        tokens = self._long.get(key)
        if tokens is None:
            tokens = count(text, self.encoding)
            if len(self._long) >= _LONG_ENTRIES:
                self._long.clear()
            self._long[key] = tokens
        return tokens


class ByteCounter(dict[str, int]):
    """Counts a text's UTF-8 bytes, which its tokens never outnumber: what fits by bytes fits, at once.

    Loading the tokenizer costs 0.2 s, which a short prompt need not wait for.
    """

    exact = False

    def __init__(self) -> None:
        super().__init__()
        self.tails: Recent[Any] = Recent(0)

    def __missing__(self, text: str) -> int:
        """The size, not kept."""
        return len(text) if text.isascii() else len(clean_text(text).encode())


def is_loaded(encoding: Encoding) -> bool:
    """Whether the tokenizer of this encoding has been asked for already, so that counting is fast."""
    return encoding in _asked


@cache
def counter_for(encoding: Encoding) -> Counter:
    """The counter that the whole process shares for this encoding."""
    return Counter(encoding)


def message_tokens(counter: Counter, text: str, name: str | None = None) -> int:
    """What one message of a prompt costs: its frame, role and text, and its `name` where one is sent."""
    tokens = PER_MESSAGE + counter[text]
    return tokens if name is None else tokens + PER_NAME + counter[name]
