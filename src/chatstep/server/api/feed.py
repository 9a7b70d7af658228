"""The states of runs as they change, wherever they are done. None stands for a look that found nothing new.

The store is looked at, at once when something is done in this process, and every second for what others do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from chatstep.errors import UnknownName

if TYPE_CHECKING:
    from chatstep.flows.engine import Engine
    from chatstep.flows.records import RunRecord, StepRecord

__all__ = ["changes", "states_of"]

_LOOK = 1.0  # seconds
_ENDED = frozenset({"done", "failed", "cancelled", "merged"})
_OVERLAP = 2000  # ms


async def states_of(engine: Engine, run: str) -> AsyncIterator[RunRecord | None]:
    """The run as it is and becomes, until it has ended. Raises UnknownName before the first event."""
    said: RunRecord | None = None
    with _awake(engine) as woken:
        while True:
            woken.clear()
            record = await engine.show(run)
            yield record if record != said else None
            if record.state in _ENDED:
                return
            said = record
            await _some_time(woken)


async def changes(engine: Engine, flow: str | None, since: int) -> AsyncIterator[RunRecord | None]:
    """Every run that changes after ``since`` (unix ms)."""
    said = {id: changed for changed, id in await engine.changed(since - _OVERLAP)}
    yield None  # the client knows from here on that it misses nothing
    with _awake(engine) as woken:
        while True:
            woken.clear()
            # A change may become visible after one that bears a later time.
            found = {id: changed for changed, id in await engine.changed(since - _OVERLAP)}
            for id, changed in found.items():
                if said.get(id) != changed and id.startswith(f"{flow}." if flow else ""):
                    with suppress(UnknownName):  # deleted meanwhile
                        yield await engine.show(id)
                since = max(since, changed)
            said = found
            yield None
            await _some_time(woken)


async def _some_time(woken: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK):
            await woken.wait()
    except TimeoutError:
        pass


@contextmanager
def _awake(engine: Engine) -> Iterator[asyncio.Event]:
    """An event that is set whenever a step or a run has ended in this process."""
    woken = asyncio.Event()

    def tell(id: str, record: StepRecord | RunRecord) -> None:
        woken.set()

    engine.listeners.append(tell)
    try:
        yield woken
    finally:
        engine.listeners.remove(tell)
