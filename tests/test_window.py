"""Where a steady prompt starts: by the kept messages alone, rarely elsewhere, and never keeping too little."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatstep.message import Author, Message
from chatstep.modules.openai.window import steady_start

ROOT = Path(__file__).resolve().parent.parent
ANA, ROBO = Author("Ana", id="u1"), Author("Robo", id="b1")
WORDS = ("garden", "printer", "saturday", "key", "plants", "invoice", "who", "when", "please", "the", "to", "of")

GOLDEN = [326, 322, 312, 342, 308, 324]

Said = tuple[bool, str, int]
said = st.tuples(st.booleans(), st.text(max_size=12), st.integers(min_value=4, max_value=400))


def as_tail(chat: Sequence[Said], first: int = 0) -> tuple[list[Message], list[int], list[bool], list[int]]:
    """The messages of a chat, and the lists of the tail that begins at ``first``."""
    messages = [Message(ROBO if assistant else ANA, text) for assistant, text, _ in chat]
    kept = chat[first:]
    at = list(range(first, len(chat)))
    return messages, at, [assistant for assistant, _, _ in kept], [tokens for _, _, tokens in kept]


def fitting(chat: Sequence[Said], budget: int) -> int:
    """Where the tail begins that a walk back keeps, from a user's message on."""
    first = len(chat)
    while first and (budget := budget - chat[first - 1][2]) >= 0:
        first -= 1
    while first < len(chat) and chat[first][0]:
        first += 1
    return first


def start_of(chat: Sequence[Said], budget: int) -> int:
    """The position in the chat where its steady prompt starts."""
    first = fitting(chat, budget)
    return first + steady_start(*as_tail(chat, first), budget)


def size(chat: Sequence[Said]) -> int:
    """Its tokens."""
    return sum(tokens for _, _, tokens in chat)


def talk(turns: int, longest: int, seed: int) -> list[Said]:
    """A chat in turns of a question and a reply."""
    chance = random.Random(seed)
    chat: list[Said] = []
    for at in range(2 * turns):
        words = chance.randint(3, longest)
        chat.append((at % 2 == 1, " ".join(chance.choices(WORDS, k=words)), words + 4))
    return chat


@given(st.lists(said, max_size=60), st.integers(min_value=1, max_value=6_000))
@example([], 100)
@example([(True, "a", 4)], 100)
@example([(False, "\ud800", 40), (False, "\ud800", 40), (True, "\ud800", 40)], 100)
def test_starts_with_a_user_and_never_empties(chat: list[Said], budget: int) -> None:
    messages, at, assistant, tokens = as_tail(chat)
    start = steady_start(messages, at, assistant, tokens, budget)
    if all(assistant):
        assert start == 0
    else:
        assert 0 <= start < len(chat)
        assert not assistant[start]


@given(st.lists(said, max_size=40), st.lists(said, max_size=20), st.lists(said, max_size=20), st.integers(50, 3_000))
def test_what_lies_before_the_tail_changes_nothing(
    chat: list[Said], before: list[Said], other: list[Said], budget: int
) -> None:
    alone = steady_start(*as_tail(chat), budget)
    assert steady_start(*as_tail([*before, *chat], len(before)), budget) == alone
    assert steady_start(*as_tail([*other, *chat], len(other)), budget) == alone


