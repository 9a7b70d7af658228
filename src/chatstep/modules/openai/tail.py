"""The end of a history, read from its newest message backwards as far as a budget may reach.

What was read is remembered beside the counts, so that the next turn of a chat reads the messages that are new. All that
is remembered follows from the messages themselves, who is the assistant, and the encoding: a prompt is the same with it
and without. For `window`, which decides what of the tail is sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal
from zlib import crc32

from msgspec import Struct, field

from chatstep.errors import InvalidInput
from chatstep.message import Message, clean_text
from chatstep.modules.openai.roles import Roles
from chatstep.modules.openai.tokens import PER_MESSAGE, ByteCounter, Counter

__all__ = ["Dropped", "Kept", "PromptMessage", "Tail", "mark", "read_tail"]

_NEWER = 8  # messages that a chat may have gained since it was last read; with more it is read anew
_MARKED = 200  # characters of a text that make its mark: enough to tell texts apart


class PromptMessage(Struct, frozen=True, omit_defaults=True):
    """One message as it is sent."""

    role: str
    content: str
    name: str | None = None


class Dropped(Struct, frozen=True):
    """History messages ``first`` to ``last`` (positions from 0) that were left out, and why."""

    reason: Literal["budget", "window", "starts with assistant", "empty", "system", "tool"]
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many messages that are."""
        return self.last - self.first + 1


class Kept(Struct):
    """Messages that may be sent, oldest first, as columns. They are shared between prompts, so nobody changes them.

    ``at`` is the position in the history, ``speaker`` the user's `author_key` (None: it is the assistant's),
    ``tokens`` are without a label, ``mark`` is -1 for the assistant's, ``sent`` is the message without a name.
    """

    at: list[int] = field(default_factory=list)
    speaker: list[str | None] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    mark: list[int] = field(default_factory=list)
    sent: list[PromptMessage] = field(default_factory=list)

    def since(self, index: int) -> Kept:
        """The part from an index on."""
        return Kept(self.at[index:], self.speaker[index:], self.tokens[index:], self.mark[index:], self.sent[index:])

    def __add__(self, newer: Kept) -> Kept:
        return Kept(
            self.at + newer.at,
            self.speaker + newer.speaker,
            self.tokens + newer.tokens,
            self.mark + newer.mark,
            self.sent + newer.sent,
        )


class Tail(Struct):
    """All messages from a position up to ``end``, what of them may be sent, and what never is, each with its reason."""

    end: int
    messages: list[Message]
    kept: Kept
    dropped: list[Dropped]

    @property
    def first(self) -> int:
        """The position of the first message."""
        return self.end - len(self.messages)

    def since(self, position: int) -> Tail:
        """The part from a position on."""
        return Tail(
            self.end,
            self.messages[position - self.first :],
            self.kept.since(bisect_left(self.kept.at, position)),
            [dropped for dropped in self.dropped if dropped.first >= position],
        )

    def moved(self, by: int) -> Tail:
        """The same messages at other positions."""
        at = [position + by for position in self.kept.at]
        kept = Kept(at, self.kept.speaker, self.kept.tokens, self.kept.mark, self.kept.sent)
        dropped = [Dropped(gone.reason, gone.first + by, gone.last + by) for gone in self.dropped]
        return Tail(self.end + by, self.messages, kept, dropped)

    def __add__(self, newer: Tail) -> Tail:
        return Tail(newer.end, self.messages + newer.messages, self.kept + newer.kept, self.dropped + newer.dropped)


def read_tail(
    messages: Sequence[Message],
    span: tuple[int, int],
    roles: Roles,
    budget: int | None,
    counter: Counter | ByteCounter,
) -> Tail:
    """Read messages of the span, ``(first, end)``, from its end until their tokens are more than the budget."""
    first, end = span
    known, known_as = _known(messages, span, roles, counter)
    if known is None:
        tail = _read(messages, span, roles, budget, counter)
    else:
        tail = known + _read(messages, (known.end, end), roles, budget, counter)
        left = None if budget is None else budget - sum(tail.kept.tokens)
        if left is not None and left < 0:
            tail = _shortened(tail, left)
        elif tail.first > first:
            tail = _read(messages, (first, tail.first), roles, left, counter) + tail
    if tail.messages:
        weight = sum(tail.kept.tokens) + len(tail.messages)
        counter.tails.put((roles.who, tail.messages[-1].text), tail, weight, instead_of=known_as)
    return tail


def _known(
    messages: Sequence[Message], span: tuple[int, int], roles: Roles, counter: Counter | ByteCounter
) -> tuple[Tail | None, object]:
    """What of these very messages was read before, at their positions of now, and the key under which it is kept."""
    first, end = span
    for known_end in range(end, max(first, end - _NEWER), -1):
        message = messages[known_end - 1]
        key = (roles.who, message.text) if type(message) is Message else None
        known: Tail | None = counter.tails.get(key)
        if known is None:
            continue
        position = max(first, known_end - len(known.messages))
        if known_end != known.end:
            known = known.moved(known_end - known.end)
        if position > known.first:
            known = known.since(position)
        if list(messages[position:known_end]) == known.messages:
            return known, key
    return None, None


def _shortened(tail: Tail, left: int) -> Tail:
    """Without the oldest messages, which the budget does not even touch; ``left``, what is left of it, is below 0."""
    index = 0
    while left + tail.kept.tokens[index] < 0:
        left += tail.kept.tokens[index]
        index += 1
    return tail.since(tail.kept.at[index])


def _read(
    messages: Sequence[Message],
    span: tuple[int, int],
    roles: Roles,
    budget: int | None,
    counter: Counter | ByteCounter,
) -> Tail:
    first, end = span
    left = budget
    kept, dropped = Kept(), list[Dropped]()
    who, is_assistant = roles.who, roles.is_assistant
    keep_at, keep_speaker, keep_tokens = kept.at.append, kept.speaker.append, kept.tokens.append
    keep_mark, keep_sent = kept.mark.append, kept.sent.append
    for at in range(end - 1, first - 1, -1):
        message = messages[at]
        if type(message) is not Message:
            raise InvalidInput("Expected a Message like the others.", place=f"history.messages[{at}]")
        text, role, author = message.text, message.role, message.author
        if role is not None and (role == "system" or role == "tool"):  # noqa: PLR1714  # narrower for the types
            dropped.append(Dropped(role, at, at))
            continue
        if not text or text.isspace():
            dropped.append(Dropped("empty", at, at))
            continue
        # The first is what is_assistant does, without the call, for nearly all messages.
        by_author = who and role is None
        assistant = author.name in who or author.id in who if by_author else is_assistant(message, at)
        tokens = counter[text] + PER_MESSAGE
        keep_at(at)
        keep_speaker(None if assistant else author.id or author.name)
        keep_tokens(tokens)
        keep_mark(-1 if assistant else mark(text))
        keep_sent(PromptMessage("assistant" if assistant else "user", text if text.isascii() else clean_text(text)))
        if left is not None:
            left -= tokens
            if left < 0:
                first = at
                break
    for column in (kept.at, kept.speaker, kept.tokens, kept.mark, kept.sent, dropped):
        column.reverse()
    return Tail(end, list(messages[first:end]), kept, dropped)


def mark(text: str) -> int:
    """A number made from a text, the same in every process; by these a steady cut is found (see `window`)."""
    # Not hash(): that differs from process to process, and the cut would move with every restart.
    return crc32(text[:_MARKED].encode("utf-8", "surrogatepass"))
