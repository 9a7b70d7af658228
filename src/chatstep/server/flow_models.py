"""A flow as a model: ``flow/NAME`` in a request runs the flow's chat trigger and answers with its output `message`.

The newest user message is the event's text. What came before it is in ``trigger.data``: ``instructions``, and
``messages`` with their roles, which a step takes as its history.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from chatstep.errors import InvalidInput
from chatstep.flows.engine import run_id
from chatstep.flows.events import Event
from chatstep.message import Author, message_from
from chatstep.registry import unknown
from chatstep.server.flow_answers import FlowAnswer, FlowStream

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.flows.definition import Flow
    from chatstep.flows.records import RunRecord
    from chatstep.modules.openai.wanted import Wanted
    from chatstep.step import Listener

__all__ = ["FLOW", "FlowModels"]

FLOW = "flow/"
_FRESH = 1.0  # seconds that a flow is believed to be the published version


class FlowModels:
    """The published flows that have a chat trigger."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._known: dict[str, tuple[Flow, float]] = {}

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
        flow = await self._find(wanted.model)
        return FlowAnswer(await self._run(flow, _event(wanted, event_id), event_id is None), wanted.model)

    async def stream(self, wanted: Wanted, event_id: str | None) -> FlowStream:
        """The same as a stream, which runs the flow when it is opened."""
        flow, event = await self._find(wanted.model), _event(wanted, event_id)
        run = partial(self._run, flow, event, event_id is None)
        return FlowStream(run_id(flow, event), wanted.model, run, include_usage=wanted.include_usage)

    async def _find(self, model: str) -> Flow:
        flow, until = self._known.get(model, (None, 0.0))
        if flow is not None and until > time.monotonic():
            return flow
        names = await self.names()
        if model not in names:
            raise unknown("flow with a chat trigger", model[:200], names, place="model")
        flow = await self._app.flows.current(model.removeprefix(FLOW))
        self._known[model] = (flow, time.monotonic() + _FRESH)
        return flow

    async def _run(self, flow: Flow, event: Event, first: bool, listener: Listener | None = None) -> RunRecord:
        started = await self._app.flows.start(flow, event, first=first, listener=listener)
        return started.record or await self._app.flows.wait(started.id)


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
    try:
        items = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput("A number is too large, or something nested too deeply.", place="messages") from None
    if not isinstance(items, list):
        raise InvalidInput("Expected a list of messages.", place="messages")
    return items


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None
