"""Fine-tuning files: one conversation a line, preferences, batch input, and lines that are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.openai import fine_tuning as FINE_TUNING
from chatstep.source import Source
from chatstep.transcript import Transcript

FILE = Path(__file__).parent / "transcripts" / "fine_tuning" / "mixed.jsonl"
USER, ASSISTANT, SYSTEM = Author("user"), Author("assistant", bot=True), Author("system")


def read(path: Path, channel: str | None = None) -> Transcript:
    with Source(path) as source:
        assert FINE_TUNING.recognise(source)
        return FINE_TUNING.read(source, channel)


def test_a_line_with_tools_names_and_a_developer() -> None:
    transcript = read(FILE, "1")
    assert transcript.messages == [
        Message(SYSTEM, "Be kind.", role="system"),
        Message(Author("ana"), "Hi", role="user"),
        Message(ASSISTANT, "It is 42.", role="assistant"),
    ]
    assert [(row.reason, row.count, row.example) for row in transcript.left_out] == [
        ("calls and results of tools", 2, f"{FILE} line 1, message 3"),
        ("lines that are no conversation", 2, f"{FILE} line 4"),
        ("lines without messages", 2, f"{FILE} line 7"),
    ]
    assert transcript.notes == ("The last line (9) is cut off.",)
    assert transcript.channels == ("1", "3", "5", "6")
    assert transcript.assistant == ("assistant",)


def test_parts_of_content() -> None:
    assert read(FILE, "3").messages == [
        Message(USER, "What is this?", attachments=(Attachment("image_url"),), role="user"),
        Message(ASSISTANT, "A cat.", role="assistant"),
    ]


def test_preferences_keep_the_preferred_answer() -> None:
    transcript = read(FILE, "5")
    assert [message.text for message in transcript.messages] == ["Pick", "Good"]
    assert {row.reason: row.count for row in transcript.left_out}["answers that were not preferred"] == 1


@pytest.mark.parametrize("channel", ["6", "req-7"])
def test_batch_input_by_line_or_custom_id(channel: str) -> None:
    assert [message.role for message in read(FILE, channel).messages] == ["system", "user"]


def test_a_damaged_line_that_was_asked_for_is_an_error_with_its_place() -> None:
    with pytest.raises(UnreadableFile, match=f"{FILE.name} line 4"):
        read(FILE, "4")


def test_several_are_listed() -> None:
    with pytest.raises(UnknownName, match="1, 3, 5, 6"):
        read(FILE)


def test_no_line_feed_at_the_end_and_one_line_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    transcript = read(tmp_path / "x")
    assert [message.text for message in transcript.messages] == ["Hi"]
    assert transcript.notes == ()


def test_a_line_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    rows = [{"role": "user", "content": "x" * 50_000}, {"role": "assistant", "content": "y" * 50_000}]
    (tmp_path / "x").write_text(json.dumps({"messages": rows}) + "\n" + json.dumps({"messages": rows[:1]}))
    assert len(read(tmp_path / "x", "1").messages) == 2
    assert len(read(tmp_path / "x", "2").messages) == 1


def test_half_a_character_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(r'{"messages": [{"role": "user", "content": "a \ud83d"}]}')
    assert read(tmp_path / "x").messages[0].text == "a \ufffd"


def test_bytes_that_are_no_utf_8_are_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'{"messages": [{"role": "user", "content": "caf\xe9"}]}\n')
    with pytest.raises(UnreadableFile, match="byte"):
        read(tmp_path / "x")


def test_no_conversation_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    with Source(tmp_path / "x") as source:
        assert not FINE_TUNING.recognise(source)
        with pytest.raises(UnreadableFile, match="no conversation"):
            FINE_TUNING.read(source, None)
