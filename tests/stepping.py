"""Fixtures for tests of the whole step: an App in a folder of its own, and connections to a rehearsal provider."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from chatstep.app import App
from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.settings import Settings
from chatstep.store import StoredConnection

KEY = "sk-rehearsal-key"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of an App of its own."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    """An open App that knows nothing of the environment."""
    async with App.open(settings, {}) as app:
        yield app


class Stage:
    """An App with a connection `p` to a provider that plays a script."""

    def __init__(self, app: App, provider: Rehearsal) -> None:
        self.app = app
        self.provider = provider

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies that the provider received, oldest first."""
        return [request.body for request in self.provider.requests]

    async def stream(self, message: str = "Hello", **fields: Any) -> tuple[list[str], Any]:
        """The pieces of a streamed reply, and its completion."""
        pieces = []
        async with self.app.stream(message, connection="p", **fields) as stream:
            async for piece in stream:
                pieces.append(piece)
        return pieces, stream.completion

    async def ask(self, *, stream: bool, message: str = "Hello", **fields: Any) -> Any:
        """The completion, by either way."""
        if stream:
            return (await self.stream(message, **fields))[1]
        return await self.app.complete(message, connection="p", **fields)


Staging = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage(app: App) -> AsyncIterator[Staging]:
    """Makes a Stage from a script (YAML); keywords are limits and settings of the connection."""
    async with AsyncExitStack() as stack:

        async def make(script: str | None = None, *, kind: str = "openai", **options: Any) -> Stage:
            provider = await stack.enter_async_context(Rehearsal(script))
            limits = {name: options.pop(name) for name in ("daily_limit", "monthly_limit") if name in options}
            url = {"azure": ("endpoint", provider.address)}.get(kind, ("base_url", provider.base_url))
            where = dict([url])
            stored = StoredConnection("p", "openai", kind, {**where, **options}, **limits)
            await asyncio.to_thread(app.store.connections.add, stored, {"api_key": Secret(KEY)})
            return Stage(app, provider)

        yield make


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that connects beyond this machine fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(("127.", "::1")):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def no_stalls() -> Iterator[None]:
    """A blocking call of chatstep's inside the event loop fails the test."""
    guard = BlockBuster("chatstep")
    guard.activate()
    yield
    guard.deactivate()
