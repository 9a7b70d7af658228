"""The clock of a process that does runs: it fires the schedules of published flows, and sees that the engine runs.

Every such process has one. A time that two of them fire is the same event, so it makes one run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chatstep.errors import ChatstepError
from chatstep.flows.schedules import due, scheduled_event

if TYPE_CHECKING:
    from chatstep.flows.definition import Flow, Trigger
    from chatstep.flows.engine import Engine
    from chatstep.store import Store

__all__ = ["Clock"]

_log = logging.getLogger("chatstep.flows")

LOOK_EVERY = 1.0
"""Seconds between two looks. A schedule is told in minutes, so a run begins at most this late."""


class Clock:
    """``async with Clock(engine, store): ...`` fires schedules while the context is open. ``now`` gives aware times."""

    def __init__(self, engine: Engine, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine, self._store, self._now = engine, store, now
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Clock:
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    async def look(self) -> int:
        """Fire what is due, and give how many runs were begun."""
        begun = 0
        flows = await asyncio.to_thread(self._store.flows.all)
        if flows:
            await self._engine.launch()  # a flow may have been published since the process began
        for published in flows:
            try:
                flow = await self._engine.version(published.name, published.version)
            except ChatstepError as error:  # a version that this release cannot read any more
                _log.error("Flow %s cannot be read: %s", published.name, error)
                continue
            for trigger in flow.on:
                if trigger.type == "schedule":
                    begun += await self._fire(flow, trigger)
        return begun

    async def _fire(self, flow: Flow, trigger: Trigger) -> int:
        key, now = f"{trigger.cron} {trigger.zone}", self._now()
        seen = await asyncio.to_thread(self._store.schedules.seen, flow.name, key, _ms(now))
        owed = due(trigger, _moment(seen), now)
        begun = 0
        for moment in owed.times:
            started = await self._engine.start(flow.name, scheduled_event(trigger, moment))
            begun += started.new
        if owed.passed_over:
            _log.warning("Flow %s: %d times of its schedule %s were missed.", flow.name, owed.passed_over, trigger.cron)
        # Only now: a crash in between fires them again, and each is known by its time.
        await asyncio.to_thread(self._store.schedules.advance, flow.name, key, _ms(owed.seen))
        return begun

    async def _tick(self) -> None:
        while True:
            try:
                await self.look()
            except ChatstepError as error:  # the database is away, say; what is due waits
                _log.error("Schedules could not be looked at: %s", error)
            await asyncio.sleep(LOOK_EVERY)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
