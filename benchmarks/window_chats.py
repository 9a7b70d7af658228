"""Conversations of several shapes for the benchmark `window`, and what a prompt cache makes of their prompts.

Words stand for tokens: a message of n words has n + 4 tokens. Everything comes from seeds, so that figures repeat.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from benchmarks.histories import TOKENS_PER_MESSAGE, TOKENS_PER_PROMPT, WORDS
from chatstep.message import Author, Message

INSTRUCTIONS = 150
"""Tokens of the instructions, which every prompt begins with."""
CACHED_FROM, CACHED_STEP = 1_024, 128
CACHE_SECONDS = 600
"""How long an entry that nobody asks for lives: the short end of what is known."""
STOCK = ("ok", "thanks", "yes please", "no", "good morning", "what do you mean")
BOT = Author("Robo")


class Shape(NamedTuple):
    """How people talk: the messages before each reply, the words of each, the words of a reply.

    ``medians`` (a person's message, a reply): lengths are log-normal around these, else even between their bounds.
    """

    messages: tuple[int, int]
    words: tuple[int, int]
    reply: tuple[int, int]
    medians: tuple[int, int] | None = None
    people: int = 1
    pauses: float = 0.0


SHAPES = {
    "short chat": Shape((1, 1), (5, 20), (10, 40)),
    "help desk": Shape((1, 1), (20, 60), (60, 120)),
    "long messages": Shape((1, 1), (40, 200), (150, 250)),
    "mixed, some very long": Shape((1, 1), (1, 1_500), (2, 256), medians=(20, 60)),
    "bursts and pauses": Shape((1, 5), (2, 15), (20, 100), pauses=0.08),
    "group": Shape((2, 10), (5, 30), (20, 80), people=6),
}


@dataclass
class Chat:
    """A conversation; ``turns`` are the positions of the messages that were answered."""

    messages: list[Message] = field(default_factory=list)
    assistant: list[bool] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)

    def add(self, author: Author, text: str, words: int, seconds: float) -> None:
        """Put a message at the end."""
        self.messages.append(Message(author, text))
        self.assistant.append(author is BOT)
        self.tokens.append(words + TOKENS_PER_MESSAGE)
        self.seconds.append(seconds)

    def between(self, first: int, end: int) -> int:
        """Tokens of the messages from ``first`` to before ``end``."""
        return self.before[end] - self.before[first]

    def user_from(self, at: int, end: int) -> int:
        """The first user's message from there on."""
        while at < end and self.assistant[at]:
            at += 1
        return at


@cache
def chat(shape: str, turns: int, seed: int) -> Chat:
    """A conversation of that shape with so many replies."""
    how, chance, made, seconds = SHAPES[shape], random.Random(f"{shape} {seed}"), Chat(), 0.0
    people = [Author(f"Person {number}") for number in range(how.people)]
    asked, replied = how.medians or (None, None)
    for _ in range(turns):
        seconds += chance.uniform(20, 180)
        if chance.random() < how.pauses:
            seconds += chance.uniform(3_600, 40_000)
        for _ in range(chance.randint(*how.messages)):
            _say(made, chance, chance.choice(people), _length(chance, how.words, asked), seconds)
        made.turns.append(len(made.messages) - 1)
        _say(made, chance, BOT, _length(chance, how.reply, replied), seconds + 5)
    made.before = [0, *accumulate(made.tokens)]
    return made


def _length(chance: random.Random, words: tuple[int, int], median: int | None) -> int:
    low, high = words
    if median is None:
        return chance.randint(low, high)
    return min(high, max(low, int(chance.lognormvariate(math.log(median), 1.2))))


def _say(made: Chat, chance: random.Random, author: Author, words: int, seconds: float) -> None:
    short = author is not BOT and words < 8
    text = chance.choice(STOCK) if short else " ".join(chance.choices(WORDS, k=words))
    made.add(author, text, len(text.split()), seconds)


class View(NamedTuple):
    """What a rule is told at one turn: the kept tail ``start`` to ``end``, and the view that it is the end of."""

    chat: Chat
    origin: int
    start: int
    end: int
    budget: int
    known: int | None

    @property
    def full(self) -> bool:
        """Whether the tail was cut because the budget was full."""
        return self.chat.between(self.origin, self.end) > self.budget


Rule = Callable[[View], int]


class Setting(NamedTuple):
    """The budget of history in tokens, the last messages that the platform hands over, and whether that is known."""

    budget: int = 4_000
    last: int | None = None
    known: bool = False


class Sent(NamedTuple):
    """One prompt: tokens of history in it, those read from the cache, all, and where its history starts."""

    history: int
    cached: int
    prompt: int
    start: int


def view(made: Chat, end: int, setting: Setting) -> View:
    """The tail that a walk back from ``end`` keeps."""
    origin = max(0, end - setting.last) if setting.last else 0
    start = max(origin, bisect_left(made.before, made.before[end] - setting.budget))
    if start > origin:
        start = made.user_from(start, end)
    cut_by_platform = setting.known and origin > 0
    return View(made, origin, start, end, setting.budget, setting.last if cut_by_platform else None)


def cached_part(tokens: int) -> int:
    """How much of a shared beginning the cache gives."""
    return tokens // CACHED_STEP * CACHED_STEP if tokens >= CACHED_FROM else 0


def play(made: Chat, rule: Rule, setting: Setting) -> list[Sent]:
    """Send every turn's prompt; each is cached from the same start's last prompt on, while that is remembered."""
    sent: list[Sent] = []
    last: dict[int, int] = {}
    for end in made.turns:
        seen = view(made, end, setting)
        start = rule(seen) if seen.full or seen.known else seen.start
        history = made.between(start, end)
        shared, before = INSTRUCTIONS, last.get(start)
        if before is not None and made.seconds[end] - made.seconds[before] <= CACHE_SECONDS:
            shared += made.between(start, before + 1)
        last[start] = end
        prompt = INSTRUCTIONS + history + made.tokens[end] + TOKENS_PER_PROMPT
        sent.append(Sent(history, cached_part(shared), prompt, start))
    return sent


class Price(NamedTuple):
    """What a token costs that is read from the cache, or written to it, if a plain one costs 1."""

    read: float = 0.25
    write: float = 1.0

    def of(self, prompt: int, cached: int) -> float:
        """The price of one prompt."""
        written = cached_part(prompt) - cached
        return prompt - cached * (1 - self.read) + (self.write - 1) * max(0, written)


def moves(sent: list[Sent]) -> int:
    """How often the cut moved."""
    return sum(one.start != two.start for one, two in pairwise(sent))
