"""Histories in files as commands read them: shapes, damage, who is the assistant, which messages are chosen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatstep.cli.demo import conversation
from chatstep.cli.histories import Choice
from chatstep.errors import InvalidInput, UnknownName, UnreadableFile
from chatstep.message import History
from chatstep.rehearsal import Rehearsal
from command_line import TALK, Commands

Serve = Callable[..., Rehearsal]

ROOT = Path(__file__).resolve().parent.parent
ROLES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def history_of(chatstep: Commands, data: Any, *who: str, **choice: Any) -> History:
    """The history in a file of these bytes, this text or this value."""
    return Choice(chatstep.file("talk.json", data), **choice).read().history(who)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(TALK),
        json.dumps({"assistant": "Nobody else", "messages": TALK}),
        json.dumps({"title": "x", "messages": TALK}, indent=2),
        "\n".join(json.dumps(item) for item in TALK),
        "\n\n".join(json.dumps(item, ensure_ascii=False) for item in TALK) + "\n",
        "\ufeff" + json.dumps(TALK, ensure_ascii=False),
        "author,text\n" + "".join(f"{item['author']},{item['text']}\n" for item in TALK),
    ],
    ids=["list", "object", "indented", "lines", "blank-lines", "bom", "csv"],
)
def test_accepted_shapes(chatstep: Commands, data: str) -> None:
    """All of them give the same messages; the one who asks says who is the assistant."""
    history = history_of(chatstep, data, "Robo")
    assert history.assistant == ("Robo",)
    assert [(message.author.name, message.text) for message in history.messages] == [
        (item["author"], item["text"]) for item in TALK
    ]
    assert not history.older_exist


def test_who_is_the_assistant(chatstep: Commands) -> None:
    """The file may say it, as one name or several; roles say it themselves."""
    assert history_of(chatstep, {"assistant": ["Robo"], "messages": TALK}).assistant == ("Robo",)
    assert history_of(chatstep, {"messages": ROLES, "model": "m"}).messages[1].role == "assistant"
    assert len(history_of(chatstep, ROLES[0]).messages) == 1
    by_id = [{"author": {"name": "Bot", "id": "b1"}, "text": "x"}]
    assert history_of(chatstep, by_id, "b1").assistant == ("b1",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The file is empty"),
        (b" \n\t\n", "The file is empty"),
        (b"[]", "no transcript that is known"),
        (b"hello", "begins with text"),
        (b'[{"author": "Ana",\n "text": "Hi"}, {"auth', "ends in the middle, at byte 41 (line 2), column 23"),
        (b'{"messages": [{"author": "Ana", "text": "H', "ends in the middle, at byte 42."),
        (b'[{"author": "Ana", "text": "Hi" "id": 4}]', "malformed at byte 32: "),
        (b'[{"author": "Ana", "text": "caf\xe9"}]', "not UTF-8 text: byte 31"),
        ("[1]".encode("utf-16"), "no transcript that is known"),
        (b"\x1f\x8b\x08", "no transcript that is known"),
        (b'{"chats": [], "version": 2}', "a JSON object with keys chats, version"),
        (b'{"messages": 5}', "messages: The file has another shape: Expected `array`, got `int`"),
        (b'{"assistant": 5, "messages": []}', "assistant: The file has another shape"),
        (b"\0\0\0\0", "bytes that are no text"),
        (b"[" * 100_000, "no transcript that is known"),
    ],
)  # fmt: skip
def test_files_that_are_none(chatstep: Commands, data: bytes, said: str) -> None:
    """Each says what is wrong and where, on one line, with the exit code of its class."""
    path = chatstep.file("talk.json", data)
    result = chatstep("complete", "Hi", "--history", path, "--assistant", "Ana", "--dry-run", code=4)
    assert said in result.stderr
    assert result.stderr.startswith(f"Error: {path}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"author": "Ana"}, "messages[1]: A message needs `text`"),
        ({"author": 5, "text": "x"}, "messages[1]: Expected text"),
        ({"role": "robot", "content": "x"}, "messages[1]: Unknown role 'robot'"),
        ("just text", "messages[1]: Expected a message"),
    ],
)
def test_messages_that_are_none(chatstep: Commands, serve: Serve, item: object, said: str) -> None:
    """The others are used; what was not read is a warning, also for programs, and never silent."""
    serve("- reply: ok\n")
    path = chatstep.file("talk.json", [TALK[0], item])
    asked = ("complete", "Hi", "--history", path, "--assistant", "Ana")
    told = chatstep(*asked)
    assert told.stdout == "ok\n"
    assert f"Warning: Part of {path} was not read: 1 records that are no message" in told.stderr
    assert said in told.stderr
    assert said in chatstep.json(*asked)["warnings"][0]


def test_nobody_is_named_the_assistant(chatstep: Commands) -> None:
    """The authors are listed with the number of their messages."""
    with pytest.raises(InvalidInput, match=r"Ana \(2\), Zoë 🌿 \(1\), Robo \(1\)"):
        history_of(chatstep, TALK)


def test_the_assistant_wrote_nothing(chatstep: Commands) -> None:
    """Near names are told, whether the option or the file names somebody."""
    with pytest.raises(UnknownName, match="Did you mean 'Robo'") as caught:
        history_of(chatstep, TALK, "Robot")
    assert caught.value.place == "--assistant"
    with pytest.raises(UnknownName) as caught:
        history_of(chatstep, {"assistant": "Rob", "messages": TALK})
    assert str(caught.value.place).endswith("talk.json: assistant")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """Missing, a folder with nothing to read, a name that is none, and a picture."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    for path, said in (
        (tmp_path / "none.json", "There is no such file"),
        (tmp_path / "folder", "is a folder with no files"),
        ("a\0b", "cannot be read|no such file"),
        (tmp_path / "a.png", "bytes that are no text"),
    ):
        with pytest.raises(UnreadableFile, match=said):
            Choice(str(path)).read()


