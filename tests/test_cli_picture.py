"""The picture of a prompt: rows, bars, the cut, budgets, money, and what is left out; as text and as data."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len

from chatstep.cli.drawing import bar, fitted, visible
from command_line import Commands

LONG = [
    {"author": {"name": name, "id": f"u{len(name)}"}, "text": f"Message {at} about " + "leeks and beans " * 12}
    for at in range(60)
    for name in [("Ana", "Zoë 🌿", "Robo")[at % 3]]
]


@pytest.fixture
def long(chatstep: Commands) -> str:
    """A file of 60 messages, of which 2,000 tokens take only a part."""
    return chatstep.file("long.json", {"assistant": "Robo", "messages": LONG})


def drawn(chatstep: Commands, *args: str) -> list[str]:
    return chatstep("complete", *args, "--dry-run").stdout.splitlines()


def short(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_a_row_per_message(chatstep: Commands) -> None:
    """Number, role, label, tokens, a bar, the text; instructions and newest message are marked."""
    path = chatstep.file("t.json", [{"author": "Ana", "text": "One"}, {"author": "Ben", "text": "Two " * 9}])
    rows = short(drawn(chatstep, "Three", "--name", "Ana", "--history", path, "--assistant", "Ben", "-s", "Be kind."))
    assert "# Role Tokens Text" in rows
    assert any(re.fullmatch(r"instr\. system 7 \S+ Be kind\.", row) for row in rows)
    assert any(re.fullmatch(r"1 user 5 \S+ One", row) for row in rows)
    assert any(re.fullmatch(r"2 assistant 1\d █+ (Two )+Two", row) for row in rows)
    assert any(re.fullmatch(r"newest user 5 \S+ Three", row) for row in rows)


@pytest.mark.parametrize("speakers", ["name", "prefix"])
def test_labels_as_they_are_sent(chatstep: Commands, long: str, speakers: str) -> None:
    """Beside the message or in front of its text; the text is shown without it."""
    rows = short(drawn(chatstep, "And?", "--history", long, "--speakers", speakers, "-o", "history_tokens", "300"))
    assert f"# Role {speakers.capitalize()} Tokens Text" in rows
    label = "Zoe" if speakers == "name" else "Zoë 🌿"
    assert any(re.match(rf"\d+ user {label} \d+ █\S* Message", row) for row in rows)
    told = report(chatstep, "And?", "--history", long, "--speakers", speakers)
    assert told["speakers"] == speakers
    assert {row["speaker"] for row in told["rows"]} == {None, "Ana", label}
    assert all(row["text"].startswith("Message") for row in told["rows"][:-1])


def report(chatstep: Commands, *args: str) -> Any:
    import json

    return json.loads(chatstep("complete", *args, "--dry-run", "--report").stdout)


def test_the_cut(chatstep: Commands, long: str) -> None:
    """A line where older messages are missing, with the reasons; all of them are accounted for."""
    args = ("And?", "--history", long, "-o", "history_tokens", "2000")
    lines = drawn(chatstep, *args)
    (cut,) = [line for line in lines if "older messages left out" in line]
    total, fit, steady = map(int, re.findall(r"\d+", cut))
    assert total == fit + steady
    assert f"{fit} do not fit, {steady} for a steady start" in cut
    first = short(lines)[lines.index(cut) + 1]
    assert first.startswith(f"{total + 1} user")
    told = report(chatstep, *args)
    assert sum(item["last"] - item["first"] + 1 for item in told["dropped"]) == total
    assert sum(row["source"] == "history" for row in told["rows"]) == 60 - total
    assert told["history_tokens"] <= told["history_budget"] == 2000


def test_long_prompts_are_shown_in_part(chatstep: Commands, long: str) -> None:
    """The first 6, the last 12, and a line for those between; with --full all of them."""
    lines = short(drawn(chatstep, "And?", "--history", long))
    rows = [line for line in lines if re.match(r"(\d+|newest) (user|assistant) ", line)]
    assert len(rows) == 18
    (more,) = [line for line in lines if line.startswith("… 43 more messages, ")]
    full = short(chatstep("complete", "And?", "--history", long, "--dry-run", "--full").stdout.splitlines())
    assert len([line for line in full if re.match(r"(\d+|newest) (user|assistant) ", line)]) == 61
    hidden = int(more.split(", ")[1].split()[0].replace(",", ""))
    told = report(chatstep, "And?", "--history", long)
    assert sum(row["tokens"] for row in told["rows"][6:-12]) == hidden


def test_the_newest_message_may_be_there_already(chatstep: Commands) -> None:
    """It is sent once, and that is said."""
    path = chatstep.file("t.json", [{"author": "Robo", "text": "Hello"}, {"author": "Ana", "text": "Well?"}])
    lines = short(drawn(chatstep, "Well?", "--history", path, "--assistant", "Robo"))
    assert "Sent once the newest message, with which the history ends already (number 2)" in lines
    assert report(chatstep, "Well?", "--history", path, "--assistant", "Robo")["repeated"] == 1


def test_what_is_dropped_in_the_middle(chatstep: Commands) -> None:
    """A line per reason, with the first places."""
    talk = [{"role": "user", "content": "Hi"}]
    for _ in range(5):
        talk += [{"role": "tool", "content": "42"}, {"role": "assistant", "content": "Aha"}]
    path = chatstep.file("t.json", talk)
    lines = short(drawn(chatstep, "Well?", "--history", path))
    assert "Left out messages 2, 4, 6 and 2 more places: a tool's messages (5)" in lines
    assert not any("older messages left out" in line for line in lines)


def test_what_the_cache_saves(chatstep: Commands, long: str) -> None:
    """Said where the price is known, the prompt is long enough and its beginning stays; it is an estimate."""
    told = report(chatstep, "And?", "--history", long)
    cache = told["cache"]
    assert cache["tokens"] % 128 == 0
    assert 1024 <= cache["tokens"] < told["tokens"]
    assert float(cache["next"]) < float(cache["first"]) == pytest.approx(float(told["cost"][0]))
    assert any(
        "(an estimate)" in line and "instead of" in line
        for line in [" ".join(drawn(chatstep, "And?", "--history", long))]
    )
    small = ("-o", "history_tokens", "2000")
    assert report(chatstep, "And?", "--history", long, *small)["cache"] is not None
    assert report(chatstep, "And?", "--history", long, *small, "-o", "window", "newest")["cache"] is None
    assert report(chatstep, "And?", "--history", long, "-m", "nobody-knows-this")["cache"] is None
    assert report(chatstep, "And?", "--history", long, "--connection", "rehearsal")["cache"] is None
    assert report(chatstep, "And?")["cache"] is None


def test_budgets_as_bars(chatstep: Commands, long: str) -> None:
    """Tokens against what fits, and the history's against what it may take."""
    lines = short(drawn(chatstep, "And?", "--history", long, "-o", "history_tokens", "2000"))
    assert any(re.fullmatch(r"Prompt \S*░+ [\d,]+ of 127,728 tokens \(exact\)", line) for line in lines)
    assert any(re.fullmatch(r"History █+\S*░* [\d,]+ of 2,000 tokens", line) for line in lines)


