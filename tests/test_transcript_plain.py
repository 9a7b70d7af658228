"""Plain JSON, JSON Lines and CSV: every form of a message, every spelling of a header, every kind of damage."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.plain import table as CSV
from chatstep.modules.plain import transcript as JSON
from chatstep.source import Source
from chatstep.transcript import Transcript

FOLDER = Path(__file__).parent / "transcripts" / "plain"


def read(path: Path | bytes, channel: str | None = None) -> Transcript:
    with Source.of_bytes(path, "x") if isinstance(path, bytes) else Source(path) as source:
        (format,) = [format for format in (JSON, CSV) if format.recognise(source)]
        return format.read(source, channel)


def texts(data: bytes) -> list[tuple[str, str]]:
    return [(message.author.name, message.text) for message in read(data).messages]


def test_json_with_all_its_oddities() -> None:
    transcript = read(FOLDER / "history.json")
    ana, bot = Author("Ana", id="U1"), Author("helper", bot=True)
    assert transcript.messages == [
        Message(ana, "Hi helper", time="2026-03-01T10:00:00+00:00", id="1"),
        Message(bot, "Hi Ana", reply_to="1", edited=True),
        Message("system", "Be brief.", role="system"),
        Message(
            Author("U2", id="U2"),
            "two parts",
            id="3",
            time="2024-03-30T22:58:30+00:00",
            attachments=(Attachment("image"),),
        ),
        Message("Bob", "a pair"),
        Message("Ana", "cut \ufffd"),
    ]
    assert [(row.reason, row.count, row.example) for row in transcript.left_out] == [
        ("records that are no message", 3, "messages[5]: A message needs `text`; this one has author."),
        ("empty", 1, "messages[4]"),
    ]
    assert transcript.assistant == ("helper",)


@pytest.mark.parametrize(
    "data",
    [
        b'[{"author": "A", "text": "x"}, {"author": "B", "text": "y"}]',
        b'[["A", "x"], ["B", "y"]]',
        b'{"messages": [{"author": "A", "text": "x"}, {"author": "B", "text": "y"}]}',
        b'{"author": "A", "text": "x"}\n{"author": "B", "text": "y"}',
        b'\xef\xbb\xbf{"author": "A", "text": "x"}\r\n\r\n  \r\n{"author": {"name": "B"}, "text": "y"}\r\n',
        '[{"author": "A", "text": "x"}, {"author": "B", "text": "y"}]'.encode("utf-16"),
        b"author,text\nA,x\nB,y",
        b"Sender\tBody\r\nA\tx\r\nB\ty\r\n",
        b"sep=;\r\nText;User\r\nx;A\r\ny;B\r\n",
        b'"speaker" , "message"\rA,x\rB,y\r'.replace(b" ", b""),
        "name,content\nA,x\nB,y\n".encode("utf-16-le").join([b"\xff\xfe", b""]),
        b'id,date,from,value\n1,,"A","x"\n2,,"B","y"\n',
    ],
)
def test_the_same_two_messages(data: bytes) -> None:
    assert texts(data) == [("A", "x"), ("B", "y")]


def test_utf_16_is_noted() -> None:
    assert "UTF-16" in read('[{"author": "A", "text": "é"}]'.encode("utf-16")).notes[0]


def test_roles_without_authors_are_kept() -> None:
    transcript = read(b'[{"role": "user", "content": "q", "name": "ana"}, {"role": "assistant", "content": "a"}]')
    assert transcript.messages == [
        Message(Author("ana"), "q", role="user"),
        Message(Author("assistant"), "a", role="assistant"),
    ]
    assert transcript.assistant == ()


def test_one_bad_line_among_many_is_left_out_and_named() -> None:
    good = b'{"author": "A", "text": "x"}\n'
    transcript = read(good * 3 + b'{"author": "A", "text": }\n' + good * 2 + b'{"author": "A", "te')
    assert len(transcript.messages) == 5
    (row,) = transcript.left_out
    assert row.count == 2
    assert (row.example or "").startswith("line 4: ")


def test_csv_with_all_its_oddities() -> None:
    transcript = read(FOLDER / "semicolon.csv")
    ana = Author("Müller; Ana", id="U1")
    assert transcript.messages == [
        Message(ana, 'Hello "all",\nline two', time="2026-03-01 10:00"),
        Message(
            Author("helper", id="B1"),
            "=1+1",
            time="2024-03-30T22:58:30+00:00",
            attachments=(Attachment("file", url="https://example.org/a.png"),),
        ),
        Message(Author("U9", id="U9"), "nameless"),
        Message(Author("Ana", id="U1"), "short"),
    ]
    assert [(row.reason, row.count, row.example) for row in transcript.left_out] == [
        ("empty", 1, "row 6"),
        ("rows with more cells than columns (a text without quotes?)", 1, "row 7"),
        ("rows without author", 1, "row 5"),
    ]


def test_csv_roles() -> None:
    transcript = read(b"role,text\nuser,q\nassistant,a\nboss,b\n")
    assert [message.role for message in transcript.messages] == ["user", "assistant"]
    assert transcript.left_out[0].reason == "unknown roles"


def test_csv_long_cells_are_whole() -> None:
    text = "word " * 100_000
    assert texts(f'author,text\nA,"{text}"\n'.encode()) == [("A", text)]


def test_csv_times_that_are_no_iso_are_kept_and_noted() -> None:
    transcript = read(b"author,text,date\nA,x,31/12/2023 10:00\n")
    assert transcript.messages[0].time == "31/12/2023 10:00"
    assert transcript.notes == ("Times that are not ISO 8601, kept as they are written: 1.",)


def test_newest_first_is_turned_round() -> None:
    rows = [f'{{"author": "A", "text": "{at}", "time": "2026-01-0{at}"}}' for at in (3, 2, 2, 1)]
    transcript = read("\n".join(rows).encode())
    assert [message.text for message in transcript.messages] == ["1", "2", "2", "3"]
    assert "newest" in transcript.notes[0]
    mixed = read("\n".join([rows[1], rows[0], rows[3]]).encode())
    assert [message.text for message in mixed.messages] == ["2", "3", "1"]
    assert "order" in mixed.notes[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'[{"author": "A", "text": "x"},', r"ends in the middle.*byte 30"),
        (b'[{"author": "A", "text": "x"} {}]', r"byte 30: "),
        (b'[{"author": "A",\n "text": "caf\xe9"}]', r"byte \d+"),
        (b'{"messages": {"author": "A", "text": "x"}, "assistant": 1}', "assistant|messages"),
        (b'[{"author": "A", "text": 5}]', "Expected text, got int"),
        (b'[{"author": "A", "text": ""}]', "no messages"),
        (b'{"messages": []}', "no messages"),
        (b'author,text\nA,"never closed\nB,y\n', r"line 2"),
        (b'author,text\nA,"closed" but more\n', r"line 2"),
        (b"author,text\n", "text"),
        (b"author,text\nA,\n", "no messages"),
        (b"author,text\nA,caf\xe9\n", "byte"),
    ],
)
def test_damage_is_an_error_with_its_place(data: bytes, said: str) -> None:
    with Source.of_bytes(data, "x") as source, pytest.raises(UnreadableFile, match=said) as raised:
        (CSV if data.startswith(b"author") else JSON).read(source, None)
    assert str(raised.value).startswith("x")


@pytest.mark.parametrize("data", [b'[{"author": "A", "text": "x"}]', b"author,text\nA,x\n"])
def test_a_plain_file_has_no_channels(data: bytes) -> None:
    with pytest.raises(UnreadableFile, match="channel"):
        read(data, "general")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"Hello, this is text",
        b"[12/31/23, 9:12 PM] Ana: hi",
        b'[{"author": {"id": "1"}, "content": "x", "type": "Default"}]',
        b'{"messages": [{"from": "Ana", "text": "x", "type": "message"}]}',
        b"when,what\n1,2\n",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"[1, 2, 3]",
    ],
)
def test_other_files_are_not_taken(data: bytes) -> None:
    with Source.of_bytes(data, "x") as source:
        assert not JSON.recognise(source)
        assert not CSV.recognise(source)


def test_one_message_alone_and_halves_of_characters_in_keys() -> None:
    assert texts(b'{"author": "A", "text": "x", "\\ud83d key": 1}') == [("A", "x")]
    with Source.of_bytes(b'{"mess\\ud83dages": []}', "x") as source, pytest.raises(UnreadableFile, match="author"):
        JSON.read(source, None)


def test_equal_authors_are_one_object() -> None:
    messages = read(json.dumps([{"author": "A", "text": "x"}] * 3).encode()).messages
    assert messages[0].author is messages[2].author


def test_a_message_without_a_name_is_called_by_id_or_role_or_left_out() -> None:
    rows = [
        {"author": {"name": "", "id": "u1"}, "text": "a"},
        {"author": "", "text": "b", "role": "user"},
        {"author": "", "text": "c"},
    ]
    transcript = read(json.dumps(rows).encode())
    assert [(each.author.name, each.text) for each in transcript.messages] == [("u1", "a"), ("user", "b")]
    assert [(row.reason, row.count, row.example) for row in transcript.left_out] == [
        ("records without author", 1, "messages[2]")
    ]


def table_of(texts: list[str]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("author", "text"), *(("Ana", text) for text in texts)])
    return stream.getvalue().encode()


def test_rows_over_the_borders_of_blocks() -> None:
    """A long table is read in blocks, which may be cut anywhere in a cell."""
    chance = random.Random(1)
    texts = [
        "".join(chance.choices(['""', "\n", "\r\n", ",", "word ", '"\n'], k=chance.randint(1, 400)))
        for _ in range(5000)
    ]
    texts[100] = "x\n" * 2_000_000
    texts = [f"{text}." for text in texts]
    data = table_of(texts)
    assert len(data) > 6_000_000
    assert [message.text for message in read(data).messages] == texts


def test_an_open_quote_far_inside_is_named() -> None:
    data = table_of(["one\ntwo"] * 200_000)
    at = data.index(b'"one', len(data) // 2)
    line = data.count(b"\n", 0, at) + 1
    with pytest.raises(UnreadableFile, match=f"line {line:,} is not closed"):
        read(data[: at + 9] + b"?" + data[at + 9 :])


def test_a_line_that_is_nested_too_deeply_is_left_out() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    transcript = read(b'{"author": "Ana", "text": "a"}\n{"author": "Ana", "text": "b", "new": ' + deep + b"}\n")
    assert [message.text for message in transcript.messages] == ["a"]
    assert [(row.reason, row.example) for row in transcript.left_out] == [
        ("records that are no message", "line 2: The JSON is nested too deeply.")
    ]
