"""ChatGPT's export: the branch that was shown, what is left out, and choosing among conversations."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.openai import chatgpt_export as CHATGPT
from chatstep.source import Source
from chatstep.transcript import Transcript

FILE = Path(__file__).parent / "transcripts" / "chatgpt" / "conversations.json"
USER, ASSISTANT = Author("user"), Author("assistant", bot=True)


def read(path: Path, channel: str | None = None) -> Transcript:
    with Source(path) as source:
        assert CHATGPT.recognise(source)
        return CHATGPT.read(source, channel)


def left(transcript: Transcript) -> dict[str, int]:
    return {row.reason: row.count for row in transcript.left_out}


def one(mapping: object, **more: object) -> str:
    return json.dumps([{"title": "T", "conversation_id": "c", "mapping": mapping, **more}])


def said(text: str, time: float | None = None, role: str = "user") -> dict[str, object]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, "create_time": time}


def test_the_shown_branch_with_all_its_oddities() -> None:
    transcript = read(FILE, "Weather")
    assert transcript.messages == [
        Message(USER, "How is Bern?", id="u1", time="2024-03-30T22:58:30+00:00", role="user"),
        Message(ASSISTANT, "Fine.\n<b>Sunny</b> \\o/ {{x}} \u202bשלום\u202c 👩‍👩‍👧", id="a1", role="assistant"),
        Message(
            USER,
            "And here?",
            id="u2",
            time="2024-03-30T22:59:50+00:00",
            attachments=(
                Attachment("image", "lake.jpg"),
                Attachment("file", "notes.pdf"),
                Attachment("image", url="sediment://file-2"),
            ),
            role="user",
        ),
        Message(ASSISTANT, "Cold, but dry.", id="a2", time="2024-03-30T23:00:00.500000+00:00", role="assistant"),
    ]
    assert left(transcript) == {
        "calls and results of tools": 2,
        "conversations without messages, or damaged": 3,
        "unreadable": 1,
        "hidden": 1,
        "instructions and context": 2,
        "empty": 1,
        "other branches (edited or answered again)": 2,
        "thinking": 1,
    }
    assert transcript.assistant == ("assistant",)
    assert transcript.channel == "Weather"
    assert transcript.channels == ("c-untitled", "Weather")
    assert transcript.notes == ("Messages from which marks of citations were taken out: 1.",)


def test_without_current_node_the_newest_leaf_is_read_and_a_missing_beginning_is_told() -> None:
    transcript = read(FILE, "c-untitled")
    assert [message.text for message in transcript.messages] == ["Newest leaf"]
    assert len(transcript.notes) == 2
    assert left(transcript)["other branches (edited or answered again)"] == 1


@pytest.mark.parametrize("channel", ["c-weather", "Weather"])
def test_chosen_by_id_or_title(channel: str) -> None:
    assert len(read(FILE, channel).messages) == 4


def test_several_are_listed_the_newest_first_and_at_most_twenty(tmp_path: Path) -> None:
    every = [
        {"title": f"Chat {at}", "id": f"c{at}", "update_time": at, "mapping": {"n": {"message": said("x")}}}
        for at in range(25)
    ]
    (tmp_path / "any name.json").write_text(json.dumps(every))
    with pytest.raises(UnknownName) as raised:
        read(tmp_path / "any name.json")
    listed = raised.value.hint or ""
    assert "Chat 24, Chat 23" in listed
    assert listed.count("Chat") == 20
    with pytest.raises(UnknownName) as raised:
        read(tmp_path / "any name.json", "Chat 2x")
    assert raised.value.details["near"]


def test_titles_that_repeat_are_told_apart_by_id(tmp_path: Path) -> None:
    twice = [
        {"title": "New chat", "conversation_id": id, "mapping": {"n": {"message": said(id)}}} for id in ("one", "two")
    ]
    (tmp_path / "x.json").write_text(json.dumps(twice))
    with pytest.raises(UnknownName, match="one"):
        read(tmp_path / "x.json", "New chat")
    assert read(tmp_path / "x.json", "two").messages[0].text == "two"


@pytest.mark.parametrize("packed", [False, True])
def test_numbered_parts_in_a_folder_or_zip(tmp_path: Path, packed: bool) -> None:
    parts = {
        f"export/conversations-00{at}.json": one({"n": {"message": said(f"part {at}")}}, conversation_id=f"c{at}")
        for at in range(3)
    }
    parts |= {"export/user.json": "{}", "export/chat.html": "<html>", "__MACOSX/export/._conversations-000.json": "?"}
    for name, text in parts.items():
        file = tmp_path / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    path = tmp_path / "files"
    if packed:
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, text in parts.items():
                made.writestr(name, text)
    assert [read(path, f"c{at}").messages[0].text for at in range(3)] == ["part 0", "part 1", "part 2"]


def test_a_wrapped_list_and_one_conversation_alone(tmp_path: Path) -> None:
    listed = one({"n": {"message": said("hi")}})
    for text in (f'{{"conversations": {listed}}}', listed[1:-1]):
        (tmp_path / "x.json").write_text(text)
        assert [message.text for message in read(tmp_path / "x.json").messages] == ["hi"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a \ue200cite\ue202turn0search0\ue202turn0news1\ue201.", "a ."),
        ("see \ue200url\ue202the page\ue202turn0search0\ue201 now", "see the page now"),
        ('in \ue200entity\ue202["city","Bern","capital"]\ue201!', "in Bern!"),
        ("in \ue200entity\ue202{broken\ue201!", "in !"),
        ("lone \ue201 mark\ue202s", "lone  marks"),
        ("other private use \ue000 stays", "other private use \ue000 stays"),
    ],
)
def test_citation_marks(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "x.json").write_text(one({"n": {"message": said(text)}}))
    assert read(tmp_path / "x.json").messages[0].text == expected


def test_speech_counts_as_its_words(tmp_path: Path) -> None:
    message = said("")
    message["content"] = {
        "content_type": "multimodal_text",
        "parts": [{"content_type": "audio_transcription", "text": "spoken", "direction": "in"}],
    }
    (tmp_path / "x.json").write_text(one({"n": {"message": message}}))
    assert read(tmp_path / "x.json").messages[0].text == "spoken"


def test_a_loop_of_parents_ends(tmp_path: Path) -> None:
    mapping = {"a": {"parent": "b", "message": said("a")}, "b": {"parent": "a", "message": said("b")}}
    (tmp_path / "x.json").write_text(one(mapping, current_node="b"))
    assert [message.text for message in read(tmp_path / "x.json").messages] == ["a", "b"]


@pytest.mark.parametrize("time", [1e300, -1e300, 1e17])
def test_a_time_out_of_the_calendar_is_no_time(tmp_path: Path, time: float) -> None:
    (tmp_path / "x.json").write_text(one({"n": {"message": said("hi", time)}}))
    assert read(tmp_path / "x.json").messages[0].time is None


def test_half_a_character_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(one({"n": {"message": said("cut \ud83d here \U0001f600")}}))
    assert read(tmp_path / "x.json").messages[0].text == "cut \ufffd here \U0001f600"


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_cut_file_names_the_place(tmp_path: Path, keep: float) -> None:
    whole = FILE.read_bytes()
    (tmp_path / "x.json").write_bytes(whole[: int(len(whole) * keep)].decode("utf-8", "ignore").encode())
    with pytest.raises(UnreadableFile, match=r"byte [\d,]+.*line") as raised:
        read(tmp_path / "x.json")
    assert raised.value.hint


@pytest.mark.parametrize(
    "mapping", [{}, None, [], {"n": {"message": None}}, {"n": {"message": said("")}}, {"n": 1}, {"n": {"message": 1}}]
)
def test_no_message_is_an_error(tmp_path: Path, mapping: object) -> None:
    (tmp_path / "x.json").write_text(one(mapping))
    with pytest.raises(UnreadableFile):
        read(tmp_path / "x.json")
