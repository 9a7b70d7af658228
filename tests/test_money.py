"""What a call costs, and that a spend limit stops before it: in one process, in many, and after a crash."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from chatstep import errors
from chatstep.app import App
from chatstep.modules.openai import prices
from chatstep.settings import Settings
from chatstep.store import StoredConnection
from stepping import Staging

OPENAI = "https://api.openai.com/v1"
CENT = 10_000_000  # nanodollars
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@BOTH
async def test_cost_is_the_published_price_of_the_tokens(stage: Staging, stream: bool) -> None:
    on = await stage("rules:\n  - reply: Ten past nine.\n", prices=OPENAI)
    done = await on.ask(stream=stream)
    assert done.cost != "unknown"
    assert done.cost.currency == "USD"
    assert done.cost.amount == prices.cost(done.usage, "gpt-4o-mini", base_url=OPENAI) > 0
    on.app.store.ledger.flush()
    (total,) = on.app.store.ledger.totals("model")
    assert total.cost == prices.nanodollars(done.cost.amount)


@BOTH
async def test_a_limit_stops_before_the_call(stage: Staging, stream: bool) -> None:
    """The worst case is what counts: the whole prompt uncached and the longest reply, which here it comes to."""
    worst = prices.worst_case(8, 5, "gpt-4o-mini", base_url=OPENAI)
    assert worst is not None
    on = await stage(
        "rules:\n  - reply: one two three four five six seven eight nine\n",
        prices=OPENAI,
        daily_limit=prices.nanodollars(worst) * 3 + 1,
    )
    for _ in range(3):
        assert (await on.ask(stream=stream, max_tokens=5)).truncated
    for _ in range(2):
        with pytest.raises(errors.SpendLimitReached, match="limit"):
            await on.ask(stream=stream, max_tokens=5)
    assert len(on.bodies) == 3


async def test_what_a_reply_did_not_use_is_free_again(stage: Staging) -> None:
    worst = prices.worst_case(8, 256, "gpt-4o-mini", base_url=OPENAI)
    assert worst is not None
    on = await stage("rules:\n  - reply: Yes.\n", prices=OPENAI, daily_limit=prices.nanodollars(worst) * 3 // 2)
    for _ in range(5):
        await on.ask(stream=False)


async def test_a_limit_holds_among_calls_at_once(stage: Staging) -> None:
    worst = prices.worst_case(11, 256, "gpt-4o-mini", base_url=OPENAI)
    assert worst is not None
    on = await stage(
        "rules:\n  - fault: {slow_first_byte: 0.3}\n", prices=OPENAI, monthly_limit=prices.nanodollars(worst) * 3
    )
    done = await asyncio.gather(*[on.ask(stream=False) for _ in range(12)], return_exceptions=True)
    assert sum(isinstance(one, errors.SpendLimitReached) for one in done) >= 9
    assert 1 <= len(on.bodies) <= 3


async def test_a_limit_with_an_unknown_price_is_refused(stage: Staging) -> None:
    on = await stage(daily_limit=CENT)
    with pytest.raises(errors.SpendLimitReached, match="unknown"):
        await on.ask(stream=False)
    assert on.bodies == []


async def test_under_a_limit_nothing_is_sent_twice_that_may_have_been_charged(stage: Staging) -> None:
    """A connection that broke after the request had gone out: the answer may have been written, and paid."""
    on = await stage("rules:\n  - fault: {cut_at: 60, how: reset}\n", prices=OPENAI, daily_limit=CENT)
    with pytest.raises(errors.Unreachable):
        await on.ask(stream=False)
    assert len(on.bodies) == 1


async def test_failures_give_the_reservation_back(stage: Staging) -> None:
    worst = prices.worst_case(11, 256, "gpt-4o-mini", base_url=OPENAI)
    assert worst is not None
    on = await stage("rules:\n  - fault: {status: 401}\n", prices=OPENAI, daily_limit=prices.nanodollars(worst) + 10)
    for _ in range(4):
        with pytest.raises(errors.CredentialsRefused):
            await on.ask(stream=False)


async def test_nobody_listening_costs_nothing(app: App) -> None:
    """A server that cannot be reached does not eat the limit."""
    where = {"base_url": "http://127.0.0.1:9/v1", "prices": OPENAI, "tries": "1"}
    app.store.connections.add(StoredConnection("p", "openai", "openai", where, daily_limit=CENT))
    for _ in range(3):
        with pytest.raises(errors.Unreachable):
            await app.complete("Hello", connection="p")
    app.store.ledger.flush()
    (total,) = app.store.ledger.totals("connection")
    assert (total.failed, total.cost, total.reserved) == (3, 0, 0)


async def test_a_call_that_was_cut_keeps_its_worst_case(stage: Staging, settings: Settings) -> None:
    """What it took is unknown, so the limit counts the most it can have been."""
    on = await stage("rules:\n  - fault: hang\n", prices=OPENAI, daily_limit=CENT, timeout="0.3")
    with pytest.raises(errors.TimedOut):
        await on.ask(stream=False)
    on.app.store.ledger.flush()
    (total,) = on.app.store.ledger.totals("connection")
    assert total.cost == 0
    assert total.unknown == 1
    assert total.reserved > 0
    assert Decimal(total.reserved) < CENT
