"""Which part of a history is sent: walked from its newest message backwards until the budget is full.

So a long history costs what its tail costs. Every message is either in the Tail or listed as Dropped with a reason.
`steady_start` then moves the cut to a place where it stays for many turns, so that the provider's cache of prompts
hits. For building prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from zlib import crc32

from msgspec import Struct, field

from chatstep.errors import InvalidInput
from chatstep.message import Message
from chatstep.modules.openai.roles import Roles
from chatstep.modules.openai.speakers import LabelCosts
from chatstep.modules.openai.tokens import PER_MESSAGE

__all__ = [
    "STEADY_FROM",
    "Dropped",
    "Tail",
    "Window",
    "in_order",
    "start_with_user",
    "steady",
    "steady_start",
    "walk_back",
]

STEADY_FROM = 1_024
"""Tokens from which a provider caches a prompt: a smaller budget gains nothing by a steady cut."""

_MARKED = 200  # characters of a text that make its mark: enough to tell texts apart, and little to remember
_REMEMBERED = 8_192


Window = Literal["steady", "newest"]


class Dropped(Struct, frozen=True):
    """History messages ``first`` to ``last`` (positions from 0) that were left out, and why."""

    reason: Literal["budget", "window", "starts with assistant", "empty", "system", "tool"]
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many messages that are."""
        return self.last - self.first + 1


class Tail(Struct):
    """What was kept of the history, oldest first: positions, whether the assistant's, tokens without a label."""

    at: list[int] = field(default_factory=list)
    assistant: list[bool] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    cut: bool = False


def walk_back(
    messages: Sequence[Message],
    span: tuple[int, int],
    roles: Roles,
    budget: int | None,
    counter: dict[str, int],
    labels: LabelCosts,
) -> Tail:
    """Keep messages of the span, which is ``(first, end)``, from its end backwards until the budget is full."""
    first, end = span
    tail = Tail()
    left = budget
    who, is_assistant, label_cost = roles.who, roles.is_assistant, labels.of
    keep, keep_whose, keep_tokens = tail.at.append, tail.assistant.append, tail.tokens.append
    for at in range(end - 1, first - 1, -1):
        message = messages[at]
        if type(message) is not Message:
            raise InvalidInput("Expected a Message like the others.", place=f"history.messages[{at}]")
        text, role = message.text, message.role
        if role is not None and (role == "system" or role == "tool"):  # noqa: PLR1714  # narrower for the types
            tail.dropped.append(Dropped(role, at, at))
            continue
        if not text or text.isspace():
            tail.dropped.append(Dropped("empty", at, at))
            continue
        if who and role is None:  # as is_assistant has it, without the call, for nearly all messages
            author = message.author
            assistant = author.name in who or author.id in who
        else:
            assistant = is_assistant(message, at)
        tokens = counter[text] + PER_MESSAGE
        if left is not None:
            left -= tokens if assistant else tokens + label_cost(message.author)
            if left < 0:
                tail.dropped.append(Dropped("budget", first, at))
                tail.cut = True
                break
        keep(at)
        keep_whose(assistant)
        keep_tokens(tokens)
    for kept in (tail.at, tail.assistant, tail.tokens):
        kept.reverse()
    return tail


def steady(tail: Tail, messages: Sequence[Message], budget: int | None, *, older_exist: bool) -> None:
    """Move the cut of a history that does not fit to a place where it stays for many turns (see `steady_start`).

    Where the platform keeps older messages back and all that it gave fits, its own cut moves at every turn just the
    same; then messages are counted instead of tokens.
    """
    if tail.cut and budget is not None and budget >= STEADY_FROM:
        start = steady_start(messages, tail.at, tail.assistant, tail.tokens, budget)
    elif older_exist and not tail.cut and sum(tail.tokens) >= STEADY_FROM:
        start = steady_start(messages, tail.at, tail.assistant, [1] * len(tail.at), len(tail.at))
    else:
        return
    if start:
        tail.dropped.extend(Dropped("window", at, at) for at in tail.at[:start])
        del tail.at[:start], tail.assistant[:start], tail.tokens[:start]
        tail.cut = True