TIMED = [{**item, "time": f"2026-03-0{at}T10:00:00Z"} for at, item in enumerate(TALK, 1)]


@pytest.mark.parametrize(
    ("choice", "kept", "older"),
    [
        ({}, [1, 2, 3, 4], False),
        ({"last": 2}, [3, 4], True),
        ({"last": 99}, [1, 2, 3, 4], False),
        ({"since": "2026-03-02"}, [2, 3, 4], True),
        ({"until": "2026-03-03"}, [1, 2, 3], False),
        ({"since": "2026-03-02T10:00:01Z", "until": "2026-03-03"}, [3], True),
        ({"since": "2026-03-01", "last": 1}, [4], True),
    ],
)
def test_a_part_of_a_history(chatstep: Commands, choice: dict[str, Any], kept: list[int], older: bool) -> None:
    """Days are whole, both ends are in; what was cut off at the beginning exists, and the window knows."""
    history = history_of(chatstep, TIMED, "Robo" if 3 in kept else "Ana", **choice)
    assert [each.text for each in history.messages] == [TALK[number - 1]["text"] for number in kept]
    assert history.older_exist is older


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (["--since", "soon"], "since: 'soon' is no date or time"),
        (["--since", "2027-01-01"], "No message is in that time. The file's messages are from 2026-03-01T10:00:00Z to"),
        (["--last", "0"], "--last"),
        (["--channel", "x"], "it has no channels"),
    ],
)
def test_a_part_that_is_none(chatstep: Commands, choice: list[str], said: str) -> None:
    """The error says which time there is."""
    path = chatstep.file("talk.json", TIMED)
    result = chatstep("complete", "Hi", "--history", path, "--assistant", "Robo", *choice, "--dry-run", code=None)
    assert result.exit_code in (2, 4)
    assert said in result.stderr


@pytest.mark.parametrize("option", [["--last", "3"], ["--since", "2026"], ["--until", "2026"], ["--channel", "x"]])
def test_a_part_of_no_history(chatstep: Commands, option: list[str]) -> None:
    """There is nothing to choose from."""
    assert f"Error: {option[0]}: There is no history" in chatstep("complete", "Hi", *option, code=2).stderr


def test_what_was_read_is_told(chatstep: Commands, serve: Serve) -> None:
    """With -v on one line, with where to see more; a history may come by stdin."""
    serve("- reply: ok\n")
    talk = json.dumps([*TALK, {"author": "Ana", "text": ""}])
    read = chatstep("complete", "Hi", "--history", "-", "--assistant", "Robo", "--last", "3", "-v", input=talk)
    assert "Read 4 messages, 3 of them chosen, of 3 authors (Plain JSON" in read.stderr
    assert "; 1 left out (see chatstep transcript stdin)." in read.stderr
    assert "Read" not in chatstep("complete", "Hi", "--history", "-", "--assistant", "Robo", input=talk).stderr


def test_a_message_by_somebody(chatstep: Commands, serve: Serve) -> None:
    """--name says who writes; one of the history's authors is that very author."""
    provider = serve("- reply: ok\n")
    talk = [
        {"author": {"name": item["author"], "id": f"u{len(item['author'])}"}, "text": item["text"]} for item in TALK
    ]
    path = chatstep.file("talk.json", talk)
    asked = ("complete", "And now?", "--history", path, "--assistant", "Robo", "--name")
    chatstep(*asked, "Ana")
    chatstep(*asked, "Ben")
    said = [
        [message["content"].partition(":")[0] for message in request.body["messages"]] for request in provider.requests
    ]
    assert said[0][0] == said[0][-1] == "Ana"
    assert said[1][-1] == "Ben"
    assert chatstep("complete", "Hi", "--name", " ", code=2).stderr.startswith("Error: --name: ")
    chatstep("complete", "Hi", "--name", "a\tb", code=2)
    assert "no message" in chatstep(*asked[:1], "", *asked[2:], "Ana", code=2).stderr


def test_the_example_is_the_demo() -> None:
    """The example that people find is the one that the demo shows, and its last message wants an answer."""
    packed = ROOT / "src" / "chatstep" / "cli" / "demo_conversation.json"
    assert (ROOT / "examples" / "community.json").read_bytes() == packed.read_bytes()
    history = Choice(str(packed)).read().history(())
    authors = {message.author.name for message in history.messages}
    assert conversation()["messages"][-1]["author"] not in history.assistant
    assert len(authors) >= 5
    assert not all(name.isascii() for name in authors)


def test_two_hundred_megabytes(tmp_path: Path) -> None:
    """A history of 200 MB is read within 1.2 GB; measured in a process of its own."""
    path = tmp_path / "large.jsonl"
    line = json.dumps({"author": "Ana", "text": "Here is what we said about it. " * 4, "time": "2026-05-16T08:24:03Z"})
    block = (line + "\n").encode() * 5000
    with path.open("wb") as file:
        while file.tell() < 200 * 2**20:
            file.write(block)
    program = (
        "import resource, sys; from chatstep.cli.histories import Choice;"
        "count = len(Choice(sys.argv[1]).read().history(('Ana',)).messages);"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=100
    )
    count, kilobytes = map(int, done.stdout.split())
    assert count == os.path.getsize(path) // (len(line) + 1)
    assert kilobytes < 1.2 * 2**20
