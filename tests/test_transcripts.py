"""Which format a file is, who wrote in it, parts of it, writing it, and whatever may be wrong with any file."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.errors import InvalidInput, UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.source import Source
from chatstep.transcript import Transcript
from chatstep.transcripts import (
    WRITTEN,
    AuthorSummary,
    authors,
    find_format,
    formats,
    match_assistant,
    read_transcript,
    select,
    write_transcript,
)

FOLDER = Path(__file__).parent / "transcripts"
SAMPLES = {
    "chatgpt": FOLDER / "chatgpt" / "conversations.json",
    "claude": FOLDER / "claude" / "conversations.json",
    "sharegpt": FOLDER / "sharegpt" / "conversations.json",
    "openai-jsonl": FOLDER / "fine_tuning" / "mixed.jsonl",
    "json": FOLDER / "plain" / "history.json",
    "csv": FOLDER / "plain" / "semicolon.csv",
}
CHANNELS = {"chatgpt": "Weather", "claude": "Bread", "sharegpt": "1", "openai-jsonl": "1"}


def read_bytes(data: bytes, channel: str | None = None, format: str | None = None) -> Transcript:
    return read_transcript(Source.of_bytes(data, "x"), channel, format)


def written(messages: list[Message], assistant: tuple[str, ...], format: str) -> bytes:
    stream = io.BytesIO()
    write_transcript(messages, assistant, format, stream)
    return stream.getvalue()


# Finding the format


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_one_format_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    path = tmp_path / "renamed.bin"
    path.write_bytes(SAMPLES[name].read_bytes())
    with Source(path) as source:
        assert find_format(source).name == name
    transcript = read_transcript(path, CHANNELS.get(name))
    assert transcript.format == name
    assert transcript.messages


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_found_alone_in_a_zip(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.write(SAMPLES[name], SAMPLES[name].name)
    assert read_transcript(tmp_path / "x.zip", CHANNELS.get(name)).format == name


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"secret words of somebody\nmore", "text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "bytes that are no text"),
        (b'{"b": 1, "a secret sentence as key!": 2, "c": {"d": 3}}', "a JSON object with keys b, c"),
        (b'[{"x": "secret", "y": 1}, {"z": 2}]', "a JSON array of objects with keys x, y, z"),
        (b'{"x": 1}\n{"x": 2}\n', "lines of JSON objects with keys x"),
        (b"[1, 2]", "a JSON array"),
        (b"<!DOCTYPE html>\n<title>secret", "HTML"),
    ],
)
def test_an_unknown_file_is_told_by_its_shape_and_never_by_its_texts(data: bytes, seen: str) -> None:
    with pytest.raises(UnreadableFile) as raised:
        read_bytes(data)
    assert f"begins with {seen}." in str(raised.value)
    assert "secret" not in str(raised.value)
    hint = raised.value.hint or ""
    assert "as JSON" in hint if seen == "HTML" else all(name in hint for name in formats())


@pytest.mark.parametrize("data", [b"", b"   \n ", b"\xef\xbb\xbf"])
def test_an_empty_file_is_called_empty(data: bytes) -> None:
    with pytest.raises(UnreadableFile, match="is empty"):
        read_bytes(data)


def test_a_file_that_two_formats_claim_is_refused_with_both_names() -> None:
    both = b'[{"mapping": {}, "chat_messages": []}]'
    with pytest.raises(UnreadableFile, match=r"claude, chatgpt|chatgpt, claude"):
        read_bytes(both)


def test_a_zip_that_would_unpack_to_very_much_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("conversations.json", b" " * (20 * 1024 * 1024))
    with pytest.raises(UnreadableFile, match="would unpack"):
        read_transcript(tmp_path / "x.zip")


def test_files_outside_a_zip_or_folder_are_not_looked_at(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        for name in ("../conversations.json", "/conversations.json", "a/../../x.json"):
            made.writestr(name, SAMPLES["chatgpt"].read_bytes())
    with pytest.raises(UnreadableFile, match="zip with no files"):
        read_transcript(tmp_path / "x.zip")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "conversations.json").symlink_to(SAMPLES["chatgpt"])
    with pytest.raises(UnreadableFile, match="folder with no files"):
        read_transcript(tmp_path / "folder")


def test_a_damaged_zip_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.write(SAMPLES["csv"], "x.csv")
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[45:60] = b"\xff" * 15
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_transcript(tmp_path / "x.zip")


def test_an_unknown_folder_is_told_by_its_kinds_of_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.docx"):
        (tmp_path / name).write_text("x")
    with pytest.raises(UnreadableFile, match=r"2 \.png, 1 \.docx"):
        read_transcript(tmp_path)


def test_a_missing_file_and_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        read_transcript(tmp_path / "none")
    with pytest.raises(UnknownName, match="chatgtp") as raised:
        read_transcript(SAMPLES["json"], format="chatgtp")
    assert "chatgpt" in (raised.value.hint or "")


def test_a_format_may_be_named(tmp_path: Path) -> None:
    one_line = b'{"messages": [{"role": "user", "content": "q"}]}'
    assert read_bytes(one_line).format == "openai-jsonl"
    assert read_bytes(one_line, format="json").format == "json"
    with pytest.raises(UnreadableFile):
        read_bytes(one_line, format="csv")


def test_pretty_and_compact_files_of_roles_say_the_same() -> None:
    value = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    pretty, compact = (read_bytes(json.dumps(value, indent=indent).encode()) for indent in (2, None))
    assert (pretty.format, compact.format) == ("json", "openai-jsonl")
    assert [(each.role, each.text) for each in pretty.messages] == [(each.role, each.text) for each in compact.messages]


# Authors and the assistant


def some() -> Transcript:
    ana, changed, bot = Author("Ana", id="U1"), Author("Anna", id="U1"), Author("Helper", id="B1", bot=True)
    return Transcript(
        "json",
        [
            Message(ana, "1", time="2026-03-01T10:00:00+00:00"),
            Message(bot, "2", time="2026-03-01T12:00:00+02:00"),
            Message(changed, "3", time="2026-03-02T10:00:00+00:00"),
            Message("Anna", "4"),
            Message(changed, "5", time="2026-03-03T23:30:00+00:00"),
        ],
    )


def test_authors_are_told_apart_by_id() -> None:
    assert authors(some()) == [
        AuthorSummary("Anna", "U1", None, 3, 0.6, "2026-03-01T10:00:00+00:00", "2026-03-03T23:30:00+00:00", ("Ana",)),
        AuthorSummary("Helper", "B1", True, 1, 0.2, "2026-03-01T12:00:00+02:00", "2026-03-01T12:00:00+02:00"),
        AuthorSummary("Anna", None, None, 1, 0.2, None, None),
    ]


@pytest.mark.parametrize("who", [("Helper",), ("B1",), ("Ana",), ("Anna", "U1")])
def test_the_assistant_is_matched_by_id_or_any_name(who: tuple[str, ...]) -> None:
    assert match_assistant(some(), who) == who


def test_an_assistant_who_wrote_nothing_comes_with_near_names() -> None:
    with pytest.raises(UnknownName, match="'helper'") as raised:
        match_assistant(some(), ("helper",))
    assert raised.value.details["near"] == ["Helper"]


def test_an_assistant_who_is_not_named_comes_with_the_authors() -> None:
    with pytest.raises(InvalidInput, match=r"Anna \(3\), Helper \(1\), Anna \(1\)") as raised:
        match_assistant(some(), ())
    assert "'Helper'" in (raised.value.hint or "")


def test_roles_need_no_assistant() -> None:
    transcript = read_transcript(SAMPLES["sharegpt"], "2")
    assert match_assistant(transcript, ()) == ("assistant",)
    assert match_assistant(transcript, ("user",)) == ("user",)


# Selecting


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "12345"),
        ({"last": 2}, "45"),
        ({"last": 99}, "12345"),
        ({"since": "2026-03-02"}, "35"),
        ({"until": "2026-03-01"}, "12"),
        ({"until": date(2026, 3, 2)}, "123"),
        ({"since": "2026-03-01T11:00"}, "235"),
        ({"since": "2026-03-01T11:00+00:00"}, "35"),
        ({"since": "2026-03-01T10:00Z", "until": "2026-03-01T10:00Z"}, "12"),
        ({"since": datetime(2026, 3, 1, tzinfo=UTC), "last": 1}, "5"),
    ],
)
def test_select(wanted: dict[str, object], expected: str) -> None:
    transcript = some()
    chosen = select(transcript, **wanted)  # type: ignore[arg-type]
    assert "".join(message.text for message in chosen.messages) == expected
    assert len(chosen.messages) + sum(row.count for row in chosen.left_out) == 5
    assert len(transcript.messages) == 5


@pytest.mark.parametrize("wanted", [{"last": 0}, {"since": "yesterday"}, {"until": "2026-13-01"}])
def test_select_refuses_what_is_no_number_or_time(wanted: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        select(some(), **wanted)  # type: ignore[arg-type]


# Writing, and reading it back

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40).filter(lambda text: text.strip())
_CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)
_NAME = _CELL.filter(lambda text: text.strip())
_AUTHOR = st.builds(Author, _NAME, id=st.none() | _NAME, bot=st.none() | st.booleans())
_ATTACHMENT = st.builds(Attachment, _NAME, name=st.none() | _CELL, url=st.none() | _CELL)
_MESSAGE = st.builds(
    Message,
    _AUTHOR,
    _TEXT | st.sampled_from(["=1+1", "+x", "-x", "@x", '"', '""', "a\r\nb", "\rx", ",", "x;y", "\t.", "{", "[1]"]),
    id=st.none() | _NAME,
    time=st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(datetime.isoformat),
    attachments=st.lists(_ATTACHMENT, max_size=2).map(tuple),
    role=st.none() | st.sampled_from(["system", "user", "assistant", "tool"]),
    reply_to=st.none() | _NAME,
    edited=st.booleans(),
)


def in_order(messages: list[Message]) -> list[Message]:
    """Oldest first, as every transcript is."""
    times = iter(sorted(message.time for message in messages if message.time))
    return [
        Message(
            each.author,
            each.text,
            id=each.id,
            time=next(times) if each.time else None,
            attachments=each.attachments,
            role=each.role,
            reply_to=each.reply_to,
            edited=each.edited,
        )
        for each in messages
    ]


_MESSAGES = st.lists(_MESSAGE, min_size=1, max_size=8).map(in_order)


def round_trip(messages: list[Message], who: list[str]) -> None:
    back = read_bytes(written(messages, tuple(who), "json"))
    assert back.messages == messages
    assert back.assistant == tuple(who)
    assert back.left_out == ()
    back = read_bytes(written(messages, tuple(who), "csv"))
    assert back.messages == messages
    assert back.left_out == ()
    spoken = [message for message in messages if message.role != "tool"]
    if spoken and who:
        back = read_bytes(written(messages, tuple(who), "openai-jsonl"))
        assert back.format == "openai-jsonl"
        assert [message.text for message in back.messages] == [message.text for message in spoken]
        for said, message in zip(spoken, back.messages, strict=True):
            assert (message.role == "system") == (said.role == "system")
            if said.role is None:
                assert (message.role == "assistant") == bool({said.author.name, said.author.id} & set(who))


@settings(max_examples=150, derandomize=True)
@given(_MESSAGES, st.lists(_NAME, max_size=2))
def test_what_is_written_is_read_back(messages: list[Message], who: list[str]) -> None:
    round_trip(messages, who)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=20_000)
@given(_MESSAGES, st.lists(_NAME, max_size=2))
def test_what_is_written_is_read_back_soak(messages: list[Message], who: list[str]) -> None:
    round_trip(messages, who)


def test_writing_tells_how_many_and_refuses_unknown_formats() -> None:
    messages = [Message("user", "q", role="user"), Message("tool", "42", role="tool")]
    counts = {format: write_transcript(messages, (), format, io.BytesIO()) for format in WRITTEN}
    assert counts == {"openai-jsonl": 1, "json": 2, "csv": 2}
    with pytest.raises(UnknownName):
        write_transcript(messages, (), "xml", io.BytesIO())
    with pytest.raises(InvalidInput, match="assistant"):
        write_transcript(some().messages, (), "openai-jsonl", io.BytesIO())


def test_half_a_character_is_written_as_a_replacement() -> None:
    for format in WRITTEN:
        data = written([Message("A\ud83d", "cut \ud83d", role="user")], ("x",), format)
        assert read_bytes(data).messages[0].text == "cut \ufffd"


def test_a_channel_of_a_file_read_once_is_written_and_read_again() -> None:
    first = read_transcript(SAMPLES["chatgpt"], "Weather")
    for format in ("json", "csv"):
        assert read_bytes(written(first.messages, first.assistant, format)).messages == first.messages
