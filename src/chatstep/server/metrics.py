"""``/metrics``: what there is to count, for Prometheus. For admins, where tokens were made.

Beside what the App's meter counted, this asks at the moment of reading: how many requests and runs are under way, what
waits to be written, what the process takes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from chatstep.errors import StoreError
from chatstep.server.doors import Asked
from chatstep.server.together import Place, Together
from chatstep.server.under_way import UnderWay
from chatstep.telemetry.families import Family, Sample, text
from chatstep.telemetry.process import of_build, of_process

if TYPE_CHECKING:
    from chatstep.app import App

__all__ = ["Metrics"]

_PLAIN = "text/plain; version=0.0.4; charset=utf-8"
_OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PATIENCE = 1.0  # seconds for the question to the database of runs


class Metrics:
    """Answers ``GET /metrics``."""

    def __init__(self, app: App, under_way: UnderWay, place: Place | None = None) -> None:
        self._app, self._under_way = app, under_way
        self.together = Together(place, self.of_here) if place is not None else None

    async def answer(self, asked: Asked) -> web.StreamResponse:
        """All families, in the format that is asked for."""
        openmetrics = "application/openmetrics-text" in asked.request.headers.get("Accept", "")
        families = [of_build(), *self.of_here(), *await self._of_runs()]
        if self.together is not None:
            families = await asyncio.to_thread(self.together.all, families)
        body = text(families, openmetrics=openmetrics).encode()
        return web.Response(body=body, headers={"content-type": _OPEN if openmetrics else _PLAIN})

    def of_here(self) -> list[Family]:
        """What this process counted and is doing."""
        app = self._app
        limits = tuple(
            Sample("", (("of", of), ("name", name)), count)
            for (of, name), count in sorted(app.store.ledger.limits_hit.copy().items())
        )
        return [
            *app.meter.families(),
            _gauge("chatstep_http_requests_under_way", "Requests that are being answered.", len(self._under_way)),
            _gauge("chatstep_streams_open", "Answers that have begun and go on.", self._under_way.streams),
            _gauge("chatstep_runs_under_way", "Runs that this process is doing.", app.flows.under_way),
            Family("chatstep_spend_limits_hit", "counter", "Calls that a spend limit stopped.", limits),
            _gauge("chatstep_ledger_entries_waiting", "Entries not written yet.", app.store.ledger.waiting),
            *of_process(),
        ]

    async def _of_runs(self) -> list[Family]:
        """How many runs there are in the database that have not ended; nothing while it does not answer."""
        if not self._app.flows.process.launched:
            return []
        try:
            async with asyncio.timeout(_PATIENCE):
                counts = await self._app.flows.unfinished()
        except (StoreError, TimeoutError):
            return []
        samples = tuple(Sample("", (("state", state),), count) for state, count in counts.items())
        return [
            Family("chatstep_runs_unfinished", "gauge", "Runs that have not ended, of all processes.", samples, True)
        ]


def _gauge(name: str, help: str, value: float) -> Family:
    return Family(name, "gauge", help, (Sample("", (), value),))
