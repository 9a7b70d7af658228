"""Texts split for a platform's limit: nothing lost, nothing too long, nothing torn."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.errors import InvalidInput
from chatstep.parts import split_text


def ink(text: str) -> str:
    """All that is not white space."""
    return "".join(text.split())


def without_fences(text: str) -> str:
    return re.sub("[`~]", "", text).replace("python", "")


def is_inside_code(text: str) -> bool:
    """Whether the text ends inside a code block, read line by line."""
    fence = ""
    for line in text.split("\n"):
        found = re.match(r" {0,3}(`{3,}|~{3,})([^`]*)$", line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return bool(fence)


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("", 20, ()),
        (" \n\t", 20, ()),
        ("short", 20, ("short",)),
        ("  indented\nas it is", 20, ("  indented\nas it is",)),
        ("one paragraph\n\nand another one", 20, ("one paragraph", "and another one")),
        ("one line here\nand another one", 20, ("one line here", "and another one")),
        ("One sentence. And another one", 20, ("One sentence.", "And another one")),
        ('He said "Stop it." And then left', 20, ('He said "Stop it."', "And then left")),
        ("これは文です。「そうですか。」はい、そうです。", 20, ("これは文です。「そうですか。」", "はい、そうです。")),
        ("some words without any end", 20, ("some words without", "any end")),
        ("x" * 45, 20, ("x" * 20, "x" * 20, "x" * 5)),
        ("\n\na b c d e\n\n\n\nf" + "g" * 18 + "\n\n\n", 20, ("a b c d e", "f" + "g" * 18)),
    ],
)
def test_where_a_reader_would_split(text: str, limit: int, parts: tuple[str, ...]) -> None:
    assert split_text(text, limit) == parts


@pytest.mark.parametrize("limit", [19, 0, -1])
def test_a_limit_too_small(limit: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_text("text", limit)
    assert caught.value.place == "part_length"


def test_a_code_block_is_closed_and_opened_again() -> None:
    code = "\n".join(f"    line_{number} = {number}" for number in range(12))
    text = f"Look:\n\n```python\n{code}\n```\n\nThat is all."
    parts = split_text(text, 120)
    assert len(parts) > 2
    assert all(len(part) <= 120 for part in parts)
    assert parts[0].startswith("Look:\n\n```python\n")
    assert parts[0].endswith("\n```")
    assert parts[1].startswith("```python\n    line_")
    assert parts[-1].endswith("That is all.")
    assert all(part.count("```") % 2 == 0 for part in parts)
    assert "\n".join(re.findall(r" {4}line.*", "\n".join(parts))) == code


def test_no_empty_code_block_is_left_over() -> None:
    text = "```\n" + "a" * 20 + "\n" + "b" * 20 + "\n```\nend"
    parts = split_text(text, 32)
    assert parts == ("```\n" + "a" * 20 + "\n```", "```\n" + "b" * 20 + "\n```\nend")


@pytest.mark.parametrize("fence", ["````", "~~~", "``````"])
def test_a_fence_is_closed_by_one_of_its_own_kind(fence: str) -> None:
    text = f"{fence}md\n" + "```\nword word\n" * 10 + f"{fence}\nend"
    for limit in (40, 57, 80):
        parts = split_text(text, limit)
        assert all(len(part) <= limit and not is_inside_code(part) for part in parts)


@pytest.mark.parametrize(
    "sign",
    [
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "👍🏽",
        "e\u0301",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        "नि",
        "🏴\U000e0067\U000e0062\U000e007f",
    ],
)
def test_what_shows_as_one_sign_is_not_cut(sign: str) -> None:
    for before in range(20):
        parts = split_text("x" * before + sign * 30, 20)
        assert "".join(parts) == "x" * before + sign * 30
        for part in parts:
            rest = part.lstrip("x")
            assert rest == sign * (len(rest) // len(sign))


PIECES = st.sampled_from(
    [
        "word",
        " ",
        "\n",
        "\n\n",
        ". ",
        "。",
        '."',
        "\n```\n",
        "\n```python\n",
        "\n````\n",
        "\n~~~\n",
        "`",
        "```",
        "🦊",
        "👩\u200d👧",
        "e\u0301",
        "a-long-word-without-a-border",
        "    ",
        "\t",
        "a\u0300\u0301" * 5,
    ]
)


@settings(max_examples=600)
@given(st.lists(PIECES, max_size=60).map("".join), st.integers(20, 90))
def test_parts_are_short_and_hold_everything(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert all(0 < len(part) <= limit for part in parts)
    assert all(part.strip() for part in parts)
    if "```" not in text and "~~~" not in text:
        assert "".join(map(ink, parts)) == ink(text)
    else:  # fences are added where a block was cut; nothing else is
        assert without_fences("".join(map(ink, parts))) == without_fences(ink(text))


LINES = st.sampled_from(["word word", "", "x" * 30, "```", "```py", "~~~", "````", "🦊 fox.", "  indented"])


@settings(max_examples=600)
@given(st.lists(LINES, max_size=40).map("\n".join), st.integers(40, 90))
def test_every_part_but_the_last_closes_its_code(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert all(len(part) <= limit for part in parts)
    assert not any(is_inside_code(part) for part in parts[:-1])
    if not is_inside_code(text):
        assert not any(is_inside_code(part) for part in parts)


@settings(max_examples=300)
@given(st.text(max_size=300), st.integers(20, 60))
def test_any_text_is_kept(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert all(len(part) <= limit for part in parts)
    if not set("`~") & set(text):
        assert "".join(map(ink, parts)) == ink(text)


def test_hostile_texts_do_not_crumble() -> None:
    for text in (
        "a\u0301" * 100_000,
        "\u0301" * 200_000,
        "`" * 200_000,
        "\n \n" * 50_000,
        "🇩" * 100_000,
        "a " * 300_000,
    ):
        parts = split_text(text, 2000)
        assert len(parts) < 2 * len(text) / 1900


def test_only_marks_join_letters() -> None:
    assert unicodedata.category("\u0301") == "Mn"
    assert split_text("\u00e9" * 40, 20) == ("\u00e9" * 20, "\u00e9" * 20)