@pytest.mark.parametrize(
    ("args", "place"),
    [(["--report"], "--report"), (["--full"], "--full"), (["--dry-run", "--report", "--json"], "--report")],
)
def test_options_that_contradict(chatstep: Commands, args: list[str], place: str) -> None:
    """Each names what it belongs to."""
    assert place in chatstep("complete", "Hi", *args, code=2).stderr


def test_texts_do_nothing_to_a_terminal(chatstep: Commands) -> None:
    """Names and texts of others are shown without their codes; a pipe gets lines of 120 at most."""
    wild = [{"author": "一" * 40, "text": "二三" * 200}, {"author": "Ana", "text": "a\n\tb\x1b[0m\u202ec" * 90}] * 20
    path = chatstep.file("wild.json", wild)
    lines = drawn(chatstep, "And?", "--history", path, "--assistant", "Ana", "-o", "history_tokens", "1500")
    assert max(cell_len(line) for line in lines) <= 120
    assert not any("\x1b" in line or "\u202e" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("plain", 10, "plain"),
        ("two\nlines\r\nthree\tx", 30, "two↵lines↵three x"),
        ("a\x1b[31mb\x00\x7f\x9b", 30, "a␛[31mb␀␡‹009B›"),
        ("\u202eevil\u200b", 30, "‹202E›evil‹200B›"),
        ("👩‍👩‍👧 family", 30, "👩‍👩‍👧 family"),
        ("words that are too long", 10, "words tha…"),
        ("二三四五六", 5, "二三…"),
        ("x" * 1000, 3, "xx…"),
        (" " * 50 + "x", 4, "…"),
    ],
)
def test_what_can_be_seen(text: str, width: int, shown: str) -> None:
    """One line, cut by its width; signs for what would do something or cannot be seen."""
    assert visible(text, width) == shown
    assert cell_len(visible(text, width)) <= width


def test_bars() -> None:
    """Eighths of a block; whatever is more than nothing shows, and more than all is all."""
    assert [bar(share, 2) for share in (0, 0.001, 0.25, 0.5, 0.75, 1, 7)] == ["  ", "▏ ", "▌ ", "█ ", "█▌", "██", "██"]
    assert fitted("", 3) == ""
