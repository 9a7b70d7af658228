"""The ledger: nothing recorded is lost, sums are right, and a spend limit is never passed."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import blockbuster
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatstep.errors import InvalidInput, SpendLimitReached, StoreError
from chatstep.store import Entry, Ledger, Store, dollars
from chatstep.store.database import Database
from chatstep.store.migrations import migrate
from chatstep.store.writer import Writer

DAY = 86_400_000


def at(text: str) -> int:
    """Unix ms of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = at("2025-03-15T12:00")


def test_totals_by_day_model_and_connection(store: Store) -> None:
    for entry in (
        Entry(at("2025-01-31T23:59:59.999"), "work", "a", "a-1", 10, 4, 5, 2, 100),
        Entry(at("2025-02-01T00:00"), "work", "b", prompt=20, completion=7, cost=50, outcome="truncated"),
        Entry(at("2025-02-01T12:00"), "home", "a", outcome="rate_limited", cost=0),
        Entry(at("2025-02-01T13:00"), "home", "a", prompt=1),
    ):
        store.ledger.record(entry)
    days = store.ledger.totals("day")
    assert [(t.key, t.calls, t.failed, t.cost, t.unknown) for t in days] == [
        ("2025-01-31", 1, 0, 100, 0),
        ("2025-02-01", 3, 1, 50, 1),
    ]
    assert [(t.prompt, t.cached, t.completion, t.reasoning) for t in days] == [(10, 4, 5, 2), (21, 0, 7, 0)]
    assert [(t.key, t.calls) for t in store.ledger.totals("model")] == [("a", 3), ("b", 1)]
    assert [(t.key, t.cost) for t in store.ledger.totals("connection")] == [("home", 0), ("work", 150)]
    edge = at("2025-02-01T00:00")
    assert [t.calls for t in store.ledger.totals("day", until=edge)] == [1]
    assert [t.calls for t in store.ledger.totals("day", since=edge)] == [3]
    with pytest.raises(InvalidInput):
        store.ledger.totals("moon")  # type: ignore[arg-type]


def test_recorded_entries_reach_the_database_by_themselves(store: Store, home: Path, url: str) -> None:
    store.ledger.record(Entry(NOON, "work", "a"))
    deadline = time.monotonic() + 20
    while store.ledger.waiting:
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
    with Store.open(home, url) as other:
        assert [total.calls for total in other.ledger.totals("model")] == [1]


def test_closing_writes_what_is_left(home: Path, url: str) -> None:
    with Store.open(home, url) as store:
        for _ in range(2500):
            store.ledger.record(Entry(NOON, "work", "a", cost=1))
    with pytest.raises(StoreError, match="closed"):
        store.ledger.record(Entry(NOON, "work", "a"))
    database = Database.open(url)
    assert database.rows("SELECT COUNT(*) FROM chatstep_ledger") == [(2500,)]
    assert database.rows("SELECT * FROM chatstep_ledger_writers") == []
    database.close()


def test_absurd_figures_and_texts_do_not_stop_the_ledger(store: Store) -> None:
    absurd = Entry(NOON, "wo\0rk", "m\ud800", "x", 10**40, -5, 2**63, None, 10**30, 10**20, "o\0", -1, "\udfff")
    for _ in range(3):
        store.ledger.record(absurd)
    (total,) = store.ledger.totals("day")
    assert total.calls == 3
    assert total.cached == 0


async def test_recording_never_blocks_an_event_loop(store: Store) -> None:
    guard = blockbuster.BlockBuster()
    guard.activate()
    try:
        for _ in range(100):
            store.ledger.record(Entry(NOON, "work", "a"))
    finally:
        guard.deactivate()
    store.ledger.flush()
    assert store.ledger.waiting == 0


def test_recording_from_threads_loses_nothing(store: Store) -> None:
    def record(thread: int) -> None:
        for _ in range(500):
            store.ledger.record(Entry(NOON, f"c{thread}", "a", cost=1))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(record, range(6)))
    assert [(t.calls, t.cost) for t in store.ledger.totals("connection")] == [(500, 500)] * 6


