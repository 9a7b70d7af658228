"""ShareGPT: all spellings of speakers and lists, JSON and JSON Lines, conversations by id or number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Author, Message
from chatstep.modules.openai import sharegpt as SHAREGPT
from chatstep.source import Source
from chatstep.transcript import Transcript

FILE = Path(__file__).parent / "transcripts" / "sharegpt" / "conversations.json"
USER, ASSISTANT, SYSTEM = Author("user"), Author("assistant", bot=True), Author("system")


def read(path: Path, channel: str | None = None) -> Transcript:
    with Source(path) as source:
        assert SHAREGPT.recognise(source)
        return SHAREGPT.read(source, channel)


def test_a_conversation_with_all_its_oddities() -> None:
    transcript = read(FILE, "1")
    assert transcript.messages == [
        Message(ASSISTANT, '<div class="x">I begin</div>', role="assistant"),
        Message(USER, "Hi", role="user"),
        Message(USER, "Again", role="user"),
        Message(ASSISTANT, "Ok", role="assistant"),
    ]
    assert {row.reason: row.count for row in transcript.left_out} == {
        "calls and results of tools": 2,
        "conversations without messages, or damaged": 3,
        "unreadable": 1,
        "empty": 1,
        "unknown speakers": 1,
    }
    example = next(row.example for row in transcript.left_out if row.reason == "unknown speakers")
    assert example == f"{FILE}: conversation 1, message 7"
    assert transcript.assistant == ("assistant",)


def test_a_number_as_id_and_a_system_prompt() -> None:
    transcript = read(FILE, "2")
    assert transcript.messages == [
        Message(SYSTEM, "Be brief.", role="system"),
        Message(USER, "Yo", role="user"),
        Message(ASSISTANT, "Hey", role="assistant"),
    ]


def test_an_id_that_repeats_is_chosen_by_number() -> None:
    with pytest.raises(UnknownName):
        read(FILE, "one")
    assert [message.text for message in read(FILE, "3").messages] == ["R", "S"]


def test_several_are_listed() -> None:
    with pytest.raises(UnknownName, match="1, 2, 3"):
        read(FILE)


@pytest.mark.parametrize("key", ["conversations", "conversation", "items", "messages"])
def test_json_lines_with_a_bad_line(tmp_path: Path, key: str) -> None:
    rows = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    good = json.dumps({"id": "a", key: rows})
    (tmp_path / "x.txt").write_text(f"{good}\r\n\r\n{{broken}}\r\n{good.replace('Hello', 'Bye')}")
    transcript = read(tmp_path / "x.txt", "4")
    assert [message.text for message in transcript.messages] == ["Hi", "Bye"]
    assert [(row.count, row.example) for row in transcript.left_out] == [(1, f"{tmp_path / 'x.txt'}: conversation 3")]
    with pytest.raises(UnreadableFile, match="conversation 3"):
        read(tmp_path / "x.txt", "3")


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        ("human", "user"),
        ("user", "user"),
        ("prompter", "user"),
        ("Human ", "user"),
        ("gpt", "assistant"),
        ("chatgpt", "assistant"),
        ("bing", "assistant"),
        ("bard", "assistant"),
        ("system", "system"),
    ],
)
def test_speakers(tmp_path: Path, speaker: str, role: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"conversations": [{"from": speaker, "value": " kept as is \n"}]}))
    (message,) = read(tmp_path / "x.json").messages
    assert (message.role, message.author.name, message.text) == (role, role, " kept as is \n")


def test_no_conversation_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"conversations": []}]')
    with Source(tmp_path / "x.json") as source, pytest.raises(UnreadableFile):
        SHAREGPT.read(source, None)
    (tmp_path / "x.json").write_text('[{"conversations": [{"from": "human", "value": ""}]}]')
    with pytest.raises(UnreadableFile, match="no messages"):
        read(tmp_path / "x.json")
