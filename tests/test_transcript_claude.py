"""Claude's export: the newest branch, text from blocks, and the same file name as ChatGPT's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.claude import transcript as CLAUDE
from chatstep.modules.openai import chatgpt_export as CHATGPT
from chatstep.source import Source
from chatstep.transcript import Transcript

FOLDER = Path(__file__).parent / "transcripts"
FILE = FOLDER / "claude" / "conversations.json"
USER, ASSISTANT = Author("user"), Author("assistant", bot=True)


def read(path: Path, channel: str | None = None) -> Transcript:
    with Source(path) as source:
        assert CLAUDE.recognise(source)
        return CLAUDE.read(source, channel)


def chat(tmp_path: Path, *messages: dict[str, object]) -> Path:
    (tmp_path / "x.json").write_text(json.dumps([{"uuid": "k", "name": "N", "chat_messages": messages}]))
    return tmp_path / "x.json"


def test_the_newest_branch_with_all_its_oddities() -> None:
    transcript = read(FILE, "Bread")
    assert transcript.messages == [
        Message(
            USER,
            "My dough is flat.",
            id="m1",
            time="2024-03-30T22:58:30.000000Z",
            attachments=(Attachment("file", "dough.txt"), Attachment("file", "dough.png")),
            role="user",
        ),
        Message(ASSISTANT, "Let it rest.\n\nThen bake.", id="m3", time="2024-03-30T22:59:30Z", role="assistant"),
        Message(ASSISTANT, "Lovely!", id="m5", time="2024-03-30T23:00:30Z", role="assistant"),
        Message(USER, "Thanks 😀", id="m8", time="2024-03-30T23:01:00.5Z", role="user"),
    ]
    assert {row.reason: row.count for row in transcript.left_out} == {
        "conversations without messages, or damaged": 1,
        "unreadable": 1,
        "attachment without text": 1,
        "other branches (edited or answered again)": 1,
        "unknown senders": 1,
    }
    assert transcript.assistant == ("assistant",)
    assert transcript.channels == ("k2", "Bread")
    assert transcript.notes == ("Messages that answer one that is not in the file: 1. They follow the one before.",)


def test_old_exports_without_parents_keep_every_message() -> None:
    assert [message.text for message in read(FILE, "k2").messages] == ["Old export", "No parents here"]


def test_several_are_listed() -> None:
    with pytest.raises(UnknownName, match="k2, Bread"):
        read(FILE)


def test_told_apart_from_chatgpt_by_content() -> None:
    with Source(FILE) as source:
        assert not CHATGPT.recognise(source)
    with Source(FOLDER / "chatgpt") as source:
        assert not CLAUDE.recognise(source)
        assert CHATGPT.recognise(source)


def test_an_edited_first_message_keeps_the_later_one(tmp_path: Path) -> None:
    path = chat(
        tmp_path,
        {"uuid": "a", "sender": "human", "text": "first", "parent_message_uuid": "root", "created_at": "2024-01-01"},
        {"uuid": "b", "sender": "human", "text": "better", "parent_message_uuid": "root", "created_at": "2024-01-02"},
        {"uuid": "c", "sender": "assistant", "text": "yes", "parent_message_uuid": "b", "created_at": "2024-01-03"},
    )
    transcript = read(path)
    assert [message.text for message in transcript.messages] == ["better", "yes"]
    assert transcript.left_out[0].count == 1


def test_a_loop_of_parents_ends(tmp_path: Path) -> None:
    path = chat(
        tmp_path,
        {"uuid": "a", "sender": "human", "text": "a", "parent_message_uuid": "b"},
        {"uuid": "b", "sender": "assistant", "text": "b", "parent_message_uuid": "a"},
    )
    assert [message.text for message in read(path).messages] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "text", "expected"),
    [
        ([{"type": "text", "text": "new"}], "old", "new"),
        ([{"type": "text", "text": ""}], "old", "old"),
        ([{"type": "thinking", "thinking": "hm"}], "stand-in", "stand-in"),
        (None, "old", "old"),
        ([{"type": "text", "text": "a"}, {"type": "later_kind"}, {"type": "text", "text": "b"}], "", "a\n\nb"),
    ],
)
def test_text_of_blocks(tmp_path: Path, content: object, text: str, expected: str) -> None:
    path = chat(tmp_path, {"uuid": "a", "sender": "human", "text": text, "content": content})
    assert read(path).messages[0].text == expected


def test_a_cut_file_names_the_place(tmp_path: Path) -> None:
    whole = FILE.read_bytes()
    (tmp_path / "x.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match=r"byte [\d,]+"):
        read(tmp_path / "x.json")


def test_no_message_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        read(chat(tmp_path, {"uuid": "a", "sender": "human", "text": ""}))