def test_a_limit_counts_reserved_and_spent(store: Store) -> None:
    ledger = store.ledger
    first = ledger.reserve("work", 600, 1000, None, NOON)
    with pytest.raises(SpendLimitReached) as caught:
        ledger.reserve("work", 500, 1000, None, NOON)
    assert caught.value.details["spent"] == 600
    assert caught.value.details["resets"] == at("2025-03-16T00:00")
    ledger.reserve("home", 1000, 1000, None, NOON)
    ledger.record(Entry(NOON, "work", "a", cost=300, reservation=first))
    ledger.reserve("work", 700, 1000, None, NOON)
    with pytest.raises(SpendLimitReached):
        ledger.reserve("work", 1, 1000, None, NOON)
    (work,) = [total for total in ledger.totals("connection") if total.key == "work"]
    assert (work.calls, work.cost, work.reserved, work.open) == (1, 300, 700, 1)


def test_what_was_spent_without_a_reservation_counts_too(store: Store) -> None:
    store.ledger.record(Entry(NOON, "work", "a", cost=950))
    with pytest.raises(SpendLimitReached):
        store.ledger.reserve("work", 100, 1000, None, NOON)


def test_an_unknown_cost_keeps_the_worst_case(store: Store) -> None:
    reservation = store.ledger.reserve("work", 900, 1000, None, NOON)
    store.ledger.record(Entry(NOON, "work", "a", prompt=7, cost=None, outcome="timed_out", reservation=reservation))
    with pytest.raises(SpendLimitReached):
        store.ledger.reserve("work", 200, 1000, None, NOON)
    (total,) = store.ledger.totals("model")
    assert (total.key, total.calls, total.failed, total.prompt) == ("a", 1, 1, 7)
    assert (total.cost, total.unknown, total.reserved, total.open) == (0, 1, 900, 0)


def test_days_and_months_are_those_of_utc(store: Store) -> None:
    reserve = store.ledger.reserve
    reserve("work", 100, 100, 250, at("2025-02-27T23:59:59.999"))
    reserve("work", 100, 100, 250, at("2025-02-28T00:00"))
    with pytest.raises(SpendLimitReached) as caught:
        reserve("work", 100, 200, 250, at("2025-02-28T01:00"))
    assert caught.value.details["period"] == "monthly"
    assert caught.value.details["resets"] == at("2025-03-01T00:00")
    reserve("work", 100, 100, 250, at("2025-03-01T00:00"))
    reserve("work", 100, None, 100, at("2025-12-31T23:00"))
    with pytest.raises(SpendLimitReached) as caught:
        reserve("work", 1, None, 100, at("2025-12-31T23:30"))
    assert caught.value.details["resets"] == at("2026-01-01T00:00")


def test_the_error_says_what_is_spent_and_when_it_resets(store: Store) -> None:
    store.ledger.reserve("work", 4_980_000_000, 5_000_000_000, None, NOON)
    with pytest.raises(SpendLimitReached) as caught:
        store.ledger.reserve("work", 21_500_000, 5_000_000_000, None, NOON)
    assert str(caught.value) == (
        "connection work: The daily spend limit of $5.00 would be passed: $4.98 is spent or reserved, and this call "
        "may cost $0.0215. It begins anew on 2025-03-16 at 00:00 UTC. Raise the limit, or lower Max Tokens."
    )


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (1_000_000_000, "$1.00"), (1_234_567_000, "$1.234567"), (1_500_000, "$0.0015")]
)
def test_dollars(amount: int, text: str) -> None:
    assert dollars(amount) == text


def test_a_released_reservation_is_free_again(store: Store) -> None:
    reservation = store.ledger.reserve("work", 900, 1000, None, NOON)
    store.ledger.release(reservation)
    store.ledger.release(reservation)
    settled = store.ledger.reserve("work", 1000, 1000, None, NOON)
    store.ledger.record(Entry(NOON, "work", "a", cost=1000, reservation=settled))
    store.ledger.release(settled)
    with pytest.raises(SpendLimitReached):
        store.ledger.reserve("work", 1, 1000, None, NOON)


@pytest.mark.parametrize("worst_case", [-1, 2**60])
def test_a_worst_case_is_an_amount(store: Store, worst_case: int) -> None:
    with pytest.raises(InvalidInput):
        store.ledger.reserve("work", worst_case, None, None, NOON)


