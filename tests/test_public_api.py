"""The public surface: what it names, how light it is, and the small doors `complete` and `acomplete`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import chatstep
from chatstep.modules.openai.inputs import CompletionFields, MakeChatCompletion
from chatstep.rehearsal import Rehearsal

ROOT = Path(__file__).parent.parent


def test_all_is_sorted_and_there() -> None:
    assert chatstep.__all__ == sorted(chatstep.__all__)
    for name in chatstep.__all__:
        assert getattr(chatstep, name).__module__.startswith("chatstep")
    with pytest.raises(AttributeError, match="compleet"):
        chatstep.compleet  # noqa: B018


def test_importing_loads_neither_network_nor_database() -> None:
    heavy = "aiohttp ssl sqlite3 psycopg cryptography genai_prices splintr rich click ruamel"
    code = f"import chatstep, sys; print(*(name for name in {heavy.split()!r} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_every_input_can_be_given_as_a_keyword() -> None:
    fields = set(MakeChatCompletion.__struct_fields__) - {"message"}
    spellings = {"max_completion_tokens", "max_output_tokens", "assistant"}
    assert set(CompletionFields.__annotations__) == fields | spellings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A process environment with a folder of its own and nothing of the machine's."""
    monkeypatch.setenv("CHATSTEP_HOME", str(tmp_path / "home"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "CHATSTEP_CONNECTION", "CHATSTEP_STORE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_complete(environment: pytest.MonkeyPatch) -> None:
    with Rehearsal.in_thread("rules:\n  - reply: Hello yourself.\n") as provider:
        environment.setenv("OPENAI_API_KEY", "sk-x")
        environment.setenv("OPENAI_BASE_URL", provider.base_url)
        done = chatstep.complete(
            "Hello", history=[chatstep.Message("Ana", "Hi")], assistant="Robo", max_output_tokens=9
        )
        assert done.message == "Hello yourself."
        assert provider.requests[0].body["max_tokens"] == 9


async def test_acomplete_inside_a_loop_and_complete_says_so(environment: pytest.MonkeyPatch) -> None:
    done = await chatstep.acomplete("Hello", connection="rehearsal")
    assert done.message
    with pytest.raises(RuntimeError, match="acomplete"):
        chatstep.complete("Hello", connection="rehearsal")


def test_wrong_inputs_name_the_field(environment: pytest.MonkeyPatch) -> None:
    for fields, place in (
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"model": " "}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"history": [("Ana", "hi")]}, "history.assistant"),
        ({"history": "hi"}, "history"),
        ({"history": [{"author": "Ana"}], "assistant": "x"}, "history.messages[0]"),
        ({"max_tokens": 1, "max_output_tokens": 2}, "max_output_tokens"),
        ({"extra": {"model": "x"}}, "extra.model"),
    ):
        with pytest.raises(chatstep.ChatstepError) as caught:
            chatstep.complete("Hello", connection="rehearsal", **fields)  # type: ignore[arg-type]
        assert caught.value.place == place
    with pytest.raises(chatstep.ChatstepError, match="max_tokens"):
        chatstep.complete("Hello", connection="rehearsal", max_token=5)  # type: ignore[call-arg]
    with pytest.raises(chatstep.ChatstepError, match="nothing to send"):
        chatstep.complete("", connection="rehearsal")
