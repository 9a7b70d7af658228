"""The server on a real socket: addresses, limits, and one place where every request passes.

``async with Server(app) as server`` listens; `Server.wait` ends when it is told to stop. Small on purpose: aiohttp's
low-level server and a table of doors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web
from msgspec import Struct

from chatstep.errors import ChatstepError, InvalidInput
from chatstep.server.api import open_api
from chatstep.server.bodies import read_body
from chatstep.server.cross_origin import ORIGIN, checked_origin, of_options
from chatstep.server.crowd import Crowd
from chatstep.server.docs import Admit, open_docs
from chatstep.server.doors import Admits, Asked, Doors
from chatstep.server.envelope import NotServed, error_event, told
from chatstep.server.guard import Guard, is_loopback
from chatstep.server.health import WATCHED, open_health
from chatstep.server.hooks import Hooks
from chatstep.server.metrics import Metrics
from chatstep.server.models import Models
from chatstep.server.sockets import Patience, Sockets, allow_many_files
from chatstep.server.together import Place
from chatstep.server.under_way import UnderWay
from chatstep.server.v1 import Completions
from chatstep.server.visits import Visit, tell
from chatstep.telemetry.tracing import span

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.store import Token

__all__ = ["Listen", "Server"]

_log = logging.getLogger("chatstep.server")
_requests = logging.getLogger("chatstep.requests")


class Listen(Struct, frozen=True):
    """Where to listen and what to take. ``port`` 0 takes a free one; times are in seconds, sizes in bytes.

    ``slowest_head`` is counted from the first byte of a request, ``idle`` between requests. Beyond ``most_connections``
    one that waits is closed; there are never more than the system's limit of open files allows.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    host_names: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    largest_body: int = 32 * 1024 * 1024
    slowest_head: float = 20.0
    slowest_body: float = 60.0
    slowest_reader: float = 60.0
    idle: float = 75.0
    most_connections: int = 10_000
    most_requests: int = 2_000
    most_per_token: int | None = None
    ping: float = 15.0


