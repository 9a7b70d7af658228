"""The small steps: values, waiting, other flows, splitting, kept conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from chatstep.app import App
from chatstep.errors import InvalidInput
from chatstep.message import Author, Message
from chatstep.registry import step_named


class Run:
    """A run that notes what a step asks of it."""

    def __init__(self, conversation: str | None = None) -> None:
        self.id, self.flow, self.key, self.conversation = "run-1", "shop", "run-1:note", conversation
        self.slept: list[float] = []
        self.called: list[tuple[str, dict[str, Any]]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def call(self, flow: str, inputs: Mapping[str, Any]) -> Any:
        self.called.append((flow, dict(inputs)))
        return {"answer": 42}


class InRun:
    """The App's context, in a run."""

    def __init__(self, app: App, run: Run) -> None:
        self.run = run
        self.conversations = app.context.conversations


async def do(app: App, name: str, run: Run | None = None, **inputs: Any) -> Any:
    step = step_named(name)
    context: Any = app.context if run is None else InRun(app, run)
    return await step.run(msgspec.convert(inputs, step.inputs), context)


async def test_values_keep_their_types(app: App) -> None:
    values = {"text": "x", "list": [1, {"a": None}], "flag": True}
    assert (await do(app, "flow.set", values=values)).values == values


async def test_waiting_is_the_runs_business(app: App) -> None:
    run = Run()
    assert (await do(app, "flow.wait", run, seconds=3600)).seconds == 3600
    later = datetime.now(UTC) + timedelta(hours=1)
    await do(app, "flow.wait", run, until=later.isoformat())
    await do(app, "flow.wait", run, until="2001-01-01T00:00:00")
    assert run.slept[0] == 3600
    assert 3500 < run.slept[1] <= 3600
    assert run.slept[2] == 0


@pytest.mark.parametrize(
    "inputs",
    [{}, {"seconds": 1, "until": "2030-01-01"}, {"until": "tomorrow"}, {"until": ""}, {"until": "9999-01-01T00:00Z"}],
)
async def test_a_wait_that_cannot_be(app: App, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await do(app, "flow.wait", Run(), **inputs)


async def test_another_flow_is_called_by_the_run(app: App) -> None:
    run = Run()
    assert (await do(app, "flow.call", run, flow="other", inputs={"x": 1})).outputs == {"answer": 42}
    assert run.called == [("other", {"x": 1})]


@pytest.mark.parametrize(("name", "inputs"), [("flow.wait", {"seconds": 1}), ("flow.call", {"flow": "x"})])
async def test_what_needs_a_run_says_so(app: App, name: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no run"):
        await do(app, name, **inputs)


@pytest.mark.parametrize(("limit", "most"), [("discord", 2000), ("telegram", 4096), ("slack", 40_000), (30, 30)])
async def test_parts_fit(app: App, limit: Any, most: int) -> None:
    text = "The beans are up. The slugs know it.\n\n" * 3000
    made = await do(app, "text.split", text=text, limit=limit)
    assert made.count == len(made.parts) > 1
    assert max(map(len, made.parts)) <= most
    assert " ".join(made.parts).split() == text.split()


async def test_a_message_is_kept_once(app: App) -> None:
    run = Run("garden")
    first = await do(app, "conversation.add", run, author="Robin", text="Noted.")
    again = await do(app, "conversation.add", run, author="Robin", text="Noted.")
    other = await do(app, "conversation.add", run, author="Ana", text="Thanks.", id="m2")
    assert (first.conversation, first.id, first.added, again.added, other.added) == (
        "garden",
        "run-1:note",
        True,
        False,
        True,
    )
    read = await do(app, "conversation.read", run)
    assert [(message.author.name, message.text) for message in read.messages] == [
        ("Robin", "Noted."),
        ("Ana", "Thanks."),
    ]
    assert (read.count, read.older_exist) == (2, False)
    last = await do(app, "conversation.read", run, last=1)
    assert ([message.id for message in last.messages], last.count, last.older_exist) == (["m2"], 2, True)


async def test_many_begin_one_conversation_at_once(app: App) -> None:
    await asyncio.gather(
        *(do(app, "conversation.add", Run("new"), author="Ana", text=str(n), id=str(n)) for n in range(20))
    )
    assert (await do(app, "conversation.read", conversation="new")).count == 20


async def test_the_assistant_of_a_conversation_is_told(app: App) -> None:
    await asyncio.to_thread(app.store.conversations.create, "shop", assistant=Author("Robin", id="bot-7"))
    await asyncio.to_thread(app.store.conversations.append, "shop", Message("Ana", "Hello"))
    assert (await do(app, "conversation.read", conversation="shop")).assistant == "bot-7"
    nothing = await do(app, "conversation.read", conversation="nowhere")
    assert (nothing.messages, nothing.count) == ((), 0)


@pytest.mark.parametrize("name", ["conversation.add", "conversation.read"])
async def test_no_conversation_at_all(app: App, name: str) -> None:
    inputs = {"author": "Ana", "text": "x"} if name.endswith("add") else {}
    for run in (None, Run()):
        with pytest.raises(InvalidInput) as caught:
            await do(app, name, run, **inputs)
        assert caught.value.place == "conversation"
