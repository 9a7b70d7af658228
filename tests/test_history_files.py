"""The Python API takes transcripts as the command line does: a Path as history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatstep import App
from chatstep.errors import InvalidInput, UnknownName, UnreadableFile

TALK = "[15/08/2026, 09:12:33] Ana: When do I prune roses?\r\n[15/08/2026, 09:13:02] Flora: In spring.\r\n"


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """What a phone exports."""
    path = tmp_path / "_chat.txt"
    path.write_text(TALK, encoding="utf-8", newline="")
    return path


async def test_a_path_is_read(tmp_path: Path, chat: Path) -> None:
    """By `complete`, `stream` and `preview`, with the assistant that is named or that the file names."""
    roles = tmp_path / "roles.jsonl"
    roles.write_text(
        json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
    )
    async with App.open(environ={"CHATSTEP_HOME": str(tmp_path)}) as app:
        draft = await app.preview("And in winter?", connection="rehearsal", history=chat, assistant="Flora")
        assert [(each.role, each.content) for each in draft.prompt.messages] == [
            ("user", "When do I prune roses?"),
            ("assistant", "In spring."),
            ("user", "And in winter?"),
        ]
        done = await app.complete("And in winter?", connection="rehearsal", history=chat, assistant=["Flora"])
        assert done.usage.prompt == draft.prompt.tokens
        async with app.stream("Well?", connection="rehearsal", history=roles) as stream:
            assert "".join([text async for text in stream])


async def test_what_is_wrong_with_a_path(tmp_path: Path, chat: Path) -> None:
    """The errors of the readers, before anything is sent."""
    async with App.open(environ={"CHATSTEP_HOME": str(tmp_path)}) as app:
        for history, assistant, kind in (
            (chat, "Flra", UnknownName),
            (chat, (), InvalidInput),
            (tmp_path / "nowhere.zip", "Flora", UnreadableFile),
        ):
            with pytest.raises(kind):
                await app.complete("Hi", connection="rehearsal", history=history, assistant=assistant)
        with pytest.raises(InvalidInput, match="pathlib"):
            await app.complete("Hi", connection="rehearsal", history=str(chat), assistant="Flora")
