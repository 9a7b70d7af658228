"""Fixtures for tests of the server: an App that serves, and connections to rehearsal providers behind it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self

import aiohttp
import pytest

from chatstep.app import App
from chatstep.server.listening import Listen, Server
from chatstep.settings import Settings
from command_line import Commands
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


@contextmanager
def running(chatstep: Commands, *args: str) -> Iterator[tuple[subprocess.Popen[str], str, IO[str]]]:
    """A server as a process, its address, and what it says."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "chatstep", "serve", "--port", "0", *args],
        env=chatstep.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stdout, process.stderr:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            assert address is not None
            yield process, address[0], process.stderr
        finally:
            process.kill()
            process.wait(30)


class Threaded:
    """``with Threaded(home) as server``: a server in a thread of this process, for clients that wait."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ready, self._done = threading.Event(), asyncio.Event()
        self.address = ""
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def prepare(self, app: App) -> None:
        """What is to be there before the first request."""

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with App.open(Settings(home=self._home), {}) as app, Server(app, Listen(port=0)) as server:
            await self.prepare(app)
            self.address = server.address
            self._ready.set()
            await self._done.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
