"""`chatstep conversations`: what is kept is listed, shown, exported, imported, renamed, deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatstep.rehearsal import Rehearsal
from command_line import TALK, Commands
from test_cli_transcript import CHAT

Serve = Callable[..., Rehearsal]


@pytest.fixture
def kept(chatstep: Commands) -> str:
    """The id of an imported conversation."""
    path = chatstep.file("chat.json", CHAT)
    return chatstep("conversations", "import", path, "--assistant", "Robo", "--id", "keys").stdout.strip()


def messages(chatstep: Commands, id: str) -> Any:
    return chatstep.json("conversations", "show", id)["messages"]


def test_an_imported_one_goes_on(chatstep: Commands, serve: Serve, kept: str) -> None:
    """With the roles that the import gave."""
    provider = serve("- reply: At nine.\n")
    assert chatstep("chat", "--conversation", kept, "--name", "Ana", input="Well?\n").stdout == "At nine.\n"
    (request,) = provider.requests
    assert [message["role"] for message in request.body["messages"]] == ["user", "user", "assistant", "user", "user"]
    assert messages(chatstep, kept)[-1]["author"]["name"] == "Robo"
    (listed,) = chatstep.json("conversations", "list")
    assert (listed["id"], listed["title"], listed["messages"]) == ("keys", "Who has the keys?", 6)
    assert listed["assistant"] == {"name": "Robo", "id": "b1", "bot": True}


@pytest.mark.parametrize("format", ["json", "csv"])
def test_a_round_trip(chatstep: Commands, kept: str, format: str) -> None:
    """Exported and imported, the messages are the same, to the last field."""
    path = str(chatstep.folder / f"out.{format}")
    chatstep("conversations", "export", kept, "--to", format, "-O", path)
    who = () if format == "json" else ("--assistant", "b1")
    again = chatstep("conversations", "import", path, *who, "--title", "Again").stdout.strip()
    assert messages(chatstep, again) == messages(chatstep, kept)
    both = chatstep.json("conversations", "list")
    assert both[0]["assistant"] == both[1]["assistant"]
    assert both[0]["title"] == "Again"


def test_a_round_trip_by_roles(chatstep: Commands, kept: str) -> None:
    """A fine-tuning line keeps roles and texts, and no names."""
    line = chatstep("conversations", "export", kept, "--to", "openai-jsonl").stdout
    again = chatstep("conversations", "import", "-", "--id", "roles", input=line).stdout.strip()
    assert chatstep("conversations", "export", again, "--to", "openai-jsonl").stdout == line
    assert [message["text"] for message in messages(chatstep, again)] == [item["text"] for item in TALK]


def test_several_assistants(chatstep: Commands, serve: Serve) -> None:
    """All of them count as the assistant in `chat`, and after an export too."""
    provider = serve("- reply: ok\n")
    path = chatstep.file("chat.json", CHAT)
    chatstep("conversations", "import", path, "--assistant", "Robo", "--assistant", "u2", "--id", "two")
    chatstep("chat", "--conversation", "two", input="Well?\n")
    exported = json.loads(chatstep("conversations", "export", "two", "--to", "json").stdout)
    roles = [message["role"] for message in provider.requests[0].body["messages"]]
    assert roles == ["user", "assistant", "assistant", "user", "user"]
    assert set(exported["assistant"]) == {"u2", "b1"}


def test_a_part_of_a_file(chatstep: Commands) -> None:
    """The same choices as elsewhere."""
    path = chatstep.file("chat.json", CHAT)
    told = chatstep("conversations", "import", path, "--assistant", "Robo", "--last", "2", "--id", "part")
    assert "Read 4 messages, 2 of them chosen" in told.stderr
    assert "chat --conversation part" in told.stderr
    assert [message["id"] for message in messages(chatstep, "part")] == ["m3", "m4"]


def test_what_cannot_be_imported(chatstep: Commands, kept: str) -> None:
    """Each error leaves nothing behind."""
    path = chatstep.file("chat.json", CHAT)
    chatstep("conversations", "import", path, "--assistant", "Robo", "--id", kept, code=2)
    chatstep("conversations", "import", path, code=2)
    chatstep("conversations", "import", path, "--assistant", "Rob", code=3)
    chatstep("conversations", "import", "nowhere.json", code=4)
    chatstep("conversations", "import", path, "--assistant", "Robo", "--id", "a\nb", code=2)
    assert [row["id"] for row in chatstep.json("conversations", "list")] == [kept]


def test_showing(chatstep: Commands, kept: str) -> None:
    """Who, when and what; codes that a terminal obeys are not shown."""
    shown = chatstep("conversations", "show", kept)
    assert "\nZoë 🌿  2026-03-02 10:00\nI have them.\n" in shown.stdout
    assert "keys “Who has the keys?”: 4 messages; Robo is the assistant." in shown.stderr
    last = chatstep("conversations", "show", kept, "--last", "1")
    assert last.stdout == "\nAna  2026-03-04 10:00\nThanks. When do we open?\n"
    assert "the newest 1 of them here" in last.stderr
    data = chatstep.json("conversations", "show", kept, "--last", "1")
    assert (data["id"], data["count"], len(data["messages"])) == (kept, 4, 1)
    wild = chatstep.file("wild.json", [{"author": "A\x1b[1m", "text": "b\x1b[31m\u202e"}])
    chatstep("conversations", "import", wild, "--assistant", "A\x1b[1m", "--id", "wild")
    assert "\x1b" not in chatstep("conversations", "show", "wild").output


def test_renaming_and_deleting(chatstep: Commands, kept: str) -> None:
    """A title is one line; deleting asks first."""
    chatstep("conversations", "rename", kept, "Keys and\nhours")
    assert chatstep.json("conversations", "list")[0]["title"] == "Keys and hours"
    chatstep("conversations", "rename", kept, " ", code=2)
    assert "--yes" in chatstep("conversations", "delete", kept, code=2).stderr
    chatstep("conversations", "delete", kept, "--yes")
    assert chatstep.json("conversations", "list") == []
    assert "There is no conversation yet" in chatstep("conversations", "list").stderr


def test_one_that_is_not_there(chatstep: Commands, kept: str) -> None:
    """Near ids are told."""
    for command in (["show"], ["export", "--to", "json"], ["delete", "--yes"]):
        assert "Did you mean keys?" in chatstep("conversations", command[0], "kys", *command[1:], code=3).stderr
    chatstep("conversations", "rename", "kys", "x", code=3)


def test_exports_do_not_overwrite(chatstep: Commands, kept: str) -> None:
    """Unless told to."""
    path = chatstep.file("out.csv", "mine")
    chatstep("conversations", "export", kept, "--to", "csv", "-O", path, code=2)
    chatstep("conversations", "export", kept, "--to", "csv", "-O", path, "--force")
    assert "Ana" in Path(path).read_text(encoding="utf-8")


def test_a_title_is_no_number_of_a_line(chatstep: Commands) -> None:
    """Files of one conversation a line call it by its number; its first words tell more. Damage is told."""
    line = json.dumps({"messages": [{"role": "user", "content": "How deep?"}, {"role": "assistant", "content": "So."}]})
    path = chatstep.file("lines.jsonl", f"{line}\n{line[:30]}\n".encode())
    result = chatstep("conversations", "import", path, "--id", "depth")
    assert "was not read: 1 lines that are no conversation" in result.stderr
    assert [each["title"] for each in chatstep.json("conversations", "list")] == ["How deep?"]