class Server:
    """The doors, open on one address; or on ``inherited``, the file number of a socket that listens already.

    ``place`` is this process's among several on one port.
    """

    def __init__(
        self, app: App, listen: Listen | None = None, inherited: int | None = None, place: Place | None = None
    ) -> None:
        self._app, self._listen = app, listen or Listen()
        self._inherited, self._place = inherited, place
        self._telling: asyncio.Task[None] | None = None
        self._runner: web.ServerRunner | None = None
        self._guard: Guard
        self._doors = Doors()
        self._crowd = Crowd(self._listen.most_requests, self._listen.most_per_token)
        self._under_way = UnderWay()

    @property
    def address(self) -> str:
        """``http://127.0.0.1:8787``."""
        if self._runner is None:
            raise RuntimeError("the server is not running")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen; raises InvalidInput for an address that others reach while there is no admin token."""
        listen, tokens = self._listen, self._app.store.tokens
        loopback = is_loopback(listen.host)
        if not loopback and not any(token.admin for token in await asyncio.to_thread(tokens.all)):
            raise InvalidInput(
                f"Others can reach {listen.host}, and there is no admin token yet.",
                place="host",
                hint="Make one first: chatstep tokens make admin --admin. Or listen on 127.0.0.1.",
            )
        origins = tuple(map(checked_origin, listen.allowed_origins))
        self._guard = Guard(tokens, listen.host, listen.host_names, origins, open_to_all=loopback)
        self._doors = doors_of(self._app, listen, self._under_way, self._guard.token)
        metrics = Metrics(self._app, self._under_way, self._place)
        self._doors.add("GET", "/metrics", metrics.answer, "admins")
        if metrics.together is not None:
            self._telling = asyncio.create_task(metrics.together.tell())
        connections = min(listen.most_connections, allow_many_files())
        patience = Patience(listen.slowest_head, listen.idle, listen.slowest_reader, connections)
        self._runner = web.ServerRunner(Sockets(self._handle, patience), shutdown_timeout=2.0)
        await self._runner.setup()
        try:
            if self._inherited is not None:
                await web.SockSite(self._runner, socket.socket(fileno=self._inherited)).start()
            else:
                await web.TCPSite(self._runner, listen.host, listen.port).start()
        except OSError as error:
            await self.stop()
            raise InvalidInput(
                f"The address {listen.host}:{listen.port} cannot be used: {error.strerror or error}.",
                place="port",
                hint="Is a server running there already? Choose another with --port.",
            ) from None

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more connections, let requests under way end for so many seconds, then cut them."""
        if self._telling is not None:
            self._telling.cancel()
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            await self._under_way.end(grace)
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def idle(self) -> None:
        """Wait until no request is under way."""
        await self._under_way.idle()

    @property
    def under_way(self) -> int:
        """How many requests are under way."""
        return len(self._under_way)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered in a task")
        visit = Visit(request.method)
        self._under_way.add(task, request)
        try:
            with span(request.method, {}, kind="server", headers=request.headers) as serving:
                response = await self._answer(request, visit)
                visit.ended(response, request.headers.get("X-Request-Id"))
                if serving is not None:
                    tell(serving, visit)
        except asyncio.CancelledError:
            if not self._under_way.cutting:
                raise
            response = await _cut(request)
            visit.status = 503
        finally:
            self._under_way.remove(task)
            took = time.perf_counter() - visit.began
            self._app.meter.visited(visit.method, visit.door, visit.status, took)
            if _requests.isEnabledFor(logging.INFO):
                _requests.info("%s %s", visit.method, visit.door, extra={"fields": visit.fields(took)})
        if self._under_way.stopping:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        try:
            path = request.rel_url.raw_path
            if path not in WATCHED:
                self._guard.check(request.method, request.headers)
            if self._guard.allows(request.headers.get("Origin")):
                request[ORIGIN] = request.headers["Origin"]
            if request.method == "OPTIONS" and (allowed := self._doors.allowed(path)):
                response: web.StreamResponse = of_options(request, allowed)
            else:
                door, names = self._doors.find(request.method, path)
                visit.door = door.address
                token = await self._admit(request, door.admits)
                visit.token = token.name if token is not None else None
                with nullcontext() if path in WATCHED else self._crowd.one(visit.token):
                    body = await read_body(request, self._listen.largest_body, self._listen.slowest_body)
                    response = await door.answer(Asked(request, body, token, names, visit))
        except (ChatstepError, NotServed) as error:
            response = _told(error)
        except ConnectionError:
            return web.Response(status=499)  # the client is gone, and nobody gets this
        except RecursionError:
            response = _told(NotServed(400, "The body is nested too deeply.", code="invalid_input", param="body"))
        except Exception:  # whatever it is, the client gets an answer and the log the reason, without content
            _log.exception("A request failed: %s %s", request.method, visit.door)
            response = _told(NotServed(500, "The server failed; its log says how.", code="server_error"))
        return response

    async def _admit(self, request: web.BaseRequest, whom: Admits) -> Token | None:
        if whom == "anyone":
            return None
        return await self._guard.token(request.headers, admin=whom == "admins")


def _told(error: ChatstepError | NotServed) -> web.Response:
    said = told(error)
    return web.Response(status=said.status, headers=said.headers, body=said.body)


class _Said(web.StreamResponse):
    """What aiohttp is given where everything was sent already."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to be sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nor its end."""


async def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """The last words of a request whose time is up; a stream that has begun hears them as its last event."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
    error = NotServed(503, "The server stops; this was not finished in time.", code="server_stopping")
    if not request.writer.output_size:
        return _told(error)
    await request.writer.write(error_event(error))
    await request.writer.write_eof()
    return _Said()


def doors_of(app: App, listen: Listen, under_way: UnderWay, admit: Admit) -> Doors:
    """Every door that there is."""
    doors = Doors()
    doors.add("POST", "/v1/chat/completions", Completions(app, under_way, listen.ping).answer)
    models = Models(app)
    doors.add("GET", "/v1/models", models.all)
    doors.add("GET", "/v1/models/{model*}", models.one)
    doors.add("POST", "/hooks/{path*}", Hooks(app).answer, "anyone")  # deliveries are signed instead
    open_api(doors, app, under_way)
    open_docs(doors, app, admit)
    open_health(doors, app, under_way)
    return doors
