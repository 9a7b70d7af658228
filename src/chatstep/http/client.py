"""The client: one pool of connections per process, requests with deadlines and retries, whole or as a stream.

Redirects are not followed and cookies are not kept: a key goes to the address it was given for, and nothing that one
server says travels to the next request.
"""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import aiohttp

from chatstep.errors import AnswerUnreadable, ChatstepError, Unreachable
from chatstep.http.body import Body
from chatstep.http.failures import BROKEN, explain, timed_out
from chatstep.http.public import PublicResolver, check_literal
from chatstep.http.retry import Retry
from chatstep.http.target import Target, check_headers, find_target
from chatstep.http.unpack import ENCODINGS
from chatstep.http.values import Patience, Reply, Request, Timeouts
from chatstep.http.watch import Watch
from chatstep.telemetry.tracing import outgoing

if TYPE_CHECKING:
    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["Http", "Stream"]

T = TypeVar("T")

_log = logging.getLogger("chatstep.http")
_watch: ContextVar[Watch] = ContextVar("chatstep_http_watch")

_TIMEOUTS = Timeouts()
_PATIENCE = Patience()
_LARGE = 1024 * 1024
_EXPLAINED = (*BROKEN, ValueError)
_NO_LIMITS = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)
_KEEP_ALIVE = 55.0  # Less than the 60 s after which common load balancers drop an idle connection.


