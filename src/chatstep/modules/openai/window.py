"""Which part of a history is sent: of its tail, as much as the budget takes.

So a long history costs what its tail costs. Every message is either kept or listed as Dropped with a reason.
`steady_start` then moves the cut to a place where it stays for many turns, so that the provider's cache of prompts
hits. For building prompts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from chatstep.message import Message
from chatstep.modules.openai.speakers import LabelCosts
from chatstep.modules.openai.tail import Dropped, Kept, Tail, mark

__all__ = ["STEADY_FROM", "Fitting", "Window", "fitting", "in_order", "start_with_user", "steady", "steady_start"]

STEADY_FROM = 1_024
"""Tokens from which a provider caches a prompt: a smaller budget gains nothing by a steady cut."""

Window = Literal["steady", "newest"]


class Fitting(Struct):
    """What fits of a history: the messages kept, the others with their reasons, and whether it was cut."""

    kept: Kept
    dropped: list[Dropped]
    cut: bool = False

    def cut_before(self, start: int, reason: Literal["window", "starts with assistant"]) -> None:
        """Drop the messages kept so far before this index."""
        at = self.kept.at
        if at[start - 1] - at[0] == start - 1:
            self.dropped.append(Dropped(reason, at[0], at[start - 1]))
        else:
            self.dropped.extend(Dropped(reason, position, position) for position in at[:start])
        self.kept = self.kept.since(start)


def fitting(tail: Tail, first: int, budget: int | None, labels: LabelCosts) -> Fitting:
    """What of the tail fits the budget, labels counted; ``first`` is where the history begins."""
    start = _first_that_fits(tail, budget, labels)
    if not start:
        return Fitting(tail.kept, tail.dropped.copy())
    cut = tail.kept.at[start - 1]
    dropped = [Dropped("budget", first, cut), *(gone for gone in tail.dropped if gone.first > cut)]
    return Fitting(tail.kept.since(start), dropped, cut=True)


def _first_that_fits(tail: Tail, budget: int | None, labels: LabelCosts) -> int:
    kept = tail.kept
    if budget is None:
        return 0
    costs = kept.tokens[::-1]
    if labels.may_cost(kept.speaker):
        newest_first = zip(costs, reversed(kept.speaker), reversed(kept.at), strict=True)
        costs = [
            tokens if speaker is None else tokens + labels.of(tail.messages[at - tail.first].author)
            for tokens, speaker, at in newest_first
        ]
    return len(costs) - bisect_right(list(accumulate(costs)), budget)


def steady(fit: Fitting, messages: Sequence[Message], budget: int | None, *, older_exist: bool) -> None:
    """Move the cut of a history that does not fit to a place where it stays for many turns (see `steady_start`).

    Where the platform keeps older messages back and all that it gave fits, its own cut moves at every turn just the
    same; then messages are counted instead of tokens.
    """
    kept = fit.kept
    if fit.cut and budget is not None and budget >= STEADY_FROM:
        start = _start(messages, kept.at, kept.mark, kept.tokens, budget)
    elif older_exist and not fit.cut and sum(kept.tokens) >= STEADY_FROM:
        start = _start(messages, kept.at, kept.mark, [1] * len(kept.at), len(kept.at))
    else:
        return
    if start:
        fit.cut_before(start, "window")
        fit.cut = True


def start_with_user(fit: Fitting) -> None:
    """Drop the assistant's messages at the start: a reply whose question was cut away would only mislead."""
    start = 0
    for speaker in fit.kept.speaker:
        if speaker is not None:
            break
        start += 1
    if start:
        fit.cut_before(start, "starts with assistant")


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
    marks = [
        -1 if by_assistant else mark(messages[place].text) for place, by_assistant in zip(at, assistant, strict=True)
    ]
    return _start(messages, at, marks, tokens, budget)


def _start(
    messages: Sequence[Message], at: Sequence[int], marks: Sequence[int], tokens: Sequence[int], budget: int
) -> int:
    first = _user_from(0, marks)
    anchor = _anchor(messages, at, marks)
    if anchor <= first:
        return first
    before = sum(tokens[:anchor])
    half = budget // 2
    if before >= half:
        return _user_from(_skipping(before - half, tokens), marks)
    # A large message that no longer fits can leave a tail so short that a cut at the anchor would keep too little. Such
    # a tail begins with what follows that message, and is steady by itself until it has grown.
    return anchor if (sum(tokens) - before) * 8 >= budget * 3 else first


def _anchor(messages: Sequence[Message], at: Sequence[int], marks: Sequence[int]) -> int:
    """The index of the user's message with the highest mark; of equal texts the one before the highest mark, then the
    oldest. The newest message is none, as nothing follows it yet.
    """
    marks = marks[:-1]
    highest = max(marks, default=-1)
    if highest < 0:
        return 0
    if marks.count(highest) == 1:
        return marks.index(highest)
    equal = [index for index, value in enumerate(marks) if value == highest]
    return max(equal, key=lambda index: mark(messages[at[index + 1]].text))


def _skipping(tokens_to_skip: int, tokens: Sequence[int]) -> int:
    """The index before which at least so many tokens lie."""
    return bisect_left(list(accumulate(tokens, initial=0)), tokens_to_skip)


def _user_from(index: int, marks: Sequence[int]) -> int:
    """The first user's message from this index on; 0 where there is none."""
    return next((place for place in range(index, len(marks)) if marks[place] >= 0), 0)
