"""`chatstep transcript`: what it recognises, lists and leaves out, the preview of roles and prompt, and converting."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from command_line import TALK, Commands

FILES = Path(__file__).parent / "transcripts"
PEOPLE = {"Ana": "u1", "Zoë 🌿": "u2", "Robo": "b1"}
CHAT = [
    {
        "author": {"name": item["author"], "id": PEOPLE[item["author"]], "bot": item["author"] == "Robo"},
        "text": item["text"],
        "id": f"m{at}",
        "time": f"2026-03-0{at}T10:00:00Z",
    }
    for at, item in enumerate(TALK, 1)
]


@pytest.fixture
def chat(chatstep: Commands) -> str:
    """A file of four messages by two people and a bot, and an empty one."""
    return chatstep.file("chat.json", [*CHAT, {"author": "Ana", "text": " "}])


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_what_is_in_a_file(chatstep: Commands, chat: str) -> None:
    """Format, time, a row per author, what was left out and where."""
    shown = lines_of(chatstep("transcript", chat).stdout)
    assert "Format Plain JSON or JSON Lines of author and text" in shown
    assert "Time 2026-03-01 10:00 to 2026-03-04 10:00 (4 days)" in shown
    assert "Messages 4 by 3 authors" in shown
    assert "Ana u1 no 2 ████████████ 50% 2026-03-01 2026-03-04" in shown
    assert "Robo b1 yes 1 ██████ 25% 2026-03-03 2026-03-03" in shown
    assert any(re.fullmatch(r"(no text|empty) 1 .*messages\[4\].*", line) for line in shown)
    assert not any(line.startswith("Prompt") for line in shown)


def test_columns_that_would_be_empty_are_not_there(chatstep: Commands) -> None:
    """No ids, no bots, no times."""
    path = chatstep.file("plain.json", TALK)
    assert "Author Messages Share" in lines_of(chatstep("transcript", path).stdout)


def test_the_same_as_data(chatstep: Commands, chat: str) -> None:
    """Everything that is shown, for programs."""
    told = chatstep.json("transcript", chat, "--assistant", "b1", "--last", "3")
    assert (told["format"], told["read"], told["messages"]) == ("json", 4, 3)
    assert (told["first"], told["last"]) == ("2026-03-02T10:00:00Z", "2026-03-04T10:00:00Z")
    assert {row["name"]: row["messages"] for row in told["authors"]} == {"Zoë 🌿": 1, "Robo": 1, "Ana": 1}
    assert told["left_out"][0]["count"] == 1
    assert told["assistant"] == ["b1"]
    assert told["roles"] == {"assistant": 1, "user": 2}
    assert [row["role"] for row in told["prompt"]["rows"]] == ["user", "assistant", "user"]
    assert chatstep.json("transcript", chat)["prompt"] is None


def test_the_preview_of_roles(chatstep: Commands, chat: str) -> None:
    """How many messages count as what, who, and the prompt that a model would get."""
    shown = lines_of(chatstep("transcript", chat, "--assistant", "Robo", "-s", "Be kind.").stdout)
    assert "Roles 1 assistant / 3 user" in shown
    assert any(line.startswith("Robo b1 yes assistant 1") for line in shown)
    assert any(line.startswith("instr. system") and line.endswith("Be kind.") for line in shown)
    assert any(line.startswith("3 assistant") and "Zoë has the keys." in line for line in shown)
    assert any(line.startswith("Prompt ") and "tokens" in line for line in shown)


def test_formats_that_bring_roles(chatstep: Commands) -> None:
    """They need no --assistant; --prompt draws."""
    path = chatstep.file("roles.json", [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    shown = lines_of(chatstep("transcript", path).stdout)
    assert "Roles 1 assistant / 1 user" in shown
    assert not any(line.startswith("Prompt") for line in shown)
    assert any(line.startswith("Prompt ") for line in lines_of(chatstep("transcript", path, "--prompt").stdout))


@pytest.mark.parametrize("file", sorted(path.relative_to(FILES).as_posix() for path in FILES.glob("*/*")))
def test_every_file_of_the_readers(chatstep: Commands, file: str) -> None:
    """Each gives a report, a list of its chats, or one line of error; whatever it is, as text and as data."""
    result = chatstep("transcript", str(FILES / file), code=None)
    assert result.exit_code in (0, 2, 3, 4), result.output
    assert len(result.stderr.splitlines()) <= 1
    if result.exit_code:
        assert result.stdout == ""
        return
    told = chatstep.json("transcript", str(FILES / file))
    for channel in told["channels"] if "format" not in told else ():
        if told["channels"].count(channel) == 1:
            assert chatstep.json("transcript", str(FILES / file), "--channel", channel)["messages"] > 0


def test_a_file_of_several_chats(chatstep: Commands) -> None:
    """They are listed, those of one name with their ids; a command that needs one is refused."""
    server = str(FILES / "discord" / "server")
    listed = chatstep("transcript", server)
    assert listed.stdout == "general\nrandom  (2 of that name: 61, 62)\n"
    assert "--channel NAME" in listed.stderr
    assert "Channel" in chatstep("transcript", server, "--channel", "61").stdout
    assert "Did you mean 'general'" in chatstep("transcript", server, "--channel", "genral", code=3).stderr
    assert "3 chats" in chatstep("transcript", server, "--to", "json", code=3).stderr
    assert "3 chats" in chatstep("transcript", server, "--assistant", "Robo", code=3).stderr
    assert "3 chats" in chatstep("complete", "Hi", "--history", server, "--assistant", "x", "--dry-run", code=3).stderr


def test_converting(chatstep: Commands, chat: str) -> None:
    """To stdout, in each format; our own JSON and CSV read back as the same messages."""
    for format in ("json", "csv"):
        written = chatstep("transcript", chat, "--to", format, "--assistant", "Robo").stdout_bytes
        again = chatstep.file(f"again.{format}", written)
        told, before = chatstep.json("transcript", again), chatstep.json("transcript", chat)
        assert told["authors"] == before["authors"]
        assert chatstep("transcript", again, "--to", format, "--assistant", "Robo").stdout_bytes == written
    rows = list(csv.DictReader(io.StringIO(written.decode())))
    assert [row["text"] for row in rows] == [item["text"] for item in TALK]
    (line,) = chatstep("transcript", chat, "--to", "openai-jsonl", "--assistant", "Robo").stdout.splitlines()
    assert [message["role"] for message in json.loads(line)["messages"]] == ["user", "user", "assistant", "user"]
    assert "--assistant" in chatstep("transcript", chat, "--to", "openai-jsonl", code=2).stderr


def test_writing_to_a_file(chatstep: Commands, chat: str) -> None:
    """What is there stays unless --force; a failure leaves it whole, and no other file behind."""
    target = chatstep.folder / "out" / "chat.csv"
    target.parent.mkdir()
    args = ("transcript", chat, "--to", "csv", "-O", str(target))
    assert "Wrote 4 messages" in chatstep(*args, "--last", "4").stderr
    written = target.read_bytes()
    refused = chatstep(*args, code=2)
    assert "exists already. Add --force" in refused.stderr
    chatstep(*args, "--force", "--last", "1")
    assert target.read_bytes() != written
    assert os.listdir(target.parent) == ["chat.csv"]
    assert "cannot be written" in chatstep(*args[:-1], str(target / "x"), code=2).stderr
    assert "cannot be written" in chatstep(*args[:-1], str(target.parent), "--force", code=2).stderr
    assert os.listdir(target.parent) == ["chat.csv"]
    chatstep(*args[:-1], "/dev/null", "--force")
    assert "--to FORMAT is missing" in chatstep("transcript", chat, "-O", str(target), code=2).stderr
    told = json.loads(chatstep("transcript", chat, "--to", "csv", "--json", code=2).stderr)
    assert "choose one" in told["message"]


def test_from_stdin(chatstep: Commands) -> None:
    """A pipe is as good as a file, and errors call it stdin."""
    assert chatstep.json("transcript", "-", input=json.dumps(CHAT))["messages"] == 4
    assert chatstep("transcript", "-", input="nothing", code=4).stderr.startswith("Error: stdin: ")


def test_an_error_as_json(chatstep: Commands) -> None:
    """One object on stderr."""
    told: dict[str, Any] = json.loads(chatstep("transcript", "nowhere.json", "--json", code=4).stderr)
    assert told["error"] == "unreadable_file"


def test_many_authors(chatstep: Commands) -> None:
    """The first twenty, unless all are wanted; names do nothing to a terminal."""
    talk = [{"author": f"P{at}\x1b[31m", "text": "x"} for at in range(30)]
    path = chatstep.file("many.json", talk)
    shown = chatstep("transcript", path)
    assert "… and 10 more with 10 messages" in shown.stdout
    assert "\x1b" not in shown.output
    assert "more with" not in chatstep("transcript", path, "--full").stdout


def test_the_file_that_is_read_is_not_written_over(chatstep: Commands) -> None:
    file = chatstep.file("wa.txt", "[8/15/23, 9:12:33 AM] Ana: Hello\n[8/15/23, 9:13:33 AM] Ben: Hi\n")
    before = Path(file).read_bytes()
    chatstep("transcript", file, "--to", "json", "-O", file, "--force", code=2)
    assert Path(file).read_bytes() == before


def test_system_messages_count_as_such(chatstep: Commands) -> None:
    """They are neither the assistant's nor a user's, whoever is named."""
    rows = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "q"}]
    path = chatstep.file("roles.json", [*rows, {"role": "assistant", "content": "a"}])
    shown = lines_of(chatstep("transcript", path).stdout)
    assert "Roles 1 assistant / 1 user / 1 system" in shown
    assert "system system 1 ████████████ 33%" in shown
    assert "user user 1 ████████████ 33%" in shown


def test_what_is_lost_is_said_when_it_is_converted(chatstep: Commands) -> None:
    """On stderr, beside the messages; what is left out on purpose is not a loss."""
    path = chatstep.file("chat.json", [*CHAT, {"author": "Ana", "text": " "}])
    assert chatstep("transcript", path, "--to", "csv").stderr == ""
    path = chatstep.file("chat.json", [*CHAT, {"who": "Ana"}])
    result = chatstep("transcript", path, "--to", "csv")
    assert f"Warning: Part of {path} was not read: 1 records that are no message (messages[4]" in result.stderr
    assert len(list(csv.reader(io.StringIO(result.stdout)))) == 5


@pytest.mark.parametrize(("option", "value"), [("--since", "yesterday"), ("--until", "2026-02-30")])
def test_a_time_that_is_none_names_its_option(chatstep: Commands, chat: str, option: str, value: str) -> None:
    """As every error of the command line does."""
    said = chatstep("transcript", chat, option, value, code=2).stderr
    assert said.startswith(f"Error: {option}: '{value}' is no date or time.")


def test_a_zip_by_a_pipe(chatstep: Commands) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("chat.json", json.dumps(CHAT))
    assert chatstep.json("transcript", "-", input=stream.getvalue())["messages"] == 4
