"""Token counts: against ids made by another implementation, on hostile texts, from the cache, and without splintr."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splintr import Tokenizer

from chatstep.modules.openai.models import Encoding
from chatstep.modules.openai.tokens import (
    LONG_TEXT,
    PER_MESSAGE,
    PER_NAME,
    REPLY,
    Counter,
    count,
    counter_for,
    message_tokens,
)

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "data/tokens.json").read_text("utf-8"))
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
TOKENIZERS = {encoding: Tokenizer.from_pretrained(encoding) for encoding in ENCODINGS}
KINDS = sorted({case["kind"] for case in GOLDEN["cases"]})


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_counts_are_those_of_the_reference(kind: str, encoding: Encoding) -> None:
    for case in GOLDEN["cases"]:
        if case["kind"] == kind:
            ids = TOKENIZERS[encoding].encode_ordinary(case["text"])
            assert ids == case[encoding], repr(case["text"])
            assert count(case["text"], encoding) == len(ids), repr(case["text"])


def test_the_golden_texts_are_many_and_of_many_kinds() -> None:
    assert len({case["text"] for case in GOLDEN["cases"]}) >= 200
    assert len(KINDS) >= 15


@pytest.mark.parametrize("case", GOLDEN["other_ids_in_o200k"], ids=lambda case: ascii(case["text"]))
def test_the_one_known_difference_moves_a_count_by_one_at_most(case: dict[str, Any]) -> None:
    # A contraction right after `'` and U+017F is split otherwise in o200k_base.
    assert abs(count(case["text"], "o200k_base") - len(case["o200k_base"])) <= 1
    assert count(case["text"], "cl100k_base") == len(case["cl100k_base"])


def test_text_that_spells_a_special_token_is_text() -> None:
    assert count("<|endoftext|>") == 7
    assert count("<|im_start|>") > 1


def test_overhead_of_a_message() -> None:
    counter = Counter("o200k_base")
    assert message_tokens(counter, "hello") + REPLY == 8
    assert message_tokens(counter, "hello", "ana") == PER_MESSAGE + 1 + PER_NAME + count("ana")
    assert message_tokens(counter, "") == PER_MESSAGE


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool", "developer"])
def test_the_word_of_a_role_is_one_token(role: str, encoding: Encoding) -> None:
    assert count(role, encoding) == 1


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "ok \ud83d", "\udc80" * 10])
def test_lone_surrogates_count_as_what_is_sent_for_them(text: str) -> None:
    sent = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    assert count(text) == count(sent)
    assert Counter("o200k_base")[text] == count(sent)


@given(st.text(st.characters()))
def test_any_text_has_a_count_bounded_by_its_bytes(text: str) -> None:
    tokens = count(text)
    assert (tokens > 0) == bool(text)
    assert tokens <= len(text.encode("utf-8", "surrogatepass"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("a" * 1_000_000, 125_000, 125_100),
        (" " * 4_000_000, 31_250, 31_400),
        ("\n" * 2_000_000, 31_250, 125_100),
        ("\U0001f600" * 500_000, 500_000, 1_000_000),
        ("\u6f22" * 1_000_000, 1_000_000, 1_000_100),
        ("'" * 1_000_000, 31_250, 250_100),
    ],
    ids=["letters", "spaces", "newlines", "emoji", "ideographs", "quotes"],
)
def test_endless_runs_end(text: str, least: int, most: int) -> None:
    assert least <= count(text) <= most


PHRASES = (
    "the river",
    "kept its name —",
    "and, in 1994,",
    "don't ask why;",
    "Übung",
    "наука",
    "漢字",
    "<br/>\n",
    "( x_y )",
)


def _prose(length: int) -> str:
    chance = random.Random(4)
    gaps = (" ", " ", " ", "\n", "  ", "\n\n\t ")
    return "".join(chance.choice(PHRASES) + chance.choice(gaps) for _ in range(length // 5))[:length]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_long_text_is_counted_in_pieces_without_changing_the_count(encoding: Encoding) -> None:
    text = _prose(LONG_TEXT * 4 + 17)
    assert len(text) > 3 * LONG_TEXT
    assert count(text, encoding) == len(TOKENIZERS[encoding].encode_ordinary(text))


@pytest.mark.timeout(60)
def test_a_message_of_five_megabytes() -> None:
    letters = random.Random(2)
    text = "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=5_000_000))
    whole = len(TOKENIZERS["o200k_base"].encode_ordinary(text[: LONG_TEXT * 2]))
    assert abs(count(text[: LONG_TEXT * 2]) - whole) <= 8
    assert count(text) > 1_000_000


def test_a_surrogate_deep_inside_a_long_text() -> None:
    text = "word " * 60_000
    assert count(f"{text}\ud800") == count(f"{text}\ufffd")


def test_a_counter_remembers_and_its_memory_is_bounded() -> None:
    counter = Counter("o200k_base", room=20_000)
    texts = [f"message {number}" for number in range(1_000)]
    assert [counter[text] for text in texts] == [count(text) for text in texts]
    assert texts[-1] in counter
    assert len(counter) < 200
    assert [counter(text) for text in texts] == [count(text) for text in texts]


def test_a_text_in_use_survives_the_change_of_generations() -> None:
    counter = Counter("cl100k_base", room=20_000)
    for number in range(1_000):
        assert counter["in use"] == 2
        counter[f"message {number}"]
    assert "in use" in counter or "in use" in counter._old


def test_a_huge_text_is_remembered_without_being_kept() -> None:
    counter = Counter("o200k_base")
    text = _prose(50_000)
    assert counter[text] == counter[text] == count(text)
    assert text not in counter


def test_the_process_shares_one_counter_per_encoding() -> None:
    assert counter_for("o200k_base") is counter_for("o200k_base")
    assert counter_for("cl100k_base").encoding == "cl100k_base"
    assert counter_for("o200k_base").exact


WITHOUT_SPLINTR = r"""
import sys
sys.modules["splintr"] = None
from chatstep.modules.openai.tokens import Counter, count
counter = Counter("o200k_base")
assert not counter.exact
assert [count(text) for text in ("", "a", "abc", "abcd", "\u6f22", "\ud800")] == [0, 1, 1, 2, 1, 1]
assert counter["abcd"] == 2
assert count(" " * 3_000_000) == 1_000_000
print("estimated")
"""


def test_without_splintr_counts_are_estimates_and_say_so() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_SPLINTR], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("estimated", "")


def test_the_tokenizer_is_loaded_only_when_counting() -> None:
    asked = """
import sys
from chatstep.modules.openai.tokens import Counter
Counter("o200k_base")
print("splintr" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
