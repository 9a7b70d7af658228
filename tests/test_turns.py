"""Turns: no minute has more requests than a connection allows, whoever sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstep.errors import InvalidInput, RateLimited
from chatstep.step import per_minute
from chatstep.store import Store
from chatstep.store.turns import MINUTE, Turns
from stepping import Stage


class SetClock:
    """A database whose clock the test sets; all else is the real one's."""

    def __init__(self, store: Store) -> None:
        self.now = 1_000_000
        self.words = {"now": "0"}
        self.transaction = store._database.transaction
        self.execute = store._database.execute
        self._rows = store._database.rows

    def rows(self, sql: str, params: Any = ()) -> list[Any]:
        return [(self.now,)] if sql == "SELECT 0" else self._rows(sql, params)


def test_turns_are_handed_out_in_order(store: Store) -> None:
    clock = SetClock(store)
    turns = Turns(clock)  # type: ignore[arg-type]
    assert [turns.take("work", 3, 999) for _ in range(8)] == [0, 0, 0, 60, 60, 60, 120, 120]
    assert turns.take("home", 3, 999) == 0
    clock.now += 59_999
    assert turns.take("work", 3, 999) == pytest.approx(60.001)
    clock.now += 10 * MINUTE
    assert turns.take("work", 3, 999) == 0


def test_a_turn_too_far_away_is_not_taken(store: Store) -> None:
    turns = Turns(SetClock(store))  # type: ignore[arg-type]
    assert [turns.take("work", 1, 60) for _ in range(4)] == [0, 60, 120, 120]


@given(st.integers(1, 5), st.lists(st.integers(0, 40_000), min_size=1, max_size=30))
def test_no_minute_has_more_than_the_limit(limit: int, pauses: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        clock = SetClock(store)
        turns = Turns(clock)  # type: ignore[arg-type]
        moments = []
        for pause in pauses:
            clock.now += pause
            moments.append(clock.now + round(turns.take("work", limit, 1e9) * 1000))
    assert moments == sorted(moments)
    for first, later in zip(moments, moments[limit:], strict=False):
        assert later - first >= MINUTE


def test_many_processes_share_the_turns(store: Store) -> None:
    """Each has its own connection to the database in truth; here threads ask at the same time."""
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: store.turns.take("work", 10, 999), range(25)))
    assert waits[:10] == [0] * 10
    assert all(50 < wait <= 60 for wait in waits[10:20])
    assert all(110 < wait <= 120 for wait in waits[20:])


async def test_a_request_waits_for_its_turn(stage: Callable[..., Awaitable[Stage]]) -> None:
    made = await stage("- reply: x", per_minute="2")
    calls = [asyncio.create_task(made.app.complete("Hello", connection="p")) for _ in range(3)]
    done, waiting = await asyncio.wait(calls, timeout=1.0)
    assert (len(done), len(waiting), len(made.bodies)) == (2, 1, 2)
    for call in waiting:
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_also_when_it_is_sent_again_and_as_a_stream(stage: Callable[..., Awaitable[Stage]]) -> None:
    made = await stage("- fault: {status: 503}", per_minute="2")
    call = asyncio.create_task(made.ask(stream=True))
    await made.provider.arrived(2)
    await asyncio.wait([call], timeout=0.3)
    assert len(made.bodies) == 2
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_when_too_many_wait_it_is_said(stage: Callable[..., Awaitable[Stage]]) -> None:
    made = await stage("- reply: x", per_minute="1")
    for _ in range(6):
        await asyncio.to_thread(made.app.store.turns.take, "p", 1, 999)
    with pytest.raises(RateLimited, match="requests a minute") as caught:
        await made.app.complete("Hello", connection="p")
    assert caught.value.details["retry_after"] > 300
    assert made.bodies == []


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "1.5", "100001", "²"])
def test_what_is_no_number_of_requests(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        per_minute({"per_minute": wrong})


def test_nothing_is_no_limit() -> None:
    assert per_minute({}) is None
    assert per_minute({"per_minute": ""}) is None
    assert per_minute({"per_minute": "60"}) == 60