@given(st.lists(said, min_size=1, max_size=60), st.integers(min_value=400, max_value=6_000))
def test_keeps_three_eighths_of_the_budget_where_messages_allow(chat: list[Said], budget: int) -> None:
    first = fitting(chat, budget)
    fits = size(chat[first:])
    start = start_of(chat, budget)
    kept = size(chat[start:])
    # A cut may fall only before a user's message, so the step that it takes can be as large as the widest gap.
    users = [at for at in range(first, len(chat)) if not chat[at][0]]
    gap = max((size(chat[one:two]) for one, two in pairwise(users)), default=0)
    assert kept >= min(fits, budget * 3 // 8) - gap


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("longest", "budget"), [(20, 1_000), (40, 4_000), (120, 4_000)])
def test_moves_about_three_times_per_budget_and_keeps_three_quarters(seed: int, longest: int, budget: int) -> None:
    chat = talk(600, longest, seed)
    turns = range(2, len(chat), 2)
    steady, newest = [start_of(chat[:end], budget) for end in turns], [fitting(chat[:end], budget) for end in turns]
    moves = sum(one != two for one, two in pairwise(steady))
    assert moves <= 4 * size(chat) / budget + 3
    assert moves < sum(one != two for one, two in pairwise(newest)) / 2
    kept, fits = (
        sum(size(chat[start:end]) for start, end in zip(starts, turns, strict=True)) for starts in (steady, newest)
    )
    assert kept >= 0.7 * fits


def test_stays_half_a_budget_before_the_anchor_and_then_at_the_anchor() -> None:
    texts = sorted((f"message {number}" for number in range(400)), key=lambda text: crc32(text.encode()))
    anchor_text, others = texts[-1], iter(texts[:300])
    before: list[Said] = [(False, next(others), 50) for _ in range(80)]
    chat = [*before, (False, anchor_text, 50)]
    starts = []
    while fitting(chat, 2_000) <= 80:
        chat.append((False, next(others), 50))
        starts.append(start_of(chat, 2_000))
    assert starts[:-1] == [60] * 19 + [80] * 20


def test_a_short_tail_behind_a_large_message_is_kept_whole_until_its_anchor_is_old_enough() -> None:
    texts = sorted((f"message {number}" for number in range(100)), key=lambda text: crc32(text.encode()))
    anchor_text, others = texts[-1], iter(texts[:90])
    chat: list[Said] = [(False, next(others), 1_500), *((False, next(others), 50) for _ in range(12))]
    chat.append((False, anchor_text, 50))
    starts = []
    while fitting(chat, 2_000) <= 1:
        starts.append(start_of(chat, 2_000))
        chat.append((False, next(others), 50))
    assert starts == [1] * 14 + [13] * 14


def test_of_equal_texts_what_follows_decides_and_then_age() -> None:
    lower, higher = sorted(("which one?", "of what?"), key=lambda text: crc32(text.encode()))
    chat: list[Said] = [(False, "more", 50), (True, lower, 50)] * 30
    assert start_of(chat, 2_000) == fitting(chat, 2_000)
    chat[31] = (True, higher, 50)
    assert start_of(chat, 2_000) == 30


@pytest.mark.parametrize("seed", range(3))
def test_a_sliding_view_that_holds_the_tail_gives_the_same_start(seed: int) -> None:
    chat = talk(400, 30, seed)
    for end in range(300, len(chat), 14):
        first = max(0, end - 250)
        assert start_of(chat[first:end], 2_000) + first == start_of(chat[:end], 2_000)


@pytest.mark.parametrize("seed", range(3))
def test_a_view_of_the_last_messages_is_steady_when_messages_are_counted(seed: int) -> None:
    chat = talk(400, 30, seed)
    starts = []
    for end in range(60, len(chat), 2):
        messages, at, assistant, _ = as_tail(chat[end - 60 : end])
        starts.append(end - 60 + steady_start(messages, at, assistant, [1] * 60, 60))
        assert 20 <= end - starts[-1] <= 60
    assert sum(one != two for one, two in pairwise(starts)) <= 4 * len(chat) / 60


def test_is_the_same_in_every_process() -> None:
    """Marks come from a checksum; Python's own hash would differ with every start."""
    assert [start_of(talk(200, 30, seed), 2_000) for seed in range(6)] == GOLDEN


def test_the_page_shows_what_the_simulation_says() -> None:
    script = [sys.executable, ROOT / "scripts" / "make_window_picture.py", "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
