"""Prompt building: its invariants over ten thousand random conversations, and what people would notice first."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections import Counter as Tally

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.errors import DoesNotFit, InvalidInput
from chatstep.message import Author, History, Message
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.models import ModelFacts, facts
from chatstep.modules.openai.prompt import MARGIN, Dropped, Prompt, Wanted, build
from chatstep.modules.openai.speakers import LABEL_SLACK
from chatstep.modules.openai.tokens import ByteCounter, Counter, counter_for
from prompt_cases import Case, as_sent, is_assistant, places, random_case, recount, tokens_of

COUNTER = counter_for("o200k_base")
MINI = facts("gpt-4o-mini")
REPLY = 3
LONGEST_LABEL = 70  # tokens that a label takes at most


def sent(wanted: Wanted, dialect: Dialect | None = None, model: ModelFacts = MINI) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in build(wanted, model, dialect or Dialect(), COUNTER).messages]


def said(author: str, text: str, **more: str) -> Message:
    return Message(author, text, **more)  # type: ignore[arg-type]


# --- the invariants ---------------------------------------------------------------------------------------------------


def check(case: Case) -> str:
    """Build, hold the prompt to every promise, and say in a word how it went."""
    wanted = case.wanted
    messages = list(wanted.history.messages) if wanted.history else []
    newest = wanted.message if isinstance(wanted.message, str) else wanted.message.text
    try:
        prompt = build(wanted, case.facts, case.dialect, COUNTER)
    except DoesNotFit as error:
        check_does_not_fit(error, recount_alone(case, newest))
        return "does not fit"
    except InvalidInput:
        assert not wanted.instructions.strip()
        assert not newest.strip()
        return "nothing to send"
    check_fits(prompt, case)
    check_order_and_texts(prompt, case, messages, newest)
    check_roles_and_names(prompt, case, messages)
    check_dropped(prompt, case, messages)
    again = build(wanted, case.facts, case.dialect, Counter("o200k_base"))
    assert again == prompt
    reasons = [dropped.reason for dropped in prompt.dropped] or ["whole"]
    return "window" if "window" in reasons else reasons[0]


def check_does_not_fit(error: DoesNotFit, whole: int) -> None:
    tokens, budget = error.details["tokens"], error.details["budget"]
    assert whole <= tokens <= whole + LONGEST_LABEL
    assert tokens > budget


def recount_alone(case: Case, newest: str) -> int:
    system = case.wanted.instructions
    if not system.strip() and case.wanted.history:
        first = []
        for message in case.wanted.history.messages:
            if message.role != "system":
                break
            first.append(message.text)
        system = "\n\n".join(text for text in first if text.strip())
    parts = [text for text in (system, newest) if text.strip()]
    return REPLY + sum(4 + tokens_of(as_sent(text)) for text in parts)


def check_fits(prompt: Prompt, case: Case) -> None:
    counted = REPLY + recount(prompt.messages)
    assert counted <= prompt.tokens
    assert prompt.tokens == REPLY + sum(prompt.each)
    if prompt.exact:
        assert counted == prompt.tokens
    windows = [w for w in (case.facts.window, case.dialect.window) if w is not None]
    if windows:
        assert prompt.tokens + case.wanted.reply_tokens <= min(windows) - MARGIN
    history = [m for m, source in zip(prompt.messages, prompt.sources, strict=True) if source >= 0]
    if prompt.budget.history is not None and not prompt.merged:
        assert recount(history) <= prompt.budget.history
    if case.wanted.history_tokens is not None and prompt.budget.history is not None:
        assert prompt.budget.history <= case.wanted.history_tokens


def check_order_and_texts(prompt: Prompt, case: Case, messages: list[Message], newest: str) -> None:
    sources = prompt.sources
    history = [source for source in sources if source >= 0]
    assert sources == ([-2] if -2 in sources else []) + sorted(history) + ([-1] if -1 in sources else [])
    assert places(prompt) == list(range(len(messages)))
    if case.wanted.instructions.strip():
        assert prompt.messages[0].content == as_sent(case.wanted.instructions)
        assert prompt.messages[0].role == case.dialect.instructions_role
    if newest.strip():
        assert sources[-1] == -1
        assert prompt.messages[-1].role == "user"
        assert prompt.messages[-1].content.endswith(as_sent(newest))
    texts = dict(zip(sources, (m.content for m in prompt.messages), strict=True))
    for at, message in enumerate(messages):
        if at in prompt.merged:
            later = min((s for s in sources if s > at), default=-1)
            assert as_sent(message.text) in texts[later]
        elif at in texts:
            assert texts[at].endswith(as_sent(message.text))
            if prompt.speakers != "prefix" and not prompt.merged:
                assert texts[at] == as_sent(message.text)


def check_roles_and_names(prompt: Prompt, case: Case, messages: list[Message]) -> None:
    names: dict[str, str] = {}
    for message, source in zip(prompt.messages, prompt.sources, strict=True):
        if source >= 0:
            assert case.wanted.history is not None
            assert (message.role == "assistant") == is_assistant(messages[source], case.wanted.history.assistant)
        if message.name is not None:
            assert (message.role, prompt.speakers) == ("user", "name")
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", message.name)
            if source >= 0:
                author = messages[source].author
                assert names.setdefault(author.id or author.name, message.name) == message.name
    assert len(set(names.values())) == len(names)
    if case.dialect.alternate:
        roles = [m.role for m in prompt.messages if m.role not in ("system", "developer")]
        assert all(left != right for left, right in itertools.pairwise(roles))
        assert roles[:1] != ["assistant"]
    if case.wanted.speakers == "off":
        assert prompt.speakers == "off"
    if any(dropped.reason in ("budget", "window") for dropped in prompt.dropped):
        first = next((m for m, s in zip(prompt.messages, prompt.sources, strict=True) if s != -2), None)
        assert first is None or first.role == "user"


def check_dropped(prompt: Prompt, case: Case, messages: list[Message]) -> None:
    for dropped in prompt.dropped:
        for at in range(dropped.first, dropped.last + 1):
            if dropped.reason == "empty":
                assert not messages[at].text.strip()
            elif dropped.reason in ("system", "tool"):
                assert messages[at].role == dropped.reason
    cut = [dropped.last for dropped in prompt.dropped if dropped.reason == "budget"]
    if cut and prompt.budget.history is not None:  # nothing was dropped that would have fitted
        kept = sum(4 + tokens_of(as_sent(m.text)) for m in messages[cut[0] : len(messages)] if m.text.strip())
        people = len({(m.author.id or m.author.name) for m in messages}) + 1
        labels = LONGEST_LABEL + LABEL_SLACK if people > 1 and case.wanted.speakers != "off" else 0
        assert kept + labels * (len(messages) - cut[0]) > prompt.budget.history


def test_ten_thousand_conversations_keep_every_promise() -> None:
    rnd = random.Random(20261122)
    went = Tally(check(random_case(rnd)) for _ in range(10_000))
    # The generator must reach every outcome often, or the promises were not tried.
    for outcome in ("whole", "budget", "window", "empty", "system", "tool", "does not fit", "nothing to send"):
        assert went[outcome] >= 50, went


@settings(max_examples=200)
@given(st.randoms(use_true_random=False))
def test_a_conversation_keeps_every_promise(rnd: random.Random) -> None:
    check(random_case(rnd))


@settings(max_examples=200)
@given(st.randoms(use_true_random=False))
def test_what_fits_by_its_bytes_is_the_same_prompt(rnd: random.Random) -> None:
    case = random_case(rnd)
    try:
        rough = build(case.wanted, case.facts, case.dialect, ByteCounter())
        exact = build(case.wanted, case.facts, case.dialect, COUNTER)
    except (InvalidInput, DoesNotFit):
        return
    assert not rough.exact
    assert rough.tokens >= exact.tokens or any(dropped.reason == "budget" for dropped in rough.dropped)
    if not any(dropped.reason == "budget" for dropped in rough.dropped):
        assert rough.messages == exact.messages


# --- the newest message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "last", "times"),
    [
        ("open?", said("Ana", "open?"), 1),
        ("open?", said("Ana", "Open?"), 2),
        ("open?", said("Robo", "open?"), 2),
        (said("Ana", "open?"), said("Ana", "open?"), 1),
        (said("Ana", "open?"), said("Bo", "open?"), 2),
        (said("Ana", "open?", id="1"), said("Ana", "open?"), 1),
        (said("Ana", "open?", id="1"), said("Ana", "open?", id="2"), 2),
        (said("Ana", "open? (edited)", id="1"), said("Ana", "open?", id="1"), 1),
        (said("Robo", "open?", id="1"), said("Robo", "open?", id="1"), 1),
    ],
)
def test_the_newest_message_is_sent_once_when_the_history_ends_with_it(
    message: str | Message, last: Message, times: int
) -> None:
    history = History("Robo", [said("Ana", "hi"), said("Robo", "hello"), last])
    prompt = build(Wanted(message=message, history=history, speakers="off"), MINI, Dialect(), COUNTER)
    assert len(prompt.messages) == 2 + times
    assert prompt.messages[-1].role == "user"
    assert prompt.repeated == (2 if times == 1 else None)
    assert prompt.dropped == ()


def test_what_was_said_three_times_is_sent_three_times() -> None:
    turns = [said("Ana", "tell me more"), said("Robo", "so"), said("Ana", "tell me more"), said("Robo", "and so")]
    texts = [text for _, text in sent(Wanted(message="tell me more", history=History("Robo", turns)))]
    assert texts.count("tell me more") == 3


@pytest.mark.parametrize("blank", ["", " \n"])
def test_blank_instructions_and_messages_are_not_sent(blank: str) -> None:
    assert sent(Wanted(instructions=blank, message="hi")) == [("user", "hi")]
    assert sent(Wanted(instructions="Help.", message=blank)) == [("system", "Help.")]
    with pytest.raises(InvalidInput, match="nothing to send") as caught:
        sent(Wanted(instructions=blank, message=blank, history=History("Robo", [])))
    assert caught.value.place == "message"


def test_white_space_around_texts_is_kept() -> None:
    assert sent(Wanted(instructions=" Help.\n", message=" hi ")) == [("system", " Help.\n"), ("user", " hi ")]


# --- who is who -------------------------------------------------------------------------------------------------------


def test_several_assistants_by_id_and_by_name() -> None:
    staff, bot, guest = Author("Mia", id="7"), Author("Robo"), Author("Mia", id="8")
    turns = [Message(guest, "1"), Message(staff, "2"), Message(bot, "3"), Message(guest, "4")]
    prompt = build(Wanted(history=History(("7", "Robo"), turns), speakers="off"), MINI, Dialect(), COUNTER)
    assert [m.role for m in prompt.messages] == ["user", "assistant", "assistant", "user"]


def test_messages_in_the_protocols_shape_keep_their_roles_also_beside_a_named_assistant() -> None:
    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"author": "Robo", "text": "3"}]
    assert [role for role, _ in sent(Wanted(history=History("Robo", turns)))] == ["user", "assistant", "assistant"]


def test_a_history_that_does_not_say_who_the_assistant_is() -> None:
    for message in ("", "hi"):
        with pytest.raises(InvalidInput) as caught:
            sent(Wanted(message=message, history=History((), [said("Ana", "hi")])))
        assert caught.value.place == "history.assistant"
        assert "'Ana'" in str(caught.value)


def test_a_misspelt_assistant_is_warned_of() -> None:
    turns = [said("Ana", "hi"), said("Robo", "hello")]
    warned = build(Wanted(history=History("robo", turns)), MINI, Dialect(), COUNTER).warnings
    assert len(warned) == 1
    assert "'robo'" in warned[0]
    assert "'Robo'" in warned[0]
    assert build(Wanted(history=History("Robo", turns)), MINI, Dialect(), COUNTER).warnings == ()
    assert build(Wanted(history=History("Robo", turns[:1])), MINI, Dialect(), COUNTER).warnings == ()


def test_system_messages_of_the_history_instruct_where_nothing_else_does() -> None:
    turns = [said("x", "A.", role="system"), said("x", "B.", role="system"), said("Ana", "hi")]
    history = History("Robo", turns)
    prompt = build(Wanted(history=history), MINI, Dialect(), COUNTER)
    assert [(m.role, m.content) for m in prompt.messages] == [("system", "A.\n\nB."), ("user", "hi")]
    assert (prompt.leading, prompt.dropped) == (2, ())
    prompt = build(Wanted(instructions="C.", history=history), MINI, Dialect(), COUNTER)
    assert [m.content for m in prompt.messages] == ["C.", "hi"]
    assert (prompt.leading, prompt.dropped) == (0, (Dropped("system", 0, 1),))


# --- telling people apart ---------------------------------------------------------------------------------------------

MARK = hashlib.blake2s(b"1", digest_size=3).hexdigest()  # what a twin of the author with id 1 gets
CROWD = (
    Author("José 🦊"),
    Author("Jose"),
    Author("José"),
    Author("a.b"),
    Author("a b"),
    Author("n" * 80),
    Author("n" * 80 + "!"),
    Author("Ana", id="1"),
    Author("Ana", id="2"),
    Author(f"Ana_{MARK}"),
    Author(f"Ana ({MARK})"),
    Author("李"),
    Author("🦊"),
    Author(""),
    Author("x: y\nz"),
    Author("\u200b\u202e"),
    Author("user"),
)


@pytest.mark.parametrize("speakers", ["auto", "name", "prefix"])
@pytest.mark.parametrize("names", [True, False])
def test_people_have_safe_and_distinct_labels(speakers: str, names: bool) -> None:
    history = History("Robo", [Message(author, "hi") for author in CROWD])
    wanted = Wanted(history=history, message="you all", speakers=speakers)  # type: ignore[arg-type]
    prompt = build(wanted, MINI, Dialect(names=names), COUNTER)
    if speakers == "name" or (speakers == "auto" and names):
        labels = [m.name for m in prompt.messages[:-1]]
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", label or "") for label in labels)
        assert [m.content for m in prompt.messages] == ["hi"] * len(CROWD) + ["you all"]
        assert "Jose" in labels
    else:
        labels = [m.content.removesuffix(": hi") for m in prompt.messages[:-1]]
        assert all(0 < len(label) <= 64 and label.isprintable() and ":" not in label for label in labels if label)
        assert prompt.messages[-1].content == "you all"
        assert "José" in labels
    assert len(set(labels)) == len(CROWD)
    assert prompt.speakers == ("name" if speakers == "name" or (speakers == "auto" and names) else "prefix")


def test_a_person_keeps_the_label_until_a_namesake_speaks() -> None:
    ana, bo = Author("Ana é", id="1"), Author("Bo")
    turns = [Message(ana, "1"), Message(bo, "2")]
    first = build(Wanted(history=History("R", turns)), MINI, Dialect(names=True), COUNTER)
    assert [m.name for m in first.messages] == ["Ana_e", "Bo"]
    turns = [*turns, Message(Author("Cy"), "3"), Message(ana, "4")]
    later = build(Wanted(history=History("R", turns)), MINI, Dialect(names=True), COUNTER)
    assert [m.name for m in later.messages] == ["Ana_e", "Bo", "Cy", "Ana_e"]
    turns[2] = Message(Author("Ana è", id="3"), "3")
    later = build(Wanted(history=History("R", turns)), MINI, Dialect(names=True), COUNTER)
    assert later.messages[0].name == later.messages[3].name != later.messages[2].name


def test_auto_tells_nobody_apart_until_two_people_speak() -> None:
    turns = [said("Ana", "1"), said("Robo", "2"), said("Ana", "3")]
    alone = build(Wanted(history=History("Robo", turns), message=said("Ana", "4")), MINI, Dialect(names=True), COUNTER)
    assert (alone.speakers, {m.name for m in alone.messages}) == ("off", {None})
    two = build(Wanted(history=History("Robo", turns), message=said("Bo", "4")), MINI, Dialect(names=True), COUNTER)
    assert [m.name for m in two.messages] == ["Ana", None, "Ana", "Bo"]
    off = build(
        Wanted(history=History("Robo", turns), message=said("Bo", "4"), speakers="off"),
        MINI,
        Dialect(names=True),
        COUNTER,
    )
    assert {m.name for m in off.messages} == {None}


def test_one_person_does_not_pay_for_labels_that_are_not_sent() -> None:
    turns = [said("A person with a very long name indeed", "yes") for _ in range(100)]
    prompt = build(
        Wanted(history=History("Robo", turns), history_tokens=100), MINI, Dialect(names=True, window=5000), COUNTER
    )
    assert len(prompt.messages) == 100 // 5


@pytest.mark.parametrize(
    "dialect", [Dialect(names=True, refused=frozenset({"name"})), Dialect(names=True, alternate=True)]
)
@pytest.mark.parametrize("speakers", ["auto", "name"])
def test_where_names_are_refused_the_speaker_stands_in_front(dialect: Dialect, speakers: str) -> None:
    turns = [said("Ana", "1"), said("Robo", "2"), said("Bo", "3")]
    wanted = Wanted(history=History("Robo", turns), speakers=speakers)  # type: ignore[arg-type]
    prompt = build(wanted, MINI, dialect, COUNTER)
    assert [m.content for m in prompt.messages] == ["Ana: 1", "2", "Bo: 3"]
    assert {m.name for m in prompt.messages} == {None}


def test_neighbours_are_merged_for_a_server_that_wants_turns() -> None:
    turns = [
        said("Robo", "0"),
        said("Ana", "1"),
        said("Bo", "2"),
        said("Robo", "3"),
        said("Robo", "4"),
        said("Ana", "5"),
    ]
    prompt = build(
        Wanted(instructions="S", message="6", history=History("Robo", turns)), MINI, Dialect(alternate=True), COUNTER
    )
    assert [(m.role, m.content) for m in prompt.messages] == [
        ("system", "S"),
        ("user", "Ana: 1\n\nBo: 2"),
        ("assistant", "3\n\n4"),
        ("user", "Ana: 5\n\n6"),
    ]
    assert (prompt.sources, prompt.merged) == ([-2, 2, 4, -1], (1, 3, 5))
    assert prompt.dropped == (Dropped("starts with assistant", 0, 0),)
    assert not prompt.exact


# --- the budget -------------------------------------------------------------------------------------------------------


def test_as_much_of_the_end_as_fits_is_kept() -> None:
    turns = [said("Ana" if at % 2 else "Robo", "yes") for at in range(100)]
    model = ModelFacts(name="m", known=True, window=8 + MARGIN + 256 + 5 * 20)
    prompt = build(Wanted(message="hello", history=History("Robo", turns)), model, Dialect(), COUNTER)
    assert prompt.dropped == (Dropped("budget", 0, 79), Dropped("starts with assistant", 80, 80))
    assert (prompt.tokens, prompt.exact) == (8 + 5 * 19, True)
    assert prompt.dropped_count == 81


def test_without_a_cut_a_history_may_begin_with_the_assistant() -> None:
    turns = [said("Robo", "Welcome!"), said("Ana", "hi")]
    assert sent(Wanted(history=History("Robo", turns))) == [("assistant", "Welcome!"), ("user", "hi")]


def test_what_is_too_long_alone_says_by_how_much() -> None:
    model = ModelFacts(name="m", known=True, window=300)
    with pytest.raises(DoesNotFit) as caught:
        sent(Wanted(message="word " * 100, reply_tokens=256), model=model)
    assert caught.value.details["tokens"] > caught.value.details["budget"] == 300 - 256 - MARGIN
    assert "Max Tokens" in (caught.value.hint or "")


def test_an_unknown_model_has_no_budget_and_sends_everything() -> None:
    turns = [said("Ana", "word " * 50) for _ in range(2000)]
    prompt = build(Wanted(history=History("Robo", turns)), facts("my-own-model"), Dialect(), COUNTER)
    assert (len(prompt.messages), prompt.budget.total, prompt.exact) == (2000, None, False)


def test_the_published_example_counts_eight() -> None:
    assert build(Wanted(message="hello"), MINI, Dialect(), COUNTER).tokens == 8


class Watched(list[Message]):
    """A history that counts how often one of its messages is looked at."""

    looks = 0

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        self.looks += len(range(*at.indices(len(self)))) if isinstance(at, slice) else 1
        return super().__getitem__(at)


def test_a_long_history_costs_what_its_tail_costs() -> None:
    turns = Watched(said("Ana" if at % 2 else "Robo", "yes") for at in range(50_000))
    history = History("Robo", turns)
    assert history.messages is turns
    turns.looks = 0
    prompt = build(Wanted(message="hello", history=history, history_tokens=1000), MINI, Dialect(), COUNTER)
    assert len(prompt.messages) > 190
    assert turns.looks < 1000
