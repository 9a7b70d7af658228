"""The rules that the benchmark `window` compares, and what hindsight could have done."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from zlib import crc32

from benchmarks.histories import TOKENS_PER_PROMPT
from benchmarks.window_chats import (
    CACHE_SECONDS,
    INSTRUCTIONS,
    Chat,
    Price,
    Setting,
    View,
    cached_part,
    play,
    view,
)
from chatstep.modules.openai.window import steady_start

PAUSE_SECONDS = 1_800
LOOK_BACK = 4
SHARE = 0.75
"""The context that hindsight has to keep, of what `newest` keeps."""


@cache
def mark(text: str) -> int:
    """The number of a text by which messages are ranked."""
    return crc32(text.encode())


def newest(seen: View) -> int:
    """As many of the newest messages as fit."""
    return seen.start


def grid(seen: View) -> int:
    """Cuts at multiples of half a budget, counted from the first message handed over."""
    made, half = seen.chat, seen.budget // 2
    steps = -(-made.between(seen.origin, seen.start) // half)
    at = bisect_left(made.before, made.before[seen.origin] + steps * half)
    return made.user_from(at, seen.end)


def replay(seen: View) -> int:
    """Played again from the first message handed over: whenever the budget is full, jump to half of it."""
    made, start = seen.chat, seen.origin
    for end in range(seen.origin, seen.end + 1):
        if made.between(start, end) > seen.budget:
            start = made.user_from(bisect_left(made.before, made.before[end] - seen.budget // 2), seen.end)
    return start


def highest(seen: View) -> int:
    """The message with the highest mark in the older half of the budget."""
    return _best(seen, lambda at: mark(seen.chat.messages[at].text))


def levels(seen: View) -> int:
    """The oldest message of the highest level there; a level is the zero bits at the end of the mark."""
    return _best(seen, lambda at: (number := mark(seen.chat.messages[at].text)) & -number)


def _best(seen: View, rank: Callable[[int], int]) -> int:
    made, half = seen.chat, seen.budget // 2
    older = [at for at in range(seen.start, seen.end) if not made.assistant[at] and made.between(at, seen.end) >= half]
    return max(older, key=rank, default=seen.start)


def steady(seen: View) -> int:
    """What chatstep does."""
    made, tail = seen.chat, range(seen.start, seen.end)
    flags, tokens = made.assistant[seen.start : seen.end], made.tokens[seen.start : seen.end]
    if seen.full:
        return seen.start + steady_start(made.messages, tail, flags, tokens, seen.budget)
    if seen.known is None:
        return seen.start
    return seen.start + steady_start(made.messages, tail, flags, [1] * len(tail), seen.known)


def steady_by_pauses(seen: View) -> int:
    """The same with anchors where somebody spoke after half an hour, if there was one."""
    made = seen.chat

    def rank(at: int) -> tuple[bool, int]:
        pause = at > seen.start and made.seconds[at] - made.seconds[at - 1] >= PAUSE_SECONDS
        return pause, mark(made.messages[at].text)

    users = [at for at in range(seen.start, seen.end - 1) if not made.assistant[at]]
    return _half_before(seen, max(users, key=rank, default=seen.start))


def steady_looking_back(seen: View) -> int:
    """The same with an anchor that may lie before the tail, up to four budgets back."""
    made = seen.chat
    first = max(seen.origin, bisect_left(made.before, made.before[seen.end] - LOOK_BACK * seen.budget))
    users = [at for at in range(first, seen.end - 1) if not made.assistant[at]]
    return _half_before(seen, max(users, key=lambda at: mark(made.messages[at].text), default=seen.start))


def _half_before(seen: View, anchor: int) -> int:
    """The first cut within the tail that lies a number of half budgets from the anchor."""
    made, half = seen.chat, seen.budget // 2
    steps = (made.before[anchor] - made.before[seen.start]) // half
    at = bisect_left(made.before, made.before[anchor] - steps * half)
    return made.user_from(at, seen.end)


def hindsight(made: Chat, setting: Setting, price: Price) -> float:
    """A bill that no choice of cuts goes below which keeps `SHARE` of the context of `newest`, all turns known before.

    Context is given a price of its own; for each such price the best cuts are found turn by turn, and the best of the
    bounds that they give is taken.
    """
    wanted = SHARE * sum(one.history for one in play(made, newest, setting))
    low, high, bound = 0.0, 1.0, 0.0
    for _ in range(8):
        worth = (low + high) / 2
        value, history = _best_cuts(made, setting, price, worth)
        bound = max(bound, value + worth * wanted)
        low, high = (worth, high) if history < wanted else (low, worth)
    return bound


def _best_cuts(made: Chat, setting: Setting, price: Price, worth: float) -> tuple[float, float]:
    """The lowest bill less the worth of the context, and that context."""
    best = (0.0, 0.0)
    kept: dict[int, tuple[float, float]] = {}
    last = 0
    for end in made.turns:
        start = view(made, end, setting).start
        alive = made.seconds[end] - made.seconds[last] <= CACHE_SECONDS
        now: dict[int, tuple[float, float]] = {}
        for at in range(start, end):
            if at != start and made.assistant[at]:
                continue
            history = made.between(at, end)
            prompt = INSTRUCTIONS + history + made.tokens[end] + TOKENS_PER_PROMPT
            choice = best[0] + price.of(prompt, 0) - worth * history, best[1] + history
            if at in kept and alive:
                cached = cached_part(INSTRUCTIONS + made.between(at, last + 1))
                stay = kept[at][0] + price.of(prompt, cached) - worth * history, kept[at][1] + history
                choice = min(choice, stay)
            now[at] = choice
        if not now:
            now[end] = best[0] + price.of(prompt_of(made, end), 0), best[1]
        kept, last, best = now, end, min(now.values())
    return best


def prompt_of(made: Chat, end: int) -> int:
    """Tokens of a prompt without history."""
    return INSTRUCTIONS + made.tokens[end] + TOKENS_PER_PROMPT
