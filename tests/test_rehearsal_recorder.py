"""Recording from a provider with a key, and replaying without it. The key is found nowhere."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from chatstep.errors import InvalidInput, UnreadableFile
from chatstep.rehearsal import Recorder, Rehearsal, Replay
from chatstep.rehearsal.recorder import scrubbed
from chatstep.secret import Secret

KEY = "sk-MARKER-7c1f0e55"
SCRIPT = rf"""
key: {KEY}
rules:
  - when: 'hello (\w+)'
    reply: 'Hello \1, you are user-0123456789abcdefghij of org-abcdef123.'
    headers: {{openai-organization: org-MARKER, set-cookie: MARKER, retry-after: '1'}}
  - when: key
    reply: 'The key is {KEY}.'
  - when: limit
    fault: {{status: 429, retry_after: 2}}
  - when: bytes
    fault: invalid_utf8
  - when: again
    times: 1
    reply: first
  - when: again
    reply: second
"""


async def ask(provider: Rehearsal, text: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{provider.base_url}/chat/completions", json=body) as answer,
    ):
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read()


async def test_record_and_replay(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    questions: list[tuple[str, dict[str, Any]]] = [
        ("hello Ana", {}),
        ("hello Ben", {"stream": True, "user": "MARKER", "safety_identifier": "MARKER"}),
        (f"the key {KEY}", {}),
        ("limit", {}),
        ("bytes", {}),
        ("again", {}),
        ("again", {}),
    ]
    recorded = []
    async with Rehearsal(SCRIPT) as real, Rehearsal(Recorder(real.base_url, Secret(KEY), path)) as recorder:
        for text, more in questions:
            recorded.append(await ask(recorder, text, **more))
        async with openai.AsyncOpenAI(base_url=recorder.base_url, api_key="any") as sdk:
            models = [model.id async for model in sdk.models.list()]
    assert [status for status, _, _ in recorded] == [200, 200, 200, 429, 200, 200, 200]
    assert b"Hello Ana, you are [removed] of [removed]." in recorded[0][2]
    assert "data: [DONE]" in recorded[1][2].decode()
    assert recorded[3][1]["retry-after"] == "2"
    written = path.read_bytes()
    assert b"MARKER" not in written
    assert b"req_" not in written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(written.splitlines()) == 8

    async with Rehearsal(Replay(path)) as replay:
        for (text, more), (status, headers, body) in zip(questions, recorded, strict=True):
            if KEY in text:
                continue
            got = await ask(replay, text, **{**more, "user": "somebody else"})
            assert (got[0], got[2]) == (status, body)
            assert got[1]["content-type"] == headers["content-type"]
        assert b"second" in (await ask(replay, "again"))[2]
        async with openai.AsyncOpenAI(base_url=replay.base_url, api_key="any") as sdk:
            assert [model.id async for model in sdk.models.list()] == models
        replay.reset()
        assert b"first" in (await ask(replay, "again"))[2]
        status, _, body = await ask(replay, "something private")
        assert (status, json.loads(body)["error"]["code"]) == (400, "not_expected")
        assert b"private" not in body
        assert len(replay.unexpected) == 1


async def test_a_connection_that_does_not_answer(tmp_path: Path) -> None:
    async with Rehearsal() as gone:
        address = gone.base_url
    async with Rehearsal(Recorder(address, KEY, tmp_path / "r.jsonl")) as recorder:
        status, _, body = await ask(recorder, "hello")
    assert (status, json.loads(body)["error"]["code"]) == (502, "not_recorded")
    assert KEY.encode() not in body


async def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be written"):
        await Rehearsal(Recorder("http://127.0.0.1:9/v1", KEY, tmp_path)).start()
    with pytest.raises(UnreadableFile, match="cannot be read"):
        await Rehearsal(Replay(tmp_path / "none.jsonl")).start()
    (tmp_path / "bad.jsonl").write_text('{"method": "GET", "path": "/v1/models"}\n\n{"method"')
    with pytest.raises(InvalidInput) as caught:
        await Rehearsal(Replay(tmp_path / "bad.jsonl")).start()
    assert caught.value.place == "bad.jsonl line 3"


def test_scrubbed() -> None:
    text = "sk-proj-abcdef123456 org-abcdefgh proj_abcdefgh req_0123456789 gsk_x plain sk-12 my-own-key"
    assert scrubbed(text, "my-own-key", "") == "[removed] [removed] [removed] [removed] gsk_x plain sk-12 [removed]"
