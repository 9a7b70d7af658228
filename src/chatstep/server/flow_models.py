"""A flow as a model: ``flow/NAME`` in a request runs the flow's chat trigger and answers with its output `message`.

The newest user message is the event's text. What came before it is in ``trigger.data``: ``instructions``, and
``messages`` with their roles, which a step takes as its history.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from chatstep.errors import InvalidInput, from_data
from chatstep.flows.events import Event
from chatstep.message import Author, message_from
from chatstep.modules.openai.wire import (
    ChatCompletion,
    Choice,
    Chunk,
    ChunkChoice,
    CompletionUsage,
    Delta,
    ReplyMessage,
    encode,
    encode_event,
)
from chatstep.registry import unknown

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.flows.records import RunRecord
    from chatstep.modules.openai.wanted import Wanted

__all__ = ["FLOW", "FlowAnswer", "FlowModels"]

FLOW = "flow/"


class FlowAnswer:
    """What a run gave, in the protocol's shapes."""

    def __init__(self, record: RunRecord, model: str) -> None:
        self.run = record.id
        self._model, self._created = model, int(record.created)
        self._text = _message_of(record)
        self._finish = next((step.output["finish_reason"] for step in reversed(record.steps) if _ended(step)), "stop")
        prompt = sum(step.prompt_tokens or 0 for step in record.steps)
        completion = sum(step.completion_tokens or 0 for step in record.steps)
        self._usage = CompletionUsage(prompt, completion, prompt + completion)

    def whole(self) -> bytes:
        """The answer in one piece."""
        choice = Choice(message=ReplyMessage(content=self._text), finish_reason=self._finish)
        answer = ChatCompletion(
            id=self.run, created=self._created, model=self._model, choices=[choice], usage=self._usage
        )
        return encode(answer)

    def events(self, *, include_usage: bool) -> bytes:
        """The answer as a stream of one piece."""
        parts = [
            ChunkChoice(delta=Delta(role="assistant", content=self._text)),
            ChunkChoice(delta=Delta(), finish_reason=self._finish),
        ]
        chunks = [self._chunk([part]) for part in parts]
        if include_usage:
            chunks.append(self._chunk([], self._usage))
        return b"".join(map(encode_event, chunks))

    def _chunk(self, choices: list[ChunkChoice], usage: CompletionUsage | None = None) -> Chunk:
        made = Chunk(id=self.run, created=self._created, model=self._model, choices=choices)
        if usage is not None:
            made.usage = usage
        return made


class FlowModels:
    """The published flows that have a chat trigger."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def names(self) -> dict[str, int]:
        """Their names as models, each with the second since when it is as it is."""
        found: dict[str, int] = {}
        for published in await asyncio.to_thread(self._app.store.flows.all):
            flow = await self._app.flows.version(published.name, published.version)
            if any(trigger.type == "chat" for trigger in flow.on):
                found[FLOW + flow.name] = published.changed // 1000
        return found

    async def answer(self, wanted: Wanted, event_id: str | None) -> FlowAnswer:
        """Run the flow, once per ``event_id``; raises what the run failed with."""
        names = await self.names()
        if wanted.model not in names:
            raise unknown("flow with a chat trigger", wanted.model[:200], names, place="model")
        event = _event(wanted, event_id)
        started = await self._app.flows.start(wanted.model.removeprefix(FLOW), event)
        return FlowAnswer(await self._app.flows.wait(started.id), wanted.model)


def _event(wanted: Wanted, event_id: str | None) -> Event:
    instructions: list[str] = []
    messages: list[dict[str, Any]] = []
    for at, item in enumerate(_items(wanted.fields["messages"])):
        message = message_from(item, f"messages[{at}]")
        if message.role == "system":
            instructions.append(message.text)
        elif message.text:
            messages.append({"role": message.role or "user", "content": message.text, "name": _name(item)})
    if not messages or messages[-1]["role"] != "user":
        raise InvalidInput(
            "The last message is not a user's.", place="messages", hint="A flow answers a user's message."
        )
    newest = messages.pop()
    return Event(
        type="chat",
        id=event_id or uuid.uuid4().hex,
        text=newest["content"],
        author=Author(newest["name"] or "user"),
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        data={
            "instructions": "\n\n".join(instructions),
            "messages": [{key: value for key, value in one.items() if value is not None} for one in messages],
        },
    )


def _items(raw: Raw) -> list[Any]:
    items = msgspec.json.decode(raw)
    if not isinstance(items, list):
        raise InvalidInput("Expected a list of messages.", place="messages")
    return items


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _message_of(record: RunRecord) -> str:
    """The flow's output `message`; raises what the run failed with, or that it has none."""
    if record.error is not None:
        raise from_data(record.error).with_details(run=record.id)
    message = record.outputs.get("message")
    if not isinstance(message, str):
        raise InvalidInput(
            f"The flow {record.flow!r} gave no output `message`, so there is nothing to answer with.",
            place="model",
            hint="Give it one under `outputs:`.",
            run=record.id,
        )
    return message


def _ended(step: Any) -> bool:
    return isinstance(step.output, dict) and isinstance(step.output.get("finish_reason"), str)