def start_with_user(tail: Tail) -> None:
    """Drop the assistant's messages at the start: a reply whose question was cut away would only mislead."""
    skip = 0
    while skip < len(tail.at) and tail.assistant[skip]:
        tail.dropped.append(Dropped("starts with assistant", tail.at[skip], tail.at[skip]))
        skip += 1
    del tail.at[:skip], tail.assistant[:skip], tail.tokens[:skip]


def in_order(dropped: list[Dropped]) -> tuple[Dropped, ...]:
    """Oldest first, neighbours of one reason as one range."""
    ranges: list[Dropped] = []
    for item in sorted(dropped, key=lambda item: item.first):
        if ranges and ranges[-1].reason == item.reason and ranges[-1].last + 1 == item.first:
            ranges[-1] = Dropped(item.reason, ranges[-1].first, item.last)
        else:
            ranges.append(item)
    return tuple(ranges)


def steady_start(
    messages: Sequence[Message], at: Sequence[int], assistant: Sequence[bool], tokens: Sequence[int], budget: int
) -> int:
    """The index, into the lists of a kept tail (oldest first), of the message with which a steady prompt starts.

    To be asked where a history was cut because it did not fit ``budget`` tokens. The budget has to be the same at every
    turn, so without what the newest message takes from it. For a platform that hands over the last N messages only, and
    all of them fit, count messages: 1 for each of ``tokens``, and N as ``budget``.

    The kept user's message with the highest mark, a number made from its text, is the anchor. The cut is half a budget
    before the anchor as long as that is within the tail, and then at the anchor itself. Both places depend on messages
    that stay the same from turn to turn, so the cut moves about three times while a whole budget of new messages comes,
    and between half a budget and a whole one is kept. Nothing but the tail is looked at: any longer view of the same
    conversation gives the same cut. The message is a user's if the tail has one; else the index is 0.
    """
    first = _user_from(0, assistant)
    anchor = _anchor(messages, at, assistant)
    if anchor <= first:
        return first
    before = sum(tokens[:anchor])
    half = budget // 2
    if before >= half:
        return _user_from(_skipping(before - half, tokens), assistant)
    # A large message that no longer fits can leave a tail so short that a cut at the anchor would keep too little. Such
    # a tail begins with what follows that message, and is steady by itself until it has grown.
    return anchor if (sum(tokens) - before) * 8 >= budget * 3 else first


def _anchor(messages: Sequence[Message], at: Sequence[int], assistant: Sequence[bool]) -> int:
    """The index of the user's message with the highest mark; of equal texts the one before the highest mark, then the
    oldest. The newest message is none, as nothing follows it yet.
    """
    marks = [
        -1 if by_assistant else _mark(messages[place].text[:_MARKED])
        for place, by_assistant in zip(at[:-1], assistant[:-1], strict=True)
    ]
    highest = max(marks, default=-1)
    if highest < 0:
        return 0
    if marks.count(highest) == 1:
        return marks.index(highest)
    equal = [index for index, mark in enumerate(marks) if mark == highest]
    return max(equal, key=lambda index: _mark(messages[at[index + 1]].text[:_MARKED]))


@lru_cache(_REMEMBERED)
def _mark(text: str) -> int:
    # Not hash(): that differs from process to process, and the cut would move with every restart.
    return crc32(text.encode("utf-8", "surrogatepass"))


def _skipping(tokens_to_skip: int, tokens: Sequence[int]) -> int:
    """The index before which at least so many tokens lie."""
    index = 0
    while tokens_to_skip > 0:
        tokens_to_skip -= tokens[index]
        index += 1
    return index


def _user_from(index: int, assistant: Sequence[bool]) -> int:
    """The first user's message from this index on; 0 where there is none."""
    try:
        return assistant.index(False, index)
    except ValueError:
        return 0
