"""True token counts of a request, and which part of its prompt the provider would have had in its cache.

For answers.py and server.py. The cache works as the real one does: exact prefixes of at least 1,024 tokens, counted in
steps of 128, per model; here it forgets all but the last prompts and never by time.
"""

from __future__ import annotations

import bisect
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chatstep.modules.openai.models import Encoding, facts
from chatstep.modules.openai.tokens import REPLY, Counter, count, counter_for, message_tokens
from chatstep.rehearsal.validation_messages import text_of

__all__ = ["Prompt", "PromptCache", "count_prompt", "cut_to"]

_WORD = re.compile(r"\s*\S{1,32}|\s+")
_SMALLEST = 1024
_STEP = 128
_REMEMBERED = 32

_Part = tuple[str, str, str]


class Prompt(Struct, frozen=True):
    """A counted prompt: its parts (role, name, text), the tokens of each, and the sum with the reply's start."""

    model: str
    parts: tuple[_Part, ...]
    tokens: tuple[int, ...]
    counter: Counter

    @property
    def total(self) -> int:
        """All tokens of the prompt."""
        return sum(self.tokens) + REPLY


def count_prompt(body: Mapping[str, Any]) -> Prompt:
    """Count the messages of a request in the encoding of its model. Pictures, files and tools count nothing."""
    counter = counter_for(facts(body["model"]).encoding)
    parts = tuple((message["role"], message.get("name") or "", text_of(message)) for message in body["messages"])
    tokens = tuple(message_tokens(counter, text, name or None) for _, name, text in parts)
    return Prompt(body["model"], parts, tokens, counter)


class PromptCache:
    """The prompts seen lately, to tell how many tokens of the next one are cached."""

    def __init__(self) -> None:
        self._seen: deque[Prompt] = deque(maxlen=_REMEMBERED)

    def clear(self) -> None:
        """Forget all prompts."""
        self._seen.clear()

    def cached(self, prompt: Prompt) -> int:
        """The tokens of this prompt that were seen before; the prompt is remembered from now on."""
        if prompt.total < _SMALLEST:
            return 0
        shared = max((_shared(prompt, old) for old in self._seen if old.model == prompt.model), default=0)
        self._seen.append(prompt)
        return shared // _STEP * _STEP if shared >= _SMALLEST else 0


def _shared(new: Prompt, old: Prompt) -> int:
    tokens = 0
    for part, size, other in zip(new.parts, new.tokens, old.parts, strict=False):
        if part != other:
            if part[:2] == other[:2]:
                tokens += count(_beginning(part[2], other[2]), new.counter.encoding)
            break
        tokens += size
    return tokens


def _beginning(one: str, other: str) -> str:
    """What both begin with."""
    shorter = min(len(one), len(other))
    return one[: next((at for at in range(shorter) if one[at] != other[at]), shorter)]


def cut_to(text: str, tokens: int, encoding: Encoding) -> str:
    """The longest beginning of the text that has at most so many tokens."""
    if tokens <= 0:
        return ""
    if count(text, encoding) <= tokens:
        return text
    # A longer beginning can have fewer tokens ("Wha" has more than "What"), so whole words are looked at first.
    ends = [match.end() for match in _WORD.finditer(text)]
    fitting = bisect.bisect_right(ends, tokens, key=lambda end: count(text[:end], encoding))
    start = ends[fitting - 1] if fitting else 0
    longer = range(ends[fitting] - 1, start, -1)
    return text[: next((end for end in longer if count(text[:end], encoding) <= tokens), start)]
