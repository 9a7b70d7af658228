"""What one prompt leaves for the next turn of its chat: never seen in a prompt, used where it can be, and bounded."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chatstep.errors import DoesNotFit, InvalidInput
from chatstep.message import Author, History, Message
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.models import ModelFacts
from chatstep.modules.openai.prompt import Prompt, Wanted, build
from chatstep.modules.openai.recent import Recent
from chatstep.modules.openai.roles import Roles
from chatstep.modules.openai.tail import read_tail
from chatstep.modules.openai.tokens import Counter
from prompt_cases import Case, random_case

ANA, ROBO = Author("Ana", id="u1"), Author("Robo", id="b1")
MODEL = ModelFacts(name="m", known=True, window=4_000)


def outcome(case: Case, counter: Counter) -> Prompt | tuple[type, str]:
    """The prompt, or what was raised instead."""
    try:
        return build(case.wanted, case.facts, case.dialect, counter)
    except (InvalidInput, DoesNotFit) as error:
        return type(error), str(error)


def next_of(rnd: random.Random, case: Case, told: list[Message]) -> Case:
    """The same chat a moment later: grown, slid, edited, begun anew, or asked about in another way."""
    history = case.wanted.history
    assert history is not None
    messages = list(history.messages)
    what = rnd.randrange(8)
    if what < 4:
        messages += [told.pop() for _ in range(min(len(told), rnd.choice((1, 2, 2, 2, 9))))]
    elif what == 4:
        del messages[: rnd.randrange(4)]
    elif what == 5 and messages:
        at = rnd.randrange(len(messages))
        messages[at] = replace(messages[at], text=rnd.choice(("edited", "", messages[at].text)))
    elif what == 6:
        messages = [replace(message) for message in messages]
    wanted = replace(
        case.wanted,
        history=History(history.assistant if rnd.random() < 0.9 else ("Ana",), messages, history.older_exist),
        history_tokens=rnd.choice((case.wanted.history_tokens, None, 60, 2_000)),
        speakers=rnd.choice((case.wanted.speakers, "auto", "name", "prefix")),
    )
    return Case(wanted, case.facts, case.dialect)


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_a_prompt_is_the_same_whatever_was_asked_before(rnd: random.Random) -> None:
    case = random_case(rnd)
    while case.wanted.history is None or not case.wanted.history.messages:
        case = random_case(rnd)
    told = list(case.wanted.history.messages) * 3
    rnd.shuffle(told)
    counter = Counter("o200k_base")
    for _ in range(8):
        assert outcome(case, counter) == outcome(case, Counter("o200k_base"))
        case = next_of(rnd, case, told)


def chat(count: int, first: int = 0) -> list[Message]:
    """A chat whose texts are all different."""
    return [Message(ROBO if at % 2 else ANA, f"message number {at}") for at in range(first, first + count)]


def ask(messages: list[Message], counter: Counter, **more: Any) -> Prompt:
    return build(Wanted(message="and now?", history=History("b1", messages), **more), MODEL, Dialect(), counter)


@pytest.mark.parametrize(("handed", "kept"), [(1_000, 300), (100, 100)])
@pytest.mark.parametrize("slid", [0, 2])
@pytest.mark.parametrize("anew", [False, True])
def test_the_next_turn_counts_what_is_new(handed: int, kept: int, slid: int, anew: bool) -> None:
    counter = Counter("o200k_base")
    messages = chat(handed, 1_000 - handed)
    before = ask(messages, counter)
    assert len(before.messages) > kept
    counter.clear()  # so that it holds what is counted from here on
    later = messages[slid:] + chat(2, 1_000)
    if anew:  # as from a store, which makes new objects of the same values
        later = [Message(Author(m.author.name, m.author.id), m.text) for m in later]
    after = ask(later, counter)
    assert set(counter) == {"and now?", "message number 1000", "message number 1001"}
    assert after == ask(later, Counter("o200k_base"))


def test_new_messages_that_fill_the_budget_alone_are_read_alone() -> None:
    counter = Counter("o200k_base")
    messages = chat(100)
    for budget in (600, 5, 12, 600):
        tail = read_tail(messages, (0, len(messages)), Roles(History("b1")), budget, counter)
        assert tail.messages == messages[tail.first :]
        assert sum(tail.kept.tokens) - tail.kept.tokens[0] <= budget < sum(tail.kept.tokens)
        messages = messages + chat(2, len(messages))


def test_the_same_text_of_another_chat_is_not_taken_for_this_one() -> None:
    counter = Counter("o200k_base")
    one, other = [*chat(40), Message(ROBO, "ok")], [*chat(40, 100), Message(ROBO, "ok")]
    assert [ask(one, counter), ask(other, counter), ask(one, counter)] == [
        ask(messages, Counter("o200k_base")) for messages in (one, other, one)
    ]


def test_what_is_remembered_is_bounded() -> None:
    recent: Recent[str] = Recent(10)
    for number in range(100):
        recent.put(number, "value", 3)
        assert recent.held == 3 * len(recent) <= 10
    assert [number for number in range(100) if recent.get(number)] == [97, 98, 99]
    recent.put(100, "moved", 3, instead_of=98)
    assert [number for number in range(101) if recent.get(number)] == [97, 99, 100]
    recent.put(99, "too heavy", 11)
    assert (len(recent), recent.get(99)) == (2, None)


def test_a_chat_takes_one_place_however_long_it_goes_on() -> None:
    counter = Counter("o200k_base")
    messages = chat(100)
    weights = set()
    for turn in range(50):
        messages = messages + chat(2, 100 + 2 * turn)
        ask(messages, counter, history_tokens=600)
        weights.add(counter.tails.held // 100)
        assert len(counter.tails) == 1
    assert max(weights) <= 8
