"""What a step of a run may ask for: what the App gives, and the run itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from chatstep.flows.definition import Flow
from chatstep.flows.engine.job import Job
from chatstep.flows.speaking import speaker
from chatstep.step import Connection, Context, Listener

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ["Doing", "StepContext"]


class Doing(Protocol):
    """A run under way."""

    id: str
    job: Job
    flow: Flow

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def run_flow(self, key: str, name: str, inputs: Mapping[str, Any]) -> Any:
        """Run another flow to its end, once for this key, and give its outputs."""


class _Run:
    """The run as a step sees it (see `chatstep.step.Run`)."""

    def __init__(self, doing: Doing, name: str) -> None:
        self._doing = doing
        self.id = doing.id
        self.flow = doing.flow.name
        self.conversation = doing.job.conversation
        step, _, index = name.rstrip("]").partition("[")
        self.key = f"{self.id}:{step}:{index}" if index else f"{self.id}:{step}"

    async def sleep(self, seconds: float) -> None:
        await self._doing.sleep(seconds)

    async def call(self, flow: str, inputs: Mapping[str, Any]) -> Any:
        return await self._doing.run_flow(self.key, flow, inputs)


class StepContext:
    """The App as a step of a run sees it (see `chatstep.step.Context`).

    ``listener`` is who hears the run: the one step that speaks for the flow, and that from its beginning.
    """

    def __init__(self, app: Context, doing: Doing, name: str, listener: Listener | None) -> None:
        self._app = app
        self.run = _Run(doing, name)
        self.listener = listener
        if listener is not None and (listener.heard or speaker(doing.flow) != name):
            self.listener = None
        self.conversations = app.conversations
        self.emit = app.emit

    @property
    def connection(self) -> Callable[[str], Awaitable[Connection]]:
        """`Connections.get` of the App."""
        return self._app.connection

    @property
    def send(self) -> Callable[..., Awaitable[Any]]:
        """`Http.send` of the App."""
        return self._app.send

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]:
        """`Http.stream` of the App."""
        return self._app.stream
