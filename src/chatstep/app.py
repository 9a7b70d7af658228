"""The App: opens settings, store, connections and http in order, closes them in reverse, and hands out the step.

Made on purpose, one per event loop: ``async with App.open() as app: await app.complete("Hello")``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from chatstep.connections import Connections, undone_if_cancelled
from chatstep.errors import InvalidInput, StoreError
from chatstep.http import Http
from chatstep.message import History, Message
from chatstep.modules.openai.drafting import draft_for
from chatstep.modules.openai.environment import from_environment
from chatstep.modules.openai.inputs import Completion, CompletionFields, MakeChatCompletion, make_inputs
from chatstep.modules.openai.make_chat_completion import CompletionStream, make_chat_completion
from chatstep.modules.openai.request import Draft
from chatstep.settings import Settings
from chatstep.step import Listener, Run
from chatstep.store import Entry, Store
from chatstep.telemetry import tracing
from chatstep.telemetry.meter import Meter

if TYPE_CHECKING:
    from chatstep.flows.engine import Engine

__all__ = ["App"]

_log = logging.getLogger("chatstep")


class App:
    """Everything that is open while chatstep works."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self._begin_tracing = lambda: tracing.begin(environ)  # it holds a key, so it is not kept
        self._store: Store | None = None
        self._http: Http | None = None
        self.connections = Connections(lambda: self._store, lambda: from_environment(environ), settings.connection)
        self.meter = Meter()
        """What was counted since the App was made."""
        self._default: str | None = None
        self._context: AppContext | None = None
        self._flows: Engine | None = None

    @classmethod
    def open(cls, settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> App:
        """An App to enter with ``async with``. Settings and environment default to those of the process."""
        environ = os.environ if environ is None else environ
        return cls(settings or Settings.load(environ), environ)

    async def __aenter__(self) -> Self:
        settings = self.settings
        self._store = await undone_if_cancelled(
            lambda: Store.open(settings.home, settings.store, settings.seal_key), Store.close
        )
        self._http = Http(private=settings.private_addresses == "allow")
        await asyncio.to_thread(self._begin_tracing)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        store, http, flows = self.store, self.http, self._flows
        async with AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.to_thread, tracing.flush)
            closing.push_async_callback(asyncio.to_thread, store.close)
            closing.push_async_callback(self.connections.close)
            closing.push_async_callback(http.close)
            closing.callback(self._let_go)
            if flows is not None:
                closing.push_async_callback(flows.close)  # its steps under way still use the rest

    def _let_go(self) -> None:
        """From here on nothing new begins: what is opened now would be closed by nobody."""
        self._store = self._http = self._context = self._default = self._flows = None

    @property
    def store(self) -> Store:
        """The open store. Its calls block; on the event loop, make them in a thread."""
        if self._store is None:
            raise RuntimeError("The App is not open: use `async with App.open() as app`.")
        return self._store

    @property
    def http(self) -> Http:
        """The open HTTP client."""
        if self._http is None:
            raise RuntimeError("The App is not open: use `async with App.open() as app`.")
        return self._http

    @property
    def flows(self) -> Engine:
        """The engine of flows. It opens its database when it is first asked, and does runs once one was started."""
        if self._flows is None:
            from chatstep.flows.engine import Engine

            self._flows = Engine(self.settings, self.store, self.context)
            self._flows.listeners.append(self.meter.ran)
        return self._flows

    async def complete(
        self, message: str | Message | MakeChatCompletion = "", /, **fields: Unpack[CompletionFields]
    ) -> Completion:
        """Run Make Chat Completion; raises the errors of `chatstep.errors`."""
        context = self.context
        completion: Completion = await make_chat_completion.run(await self.inputs(message, fields), context)
        return completion

    def stream(
        self, message: str | Message | MakeChatCompletion = "", /, **fields: Unpack[CompletionFields]
    ) -> AbstractAsyncContextManager[CompletionStream]:
        """Run Make Chat Completion as a stream: ``async with app.stream(...) as stream: async for text in stream``."""
        return _Opening(self, message, fields)

    async def preview(
        self,
        message: str | Message | MakeChatCompletion = "",
        /,
        *,
        stream: bool = False,
        **fields: Unpack[CompletionFields],
    ) -> Draft:
        """What `complete` (or, with ``stream``, `stream`) would send. Needs no key and sends nothing."""
        inputs = await self.inputs(message, fields)
        connection = await self.connections.unsealed(inputs.connection, key=False)
        try:
            return await asyncio.to_thread(draft_for, inputs, connection, stream=stream)
        finally:
            await connection.close()

    async def inputs(
        self, message: str | Message | MakeChatCompletion, fields: Mapping[str, Any] | None = None
    ) -> MakeChatCompletion:
        """The step's inputs from loose values, with the default connection and model where none are named.

        A `pathlib.Path` as ``history`` is read as a transcript of any known format.
        """
        if isinstance(message, MakeChatCompletion):
            if fields:
                raise InvalidInput("Give inputs as one MakeChatCompletion or as keywords, not both.", place=min(fields))
            return message
        fields = dict(fields or {})
        if not fields.get("connection"):
            fields["connection"] = await self.default_connection()
        if self.settings.model and "model" not in fields:
            fields["model"] = self.settings.model
        if isinstance(fields.get("history"), Path):
            who = History(fields.pop("assistant", None) or ()).assistant
            fields["history"] = await asyncio.to_thread(_read_history, fields["history"], who)
        return make_inputs(message, fields)

    async def default_connection(self) -> str:
        """The connection to use where none is named; raises InvalidInput where that is not clear."""
        if self._default is None:
            self._default = await asyncio.to_thread(self.connections.default)
        return self._default

    @property
    def context(self) -> AppContext:
        """What a step that runs here may ask for."""
        if self._context is None:
            self._context = AppContext(self)
        return self._context


def _read_history(path: Path, who: tuple[str, ...]) -> History:
    from chatstep.transcripts import match_assistant, read_transcript

    transcript = read_transcript(path)
    return History(match_assistant(transcript, who), transcript.messages)


class AppContext:
    """The App as its steps see it (see `chatstep.step.Context`)."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._ledger = app.store.ledger
        self.connection = app.connections.get
        self.conversations = app.store.conversations
        self.run: Run | None = None
        self.listener: Listener | None = None

    @property
    def send(self) -> Callable[..., Awaitable[Any]]:
        """`Http.send` of the App, while it is open."""
        return self._app.http.send

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]:
        """`Http.stream` of the App, while it is open."""
        return self._app.http.stream

    def emit(self, event: Any) -> None:
        """Record a completion in the ledger, and count it; other events have no listener yet."""
        if not isinstance(event, Entry):
            return
        self._app.meter.called(event)
        tracing.called(event)
        try:
            self._ledger.record(event)
        except StoreError as error:  # the App was closed meanwhile; a reply that is paid for must not be lost by that
            _log.error("A completion on connection %s could not be recorded: %s", event.connection, error)


class _Opening:
    """Makes the inputs, which may have to look for the default connection, before the stream is entered."""

    def __init__(self, app: App, message: str | Message | MakeChatCompletion, fields: Mapping[str, Any]) -> None:
        self._app, self._message, self._fields = app, message, fields
        self._stream: CompletionStream | None = None

    async def __aenter__(self) -> CompletionStream:
        context = self._app.context
        self._stream = CompletionStream(await self._app.inputs(self._message, self._fields), context)
        return await self._stream.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.__aexit__(kind, error, trace)
