"""``/healthz``: the process answers. ``/readyz``: it can do its work, or what keeps it from that.

Both are open to anyone and tell nothing of what the server holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct, json

from chatstep.errors import StoreError
from chatstep.server.doors import Asked, Doors
from chatstep.server.under_way import UnderWay

if TYPE_CHECKING:
    from chatstep.app import App

__all__ = ["WATCHED", "open_health"]

WATCHED = frozenset({"/healthz", "/readyz"})
"""Addresses for machines that watch, which ask by a number where people ask by a name."""

PATIENCE = 1.0  # seconds that the store may take for an answer
_FRESH = 1.0  # seconds that the store's answer is believed: whoever may ask must not keep it busy
_log = logging.getLogger("chatstep.server")


class _Problem(Struct, frozen=True):
    """``what`` is server, store or flows."""

    what: str
    message: str


class _Readiness(Struct, frozen=True):
    ready: bool
    problems: list[_Problem]


def open_health(doors: Doors, app: App, under_way: UnderWay) -> None:
    """Open both doors."""
    doors.add("GET", "/healthz", _healthy, "anyone")  # who watches over the server need not be known to it
    doors.add("GET", "/readyz", _Ready(app, under_way).answer, "anyone")


async def _healthy(asked: Asked) -> web.StreamResponse:
    return web.Response(text="ok\n")


class _Ready:
    def __init__(self, app: App, under_way: UnderWay) -> None:
        self._app, self._under_way = app, under_way
        self._problem: _Problem | None = None
        self._until = 0.0
        self._asking: asyncio.Task[bool] | None = None

    async def answer(self, asked: Asked) -> web.StreamResponse:
        """200 when the server can do its work, else 503."""
        problems = []
        if self._under_way.stopping:
            problems.append(_Problem("server", "The server is stopping."))
        if self._until < time.monotonic():
            self._problem = await self._look()
            self._until = time.monotonic() + _FRESH
        if self._problem is not None:
            problems.append(self._problem)
        body = json.encode(_Readiness(not problems, problems))
        headers = {"cache-control": "no-store"}
        status = 503 if problems else 200
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)

    async def _look(self) -> _Problem | None:
        """What the store, and the flows in it, lack."""
        if self._asking is None or self._asking.done():  # a store that hangs is not asked a second time meanwhile
            self._asking = asyncio.create_task(asyncio.to_thread(self._published))
        try:
            published = await asyncio.wait_for(asyncio.shield(self._asking), PATIENCE)
        except TimeoutError:
            return _Problem("store", f"The store did not answer within {PATIENCE:g} second.")
        except StoreError as error:
            _log.error("The store does not answer: %s", error)
            return _Problem("store", "The store does not answer; the log says why.")
        if published and not self._app.flows.process.launched:
            return _Problem("flows", "Flows are published, and the engine does not run yet.")
        return None

    def _published(self) -> bool:
        return bool(self._app.store.flows.all())
