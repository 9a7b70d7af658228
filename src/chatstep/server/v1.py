"""/v1: the protocol of chat completions, for every client that speaks it.

A model is ``CONNECTION/MODEL``, a bare MODEL on the default connection, or ``flow/NAME``. Requests to connections and
their answers pass as they are; see `chatstep.modules.openai.forward` for what the gateway looks at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from aiohttp import web

from chatstep.errors import ChatstepError
from chatstep.modules.openai.forward import Forward
from chatstep.modules.openai.wanted import Wanted, read_wanted
from chatstep.server.billed import BilledContext
from chatstep.server.doors import Asked
from chatstep.server.envelope import NotServed, error_event
from chatstep.server.flow_answers import FlowStream
from chatstep.server.flow_models import FLOW, FlowModels
from chatstep.server.naming import connection_for
from chatstep.server.once import Asking, Once, check_key
from chatstep.server.under_way import UnderWay

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.step import Context
    from chatstep.store import Token

__all__ = ["PING", "Completions"]

PING = b": ping\n\n"
_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class Completions:
    """Answers ``POST /v1/chat/completions``. ``ping`` is the number of seconds after which a quiet stream says so."""

    def __init__(self, app: App, under_way: UnderWay, ping: float = 15.0) -> None:
        self._app = app
        self._ping = ping
        self._asked_once = Once(app, under_way)
        self._flows = FlowModels(app)

    async def answer(self, asked: Asked) -> web.StreamResponse:
        """One completion, in one piece or as a stream."""
        request, token = asked.request, asked.token
        wanted = read_wanted(asked.body)
        if token is not None and not token.allows(wanted.model):
            raise NotServed(403, f"This token may not use {wanted.model!r}.", code="model_not_allowed", param="model")
        if wanted.model.startswith(FLOW):
            answered = await self._by_flow(request, wanted, token)
            asked.visit.model, asked.visit.run = wanted.model, answered.headers.get("x-request-id")
            return answered
        context: Context = self._app.context
        if token is not None:
            context = BilledContext(context, token)
        connection, model = await connection_for(self._app, wanted.model, context)
        asked.visit.connection, asked.visit.model = connection.name, model
        forward = Forward(wanted, connection, model, context)
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            return await self._once(asked, key, forward, stream=wanted.stream)
        if wanted.stream:
            return await _Streamed(request, forward, self._ping).answer()
        reply = await forward.whole()
        return web.Response(body=reply.body, content_type="application/json", headers=forward.passed_on(reply))

    async def _once(self, asked: Asked, key: str, forward: Forward, *, stream: bool) -> web.StreamResponse:
        client = asked.token.name if asked.token is not None else ""
        asking = await self._asked_once.answer((client, key), asked.body, forward, stream=stream)
        if stream:
            return await _Streamed(asked.request, asking, self._ping).answer()
        body = await asking.whole()
        return web.Response(
            body=body,
            content_type="application/json",
            headers=asking.all_headers,
        )

    async def _by_flow(self, request: web.BaseRequest, wanted: Wanted, token: Token | None) -> web.StreamResponse:
        event_id = _event_id(request.headers.get("Idempotency-Key"), token)
        if wanted.stream:
            return await _Streamed(request, await self._flows.stream(wanted, event_id), self._ping).answer()
        answer = await self._flows.answer(wanted, event_id)
        headers = {"x-request-id": answer.run}
        return web.Response(body=answer.whole(), content_type="application/json", headers=headers)


def _event_id(key: str | None, token: Token | None) -> str | None:
    """The event that a key names: each client has its own, and sees no answer of another."""
    if key is None:
        return None
    check_key(key)
    return key if token is None else f"{token.name}/{key}"


class _Streamed:
    """One answer on its way to a client, who hears a ping whenever nothing has come for a while."""

    def __init__(self, request: web.BaseRequest, source: Forward | Asking | FlowStream, ping: float) -> None:
        self._request, self._source, self._ping = request, source, ping
        more = source.all_headers if isinstance(source, Asking) else {}
        self._response = web.StreamResponse(headers={**_STREAM, **more})
        self._wrote = time.monotonic()

    async def answer(self) -> web.StreamResponse:
        """Open, pass on, end. An error before the first byte is raised, a later one is the last event."""
        response = self._response
        async with AsyncExitStack() as stack:
            try:
                blocks = await self._opened(stack)
                await self._begin()
                pinging = asyncio.create_task(self._pings())
                stack.callback(pinging.cancel)
                async for block in blocks:
                    self._wrote = time.monotonic()
                    await response.write(block)
            except ChatstepError as error:
                if not response.prepared:
                    raise
                await response.write(error_event(error))
        await response.write_eof()
        return response

    async def _opened(self, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        opening: asyncio.Task[Any] = asyncio.create_task(self._source.stream(stack))
        try:
            while not (await asyncio.wait([opening], timeout=self._ping))[0]:
                await self._begin()
                await self._response.write(PING)
            blocks: AsyncIterator[bytes] = opening.result()
        except asyncio.CancelledError:
            opening.cancel()
            await asyncio.wait([opening])
            raise
        return blocks

    async def _begin(self) -> None:
        if not self._response.prepared:
            if self._source.request_id:
                self._response.headers["x-request-id"] = self._source.request_id
            await self._response.prepare(self._request)

    async def _pings(self) -> None:
        """Blocks are whole events, so a comment may stand between any two of them."""
        while True:
            quiet = time.monotonic() - self._wrote
            if quiet >= self._ping:
                self._wrote = time.monotonic()
                await self._response.write(PING)
            else:
                await asyncio.sleep(self._ping - quiet)