class Http:
    """The one HTTP client of a process; belongs to the event loop in which it is first used.

    ``max_body`` is the largest answer in bytes, unpacked. ``random`` gives numbers from 0 to 1 for the back-off.
    ``private`` False refuses private addresses to requests that are for public ones only.
    """

    def __init__(
        self,
        *,
        max_body: int = 16 * 1024 * 1024,
        random: Callable[[], float] = random.random,
        user_agent: str = "chatstep",
        private: bool = False,
    ) -> None:
        self._max_body = max_body
        self._random = random
        self._user_agent = user_agent
        self._private = private
        self._session: aiohttp.ClientSession | None = None
        self._public_session: aiohttp.ClientSession | None = None
        self._closed = False
        self._target = functools.lru_cache(256)(find_target)

    async def send(
        self,
        request: Request,
        read: Callable[[Reply], T],
        *,
        timeouts: Timeouts = _TIMEOUTS,
        patience: Patience = _PATIENCE,
    ) -> T:
        """Send a request and return what ``read`` makes of the reply.

        ``read`` raises an error of `chatstep.errors` for a reply it does not like. Busy is tried again, and so are
        failures of the transport; all other errors end the call, and so does ``timeouts.total``: after that time the
        server may have written, and charged, an answer that is still on its way, and asking again would pay twice.
        Every error tells its ``attempts``.
        """

        async def take(body: Body) -> T:
            return read(Reply(body.status, body.headers, await body.read(), body.attempt))

        return await self.until_taken(request, take, timeouts, patience)

    def stream(
        self,
        request: Request,
        read: Callable[[Reply], object],
        *,
        timeouts: Timeouts = _TIMEOUTS,
        patience: Patience = _PATIENCE,
    ) -> Stream:
        """Open a stream: ``async with http.stream(...) as body: async for block in body: ...``.

        Until a 2xx head has come, failures are handled as in `send`, and ``read`` must raise for the reply it is
        given. After that nothing is asked for again. Leaving the context before the end closes the connection.
        """
        return Stream(self, request, read, timeouts, patience)

    async def close(self) -> None:
        """Close all connections; the client cannot be used afterwards."""
        self._closed = True
        for session in (self._session, self._public_session):
            if session is not None:
                await session.close()

    async def until_taken(
        self, request: Request, take: Callable[[Body], Awaitable[T]], timeouts: Timeouts, patience: Patience
    ) -> T:
        """Send, and send again as often as the errors allow, until ``take`` returns something."""
        target = self._check(request)
        retry: Retry | None = None
        attempt = 0
        while True:
            attempt += 1
            body: Body | None = None
            if request.turn is not None:
                await request.turn()
            started = time.monotonic()
            try:
                body = await self._open(request, target, timeouts, attempt)
                taken = await take(body)
            except ChatstepError as error:
                outcome = error.code if body is None else f"{body.status}, {error.code}"
                _log_attempt(request, target, outcome, attempt, started)
                retry = retry or Retry(patience, self._random)
                delay = retry.delay(error, None if body is None else body.headers, attempt)
                if delay is None:
                    error.with_details(attempts=attempt)
                    raise
            else:
                if _log.isEnabledFor(logging.DEBUG):
                    _log_attempt(request, target, body.status, attempt, started)
                return taken
            await asyncio.sleep(delay)

    def _check(self, request: Request) -> Target:
        try:
            check_headers(request.headers)
            target = self._target(request.url)
            if request.public_only and not self._private:
                check_literal(target.url.host or "")
            return target
        except ChatstepError as error:
            error.with_details(attempts=0)
            raise

    async def _open(self, request: Request, target: Target, timeouts: Timeouts, attempt: int) -> Body:
        if self._closed and attempt > 1:
            raise Unreachable("The client was closed while the call waited to be sent again.", phase="connect")
        # A proxy looks names up itself, and is reached at an address that may well be private.
        if request.public_only and not self._private and target.proxy is None:
            session = self._public_session = self._public_session or self._start(PublicResolver())
        else:
            session = self._session = self._session or self._start()
        # aiohttp wants a large body as a file, which it writes piece by piece.
        data = io.BytesIO(request.body) if len(request.body) > _LARGE else request.body or None
        watch = Watch(asyncio.get_running_loop(), timeouts)
        token = _watch.set(watch)
        try:
            response = await session.request(
                request.method,
                target.url,
                data=data,
                headers={**request.headers, **traced} if (traced := outgoing()) else request.headers,
                proxy=target.proxy,
                allow_redirects=False,
            )
        except (Exception, asyncio.CancelledError) as exc:
            watch.stop()
            phase = watch.absorb(exc)
            if phase is None and not isinstance(exc, _EXPLAINED):
                raise
            error = explain(exc, target.host) if phase is None else timed_out(phase, target.host)
        else:
            if response.closed:
                watch.stop()  # all of the answer came with its head
            else:
                watch.answered(response)
            return Body(response, watch, target.host, self._max_body, attempt)
        finally:
            _watch.reset(token)
        # Raised out here, the error does not hold on to aiohttp's exception, which holds the request's headers.
        raise error

    def _start(self, resolver: PublicResolver | None = None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connector(limit=0, ttl_dns_cache=60, keepalive_timeout=_KEEP_ALIVE, resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": ENCODINGS, "User-Agent": self._user_agent},
            timeout=_NO_LIMITS,
            auto_decompress=False,
            trust_env=False,
        )


class Stream:
    """What `Http.stream` gives: an async context manager around a Body."""

    def __init__(
        self,
        http: Http,
        request: Request,
        read: Callable[[Reply], object],
        timeouts: Timeouts,
        patience: Patience,
    ) -> None:
        self._http = http
        self._request = request
        self._read = read
        self._timeouts = timeouts
        self._patience = patience
        self._body: Body | None = None

    async def __aenter__(self) -> Body:
        self._body = await self._http.until_taken(self._request, self._take, self._timeouts, self._patience)
        return self._body

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._body is not None:
            self._body.close()

    async def _take(self, body: Body) -> Body:
        if 200 <= body.status < 300:
            return body
        self._read(Reply(body.status, body.headers, await body.read(), body.attempt))
        raise AnswerUnreadable(f"The answer to a request for a stream has status {body.status}.")


class _Connector(aiohttp.TCPConnector):
    """Tells the watch of the running attempt when its connection stands, which aiohttp itself does not report."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        watch = _watch.get()
        if watch.is_connected:
            # aiohttp repeats a GET by itself when the connection breaks; whether to repeat is decided in one place.
            raise aiohttp.ClientConnectionError
        connection = await super().connect(req, traces, timeout)
        watch.connected()
        return connection


def _log_attempt(request: Request, target: Target, outcome: object, attempt: int, started: float) -> None:
    took = (time.monotonic() - started) * 1000
    _log.debug("%s %s%s: %s, attempt %d, %.0f ms", request.method, target.host, target.path, outcome, attempt, took)
