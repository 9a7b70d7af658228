"""What aiohttp's low-level server lacks towards strangers: time limits on both directions of a connection, a bound on
their number, its own words for broken requests, and headers that stand on every answer.

For `listening`. All that leans on aiohttp's inside is in this file.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from msgspec import Struct

from chatstep.server.cross_origin import headers_for
from chatstep.server.envelope import NotServed, told

__all__ = ["Patience", "Sockets", "allow_many_files"]

_LARGEST_HEADER = 16 * 1024  # bytes
_LINGER = 5.0  # seconds that a body which nobody wants may go on arriving, so that its sender reads the answer
_MOST_FILES = 65_536
_AHEAD = 64  # files that the process needs beside sockets

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Patience(Struct, frozen=True):
    """How long clients may take, in seconds: ``head`` for the head of a request from its first byte on, ``idle`` before
    it, ``write`` for taking what was written. ``connections`` is how many may be open.
    """

    head: float
    idle: float
    write: float
    connections: int


class Sockets(web.Server):
    """aiohttp's server, whose connections have limits."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], patience: Patience) -> None:
        super().__init__(handler, request_factory=self._request, handler_cancellation=True)
        self.patience = patience

    def __call__(self) -> RequestHandler:
        """A connection."""
        return _Connection(self, self._loop)

    def make_room(self) -> bool:
        """Whether one more connection may be open; where too many are, the one that waits longest is closed."""
        if len(self._connections) < self.patience.connections:
            return True
        for connection in self._connections:
            if isinstance(connection, _Connection) and connection.waits:
                connection.force_close()
                return True
        return False

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return _Request(message, payload, protocol, writer, task, self._loop)


class _Request(web.BaseRequest):
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """What stands on every answer, streams and refusals among them, unless a door says otherwise."""
        response.headers["server"] = "chatstep"
        response.headers.update(headers_for(self))
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)


class _Connection(RequestHandler):
    """One connection of a client."""

    __slots__ = ("_blocked", "_head", "_patience", "_room", "_sockets")

    def __init__(self, sockets: Sockets, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            sockets,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            keepalive_timeout=sockets.patience.idle,
            lingering_time=_LINGER,
            max_field_size=_LARGEST_HEADER,
        )
        self._sockets, self._patience = sockets, sockets.patience
        self._head: asyncio.TimerHandle | None = None
        self._blocked: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether no request is under way on it."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        if not self._sockets.make_room():
            transport.abort()  # type: ignore[attr-defined]
            return
        super().connection_made(transport)
        _watch_over(transport.get_extra_info("socket"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is over."""
        for timer in (self._head, self._blocked):
            if timer is not None:
                timer.cancel()
        self._head = self._blocked = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head must become a whole one in time; those of a body are timed by who reads it."""
        super().data_received(data)
        if self._head is None:
            if data and self.waits:
                self._head = self._loop.call_later(self._patience.head, self._too_slow)
        elif not self.waits:
            self._head.cancel()
            self._head = None

    def pause_writing(self) -> None:
        """The client takes less than is written; some time is given to it."""
        super().pause_writing()
        self._blocked = self._loop.call_later(self._patience.write, self._give_up)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no request. aiohttp's own quotes the bytes and writes them to the log."""
        if isinstance(exc, LineTooLong):
            said = NotServed(431, "The request's line or a header is too long.", code="headers_too_large")
        else:
            said = NotServed(400, "This is not a valid HTTP request.", code="invalid_http")
        response = _response(said)
        response.force_close()
        return response

    def _too_slow(self) -> None:
        self._head = None
        if self.waits and self.transport is not None:
            self.transport.write(_bare(NotServed(408, "The request came too slowly.", code="request_timeout")))
            self.force_close()

    def _give_up(self) -> None:
        self._blocked = None
        if self.transport is not None:
            self.transport.abort()  # whoever writes is cancelled, and with it the call to a provider


def _response(error: NotServed) -> web.Response:
    said = told(error)
    return web.Response(status=said.status, headers=said.headers, body=said.body)


def _bare(error: NotServed) -> bytes:
    """An answer to where there is no request that aiohttp could answer."""
    said = told(error)
    headers = {
        "server": "chatstep",
        **_HEADERS,
        **said.headers,
        "content-length": str(len(said.body)),
        "connection": "close",
    }
    head = [f"HTTP/1.1 {said.status} Request Timeout", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*head, "", ""]).encode() + said.body


def _watch_over(sock: socket.socket | None) -> None:
    """Let the system notice, within two minutes, that the other machine is gone; it would take two hours."""
    if sock is None:
        return
    options = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}
    for name, value in options.items():
        with suppress(OSError, AttributeError):  # not every system has each
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def allow_many_files() -> int:
    """Raise this process's limit of open files as far as it may, and give how many connections can be served.

    Each may need a second file, for the connection to a provider.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    files = _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max(_AHEAD, (files - _AHEAD) // 2)
