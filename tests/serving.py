"""Fixtures for tests of the server: an App that serves, and connections to rehearsal providers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from chatstep.app import App
from chatstep.server.listening import Listen, Server
from stepping import Stage


class Served:
    """A server, the App behind it, and a plain client."""

    def __init__(self, server: Server, app: App, client: aiohttp.ClientSession) -> None:
        self.server, self.app, self.client = server, app, client

    @property
    def v1(self) -> str:
        return f"{self.server.address}/v1"

    async def post(self, body: Any = None, path: str = "/v1/chat/completions", **options: Any) -> tuple[int, Any]:
        """Status and decoded body of one request."""
        if body is not None:
            options["json"] = body
        async with self.client.post(self.server.address + path, **options) as answer:
            return answer.status, await answer.json(content_type=None)


Serving = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serving(app: App) -> AsyncIterator[Serving]:
    """Starts a server; keywords are those of `Listen`."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(**listen: Any) -> Served:
            server = await stack.enter_async_context(Server(app, Listen(port=0, **listen)))
            return Served(server, app, client)

        yield start


@pytest.fixture
async def served(serving: Serving) -> Served:
    """A server as it comes."""
    return await serving()


@pytest.fixture
def gateway(serving: Serving, stage: Callable[..., Awaitable[Stage]]) -> Callable[..., Awaitable[tuple[Served, Stage]]]:
    """A server, and behind its connection `p` a provider that plays a script."""

    async def make(script: str | None = None, *, listen: dict[str, Any] | None = None, **options: Any) -> Any:
        return await serving(**(listen or {})), await stage(script, **options)

    return make