moves = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "record", "release"]),
        st.sampled_from(["work", "home"]),
        st.none() | st.integers(0, 500),
        st.integers(0, 40),
    ),
    max_size=25,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_daily_sums_agree_with_the_ledger_and_limits_hold(
    database: Database, steps: list[tuple[str, str, int | None, int]]
) -> None:
    for table in ("ledger", "spend"):
        database.execute(f"DELETE FROM chatstep_{table}")
    ledger = Ledger(database)
    held: list[tuple[int, str]] = []
    for what, name, amount, day in steps:
        now = NOON + day * DAY
        if what == "reserve":
            with suppress(SpendLimitReached):
                held.append((ledger.reserve(name, amount or 0, 600, 1500, now), name))
                today = [total for total in ledger.totals("connection", now, now + 1) if total.key == name]
                assert sum(total.cost + total.reserved for total in today) <= 600
        elif what == "record":
            ledger.record(Entry(now, name, "a", cost=amount))
        elif held:
            reservation, holder = held.pop()
            if what == "release":
                ledger.release(reservation)
            else:
                ledger.record(Entry(now, holder, "a", cost=amount, reservation=reservation))
    ledger.close()
    true: Counter[tuple[str, int]] = Counter()
    for name, moment, cost in database.rows("SELECT connection, time, cost FROM chatstep_ledger"):
        true[name, moment // DAY] += cost or 0
    kept = {(name, day): amount for name, day, amount in database.rows("SELECT * FROM chatstep_spend") if amount}
    assert kept == {key: amount for key, amount in true.items() if amount}


def test_a_batch_of_unknown_fate_is_not_stored_twice(database: Database) -> None:
    """The connection breaks during COMMIT: the batch comes again under its number, and is stored once."""
    ledger = Ledger(database)
    ledger.record(Entry(NOON, "work", "a", cost=5))
    ledger.flush()
    ledger._write([Entry(NOON, "work", "a", cost=5)], 1)
    assert [total.cost for total in ledger.totals("model")] == [5]
    ledger.close()


def test_a_full_database_keeps_entries_for_later(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "full.db")
    migrate(database)
    (pages,) = database.rows("PRAGMA page_count")[0]
    database.rows(f"PRAGMA max_page_count = {pages + 2}")
    ledger = Ledger(database)
    stored = ledger.reserve("work", 1, None, None, NOON)
    for _ in range(2000):
        ledger.record(Entry(NOON, "work", "a", request_id="r" * 100))
    with pytest.raises(StoreError, match="disk is full"):
        ledger.flush()
    with pytest.raises(StoreError, match="disk is full"):
        ledger.reserve("work", 1, None, None, NOON)
    assert ledger.waiting == 2000
    assert database.rows("SELECT id FROM chatstep_ledger") == [(stored,)]
    database.rows("PRAGMA max_page_count = 100000")
    ledger.flush()
    assert ledger.waiting == 0
    assert database.rows("SELECT COUNT(*) FROM chatstep_ledger") == [(2001,)]
    database.rows(f"PRAGMA max_page_count = {database.rows('PRAGMA page_count')[0][0]}")
    for _ in range(3000):
        ledger.record(Entry(NOON, "work", "a", request_id="r" * 100))
    with pytest.raises(StoreError, match=r"^.*3000 ledger entries could not be written.*disk is full"):
        ledger.close()
    database.close()


def test_what_stays_unwritten_is_reported_with_its_count() -> None:
    reported = threading.Event()
    records: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)
            reported.set()

    def write(items: list[str], number: int) -> None:
        raise StoreError("The disk is full.", hint="Free some space.")

    log, listener = logging.getLogger("chatstep"), Listener()
    log.addHandler(listener)
    try:
        writer = Writer(write, "place", patience=0.0)
        writer.put("a")
        writer.put("b")
        assert reported.wait(20)
        assert "2 ledger entries could not be written" in records[0].getMessage()
        writer.put("c")
        with pytest.raises(StoreError, match="3 ledger entries"):
            writer.close()
        assert writer.waiting == 3
    finally:
        log.removeHandler(listener)


def test_the_writer_tries_again_by_itself() -> None:
    tries: list[tuple[tuple[str, ...], int]] = []
    done = threading.Event()

    def write(items: list[str], number: int) -> None:
        tries.append((tuple(items), number))
        if len(tries) < 3:
            raise StoreError("Locked.")
        done.set()

    writer = Writer(write, "place")
    writer.put("a")
    assert done.wait(20)
    writer.close()
    assert tries == [(("a",), 1)] * 3
