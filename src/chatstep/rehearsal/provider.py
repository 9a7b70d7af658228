"""The rehearsal provider on a real socket: for tests, the demo, and `chatstep rehearse`.

`Rehearsal` is public: ``async with Rehearsal(script) as provider`` in asynchronous code, ``with Rehearsal.in_thread()``
elsewhere. It binds to loopback unless told otherwise, opens no connection, and keeps no credentials of its callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from chatstep.errors import InvalidInput
from chatstep.rehearsal.plan import Plan, deliver
from chatstep.rehearsal.received import Received
from chatstep.rehearsal.reception import Sent, key_of, read_body, receive
from chatstep.rehearsal.refusal import Refusal, by_code
from chatstep.rehearsal.script import Script
from chatstep.rehearsal.script_reader import load_script
from chatstep.rehearsal.serving import Desk

__all__ = ["CREATED", "Answering", "Rehearsal", "serve_forever"]

CREATED = 1_795_305_600
"""The time of all answers unless another is given: 2026-11-22, midnight UTC."""


class Answering(Protocol):
    """Whoever plans the answers: a script's desk, a recorder, a replay."""

    unexpected: list[str]

    async def open(self) -> None:
        """Get ready; raises an error of chatstep when it cannot."""

    async def close(self) -> None:
        """Let go of what was opened."""

    async def answer(self, request: Received, key: str | None) -> Plan:
        """The plan of the answer to one request; ``key`` is what it brought as its key. Raises Refusal."""

    def reset(self) -> None:
        """Forget what was asked before."""


class Rehearsal:
    """An offline provider that speaks the chat-completions protocol.

    ``script`` is a path, YAML text, a Script, or an Answering (Recorder, Replay). ``port`` 0 takes a free one. ``keep``
    bounds how many requests are remembered. Raises InvalidInput for a wrong script, and for a host beyond loopback
    unless ``anywhere`` is set.
    """

    def __init__(
        self,
        script: str | Path | Script | Answering | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        anywhere: bool = False,
        keep: int = 10_000,
        created: int = CREATED,
    ) -> None:
        if not anywhere and not _is_loopback(host):
            raise InvalidInput(
                f"The rehearsal provider serves this machine only, and {host} is reachable from others.",
                place="host",
                hint="Use 127.0.0.1, or allow other addresses explicitly.",
            )
        self._script, self._host, self._port, self._created = script, host, port, created
        self._kept: deque[Received] = deque(maxlen=keep)
        self._count = 0
        self._desk: Answering | None = None
        self._runner: web.ServerRunner | None = None
        self._busy: set[asyncio.Task[Any]] = set()
        self._arrived = asyncio.Event()

    @property
    def base_url(self) -> str:
        """Where clients find it: `http://127.0.0.1:PORT/v1`."""
        return f"{self.address}/v1"

    @property
    def address(self) -> str:
        """The address without `/v1`, as Azure's kinds of URL need it."""
        if self._runner is None:
            raise RuntimeError("the rehearsal provider is not running")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def requests(self) -> list[Received]:
        """What came in, oldest first."""
        return list(self._kept)

    @property
    def unexpected(self) -> list[str]:
        """The requests that the script did not expect, in words."""
        return [] if self._desk is None else self._desk.unexpected

    def reset(self) -> None:
        """Forget all requests; rules count from nothing again."""
        self._kept.clear()
        self._count = 0
        if self._desk is not None:
            self._desk.reset()

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many requests have come in since the start or the last `reset`."""
        while self._count < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def idle(self) -> None:
        """Wait until no answer is under way."""
        while self._busy:
            await asyncio.wait(self._busy)

    async def start(self) -> None:
        """Read the script and listen. Raises InvalidInput, UnreadableFile, or OSError for a port in use."""
        self._desk = await self._find_desk()
        await self._desk.open()
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening; answers under way are cut."""
        for task in list(self._busy):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._desk is not None:
            await self._desk.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @classmethod
    @contextlib.contextmanager
    def in_thread(cls, script: str | Path | Script | Answering | None = None, **options: Any) -> Iterator[Self]:
        """The same for synchronous code: the provider runs in a thread of its own while the context is open."""
        provider = cls(script, **options)
        loop, stopping = asyncio.new_event_loop(), asyncio.Event()
        ready = threading.Event()
        failure: list[BaseException] = []

        async def live() -> None:
            try:
                await provider.start()
            except BaseException as error:
                failure.append(error)
                return
            finally:
                ready.set()
            await stopping.wait()
            await provider.stop()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(live())

        thread = threading.Thread(target=run, name="rehearsal", daemon=True)
        thread.start()
        ready.wait()
        try:
            if failure:
                raise failure[0]
            yield provider
        finally:
            if not failure:
                loop.call_soon_threadsafe(stopping.set)
            thread.join()

    async def _find_desk(self) -> Answering:
        script = self._script
        if script is None:
            return Desk(Script(), self._created)
        if isinstance(script, Script):
            return Desk(script, self._created)
        if isinstance(script, (str, Path)):
            return Desk(await asyncio.to_thread(load_script, script), self._created)
        return script

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None and self._desk is not None  # noqa: PT018
        self._busy.add(task)
        try:
            raw = await read_body(request)
            self._count += 1
            received = receive(request, raw or b"", self._count)
            self._kept.append(received)
            self._arrived.set()
            if raw is None:
                plan = Plan(status=413, headers={"connection": "close"})
                plan.set_body(by_code("request_too_large").encoded())
            else:
                plan = await _answered(self._desk, received, key_of(request))
            stays = await deliver(
                request.writer, plan, chunked=request.version >= (1, 1), keep_alive=bool(request.keep_alive)
            )
            return Sent(stays=stays)
        finally:
            self._busy.discard(task)


async def _answered(desk: Answering, request: Received, key: str | None) -> Plan:
    try:
        plan = await desk.answer(request, key)
    except Refusal as refusal:
        plan = Plan(status=refusal.status)
        plan.set_body(refusal.encoded())
    # What a client finds in the headers of the real thing, less what cannot be the same twice.
    plan.headers = {
        "x-request-id": f"req_rehearsal_{request.number:06d}",
        "openai-version": "2020-10-01",
        "openai-processing-ms": "1",
        **plan.headers,
    }
    return plan


async def serve_forever(
    script: str | Path | Script | Answering | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    anywhere: bool = False,
    ready: Callable[[Rehearsal], Awaitable[None] | None] | None = None,
) -> None:
    """Serve until cancelled; ``ready`` is called once with the running provider. Errors are those of `Rehearsal`."""
    async with Rehearsal(script, host=host, port=port, anywhere=anywhere, keep=100) as provider:
        called = ready(provider) if ready is not None else None
        if called is not None:
            await called
        await asyncio.Event().wait()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
