"""The clock: schedules of published flows become runs, each time once, also when nobody was there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chatstep.flows.clock import Clock
from flowing import Flowing

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def flow(name: str, missed: str = "all") -> str:
    return f"""
name: {name}
on: [{{schedule: {{cron: "0 * * * *", zone: UTC, missed: {missed}}}}}]
steps:
  - id: note
    uses: flow.set
    with: {{values: {{at: "${{{{ trigger.time }}}}"}}}}
outputs: {{at: "${{{{ steps.note.values.at }}}}"}}
"""


class Hands:
    """A clock whose time the test sets."""

    def __init__(self, flowing: Flowing) -> None:
        self.now = NOON
        self.clock = Clock(flowing.engine, flowing.app.store, lambda: self.now)

    async def look(self, **later: float) -> int:
        self.now += timedelta(**later)
        return await self.clock.look()


async def times_of(flowing: Flowing, name: str) -> list[str]:
    runs = [await flowing.ended(run.id) for run in await flowing.engine.runs(flow=name)]
    return sorted(run.outputs["at"] for run in runs)


async def test_each_time_comes_once(flowing: Flowing) -> None:
    await flowing.publish(flow("hourly"))
    hands, second = Hands(flowing), Hands(flowing)
    assert await hands.look() == 0
    assert await hands.look(minutes=59, seconds=59) == 0
    assert await hands.look(seconds=1) == 1
    second.now = hands.now
    assert await second.look() == await hands.look() == 0
    assert await times_of(flowing, "hourly") == ["2026-11-25T13:00:00Z"]


async def test_two_that_look_at_once_begin_one_run(flowing: Flowing) -> None:
    await flowing.publish(flow("raced"))
    several = [Hands(flowing) for _ in range(5)]
    await asyncio.gather(*(hands.look() for hands in several))
    begun = await asyncio.gather(*(hands.look(hours=1) for hands in several))
    assert len(await flowing.engine.runs(flow="raced")) == 1
    assert sum(begun) >= 1  # the flow of the other test is due as well


@pytest.mark.parametrize(("missed", "count"), [("all", 3), ("latest", 1), ("skip", 0)])
async def test_times_at_which_nothing_ran(flowing: Flowing, missed: str, count: int) -> None:
    await flowing.publish(flow(f"missed-{missed}", missed))
    hands = Hands(flowing)
    await hands.look()
    await Hands(flowing).look(hours=3, minutes=30)
    times = await times_of(flowing, f"missed-{missed}")
    assert times == [f"2026-11-25T{15 - back}:00:00Z" for back in reversed(range(count))]


async def test_a_clock_set_back_fires_nothing_again(flowing: Flowing) -> None:
    await flowing.publish(flow("back"))
    hands = Hands(flowing)
    await hands.look()
    await hands.look(hours=1)
    await hands.look(hours=-2)
    await hands.look(hours=2)
    assert await times_of(flowing, "back") == ["2026-11-25T13:00:00Z"]


async def test_it_ticks_by_itself(flowing: Flowing) -> None:
    hands = Hands(flowing)
    async with hands.clock:
        assert hands.clock._ticking is not None
        assert not hands.clock._ticking.done()
    assert hands.clock._ticking.done()
