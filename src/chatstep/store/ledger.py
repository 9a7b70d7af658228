"""Ledger: what every completion took, and the spend limits that rest on it.

Recording never makes a call wait (see `Writer`). A limit is kept by reserving the worst case before the call, in one
transaction with the sum, and replacing it by the true figures after; a crash in between leaves the worst case
counted. Sums are kept per connection and UTC day, so that a check costs the same however long the ledger is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Any, Literal

from msgspec import Struct

from chatstep.errors import InvalidInput, SpendLimitReached, StoreError
from chatstep.store.database import Database
from chatstep.store.limits import DAY_MS, check_limits, date_of
from chatstep.store.names import storable
from chatstep.store.writer import Writer

__all__ = ["Entry", "Ledger", "Spender", "Total"]

By = Literal["day", "model", "connection", "token"]

# Figures come from servers. Larger ones are cut, so that 32,000 of the most absurd still add up in 63 bits.
_MOST = 2**48
_FIELDS = (
    "time, connection, model, answered, prompt, cached, completion, reasoning, cost, assumed, attempts, outcome,"
    " duration_ms, request_id, token"
)
_ROW = f"({', '.join('?' * 15)})"
_INSERT = f"INSERT INTO chatstep_ledger ({_FIELDS}) VALUES {_ROW}"  # noqa: S608 - a constant
# Rows of one statement: each statement lets go of the interpreter once, and the event loop gets in its way once.
_TOGETHER = 64
_INSERT_TOGETHER = f"INSERT INTO chatstep_ledger ({_FIELDS}) VALUES {', '.join([_ROW] * _TOGETHER)}"  # noqa: S608
_SETTLE = (
    "UPDATE chatstep_ledger SET time = ?, connection = ?, model = ?, answered = ?, prompt = ?, cached = ?,"
    " completion = ?, reasoning = ?, cost = ?, assumed = ?, attempts = ?, outcome = ?, duration_ms = ?,"
    " request_id = ?, token = ? WHERE id = ?"
)
_SPEND = (
    "INSERT INTO chatstep_spend (connection, day, amount) VALUES (?, ?, ?) ON CONFLICT (connection, day)"
    " DO UPDATE SET amount = chatstep_spend.amount + excluded.amount"
)
_KEYS = {"day": f"time / {DAY_MS}", "model": "model", "connection": "connection", "token": "token"}


class Entry(Struct):
    """One completion. ``time`` is unix ms; ``cost`` is in nanodollars, None when unknown; tokens are None when unknown.

    ``outcome`` is "ok", "truncated" or the code of an error. ``reservation`` names the row it settles. ``token`` is the
    name of the server's token that the call was made with, empty where there was none.
    """

    time: int
    connection: str
    model: str
    answered: str = ""
    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    cost: int | None = None
    attempts: int = 1
    outcome: str = "ok"
    duration_ms: int = 0
    request_id: str = ""
    reservation: int | None = None
    token: str = ""


class Spender(Struct, frozen=True):
    """Somebody who spends through connections, with limits of his own: a token of the server. Nanodollars."""

    name: str
    daily_limit: int | None = None
    monthly_limit: int | None = None

    @property
    def limited(self) -> bool:
        """Whether he has a limit."""
        return self.daily_limit is not None or self.monthly_limit is not None


class Total(Struct, frozen=True):
    """What the calls of one day (``2026-01-31``), model or connection took together.

    ``cost`` is what is known, in nanodollars; ``unknown`` counts the calls whose cost is not. ``reserved`` is the worst
    case that counts against the limits for calls of unknown cost or end; those without an end are in ``open``.
    """

    key: str
    calls: int
    failed: int
    prompt: int
    cached: int
    completion: int
    reasoning: int
    cost: int
    unknown: int
    reserved: int
    open: int


class Ledger:
    """The ledger of one store. `record` is for any thread, also an event loop's; the other calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = os.urandom(8).hex()
        self._writer: Writer[Entry] = Writer(self._write, database.place)
        self._wrote = False
        self.limits_hit: Counter[tuple[str, str]] = Counter()
        """How often this process met a spend limit, of which connection or token."""

    @property
    def waiting(self) -> int:
        """How many recorded entries are not in the database yet."""
        return self._writer.waiting

    def record(self, entry: Entry) -> None:
        """Record a completion; returns at once and is written within 50 ms."""
        self._writer.put(entry)

    def flush(self) -> None:
        """Wait until everything recorded before is stored. Raises StoreError when it cannot be; it is kept then."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left. Raises StoreError that counts what could not be written."""
        try:
            self._writer.close()
        finally:
            if self._wrote:
                with suppress(StoreError):  # a leftover row says nothing wrong
                    self._database.execute("DELETE FROM chatstep_ledger_writers WHERE writer = ?", (self._name,))

    def reserve(
        self,
        connection: str,
        worst_case: int,
        daily_limit: int | None,
        monthly_limit: int | None,
        now: int,
        spender: Spender | None = None,
    ) -> int:
        """Set ``worst_case`` nanodollars aside for a call and give the reservation that an Entry settles.

        Raises SpendLimitReached when the UTC day's or month's sum of the connection, or of the spender, would pass its
        limit; ``now`` is unix ms.
        """
        if not 0 <= worst_case <= _MOST:
            raise InvalidInput("The worst case is a number of nanodollars, 0 or more.", place="worst_case")
        self.flush()
        # One lock for all: a spender's sum is touched by calls on many connections.
        with self._database.transaction(lock="spend"):
            self._check("connection", connection, connection, (worst_case, daily_limit, monthly_limit), now)
            self._database.execute(_SPEND, (connection, now // DAY_MS, worst_case))
            token = ""
            if spender is not None:
                token = spender.name
                limits = (worst_case, spender.daily_limit, spender.monthly_limit)
                self._check("token", token, _spent_by(token), limits, now)
                self._database.execute(_SPEND, (_spent_by(token), now // DAY_MS, worst_case))
            row = (now, connection, "", "", None, None, None, None, worst_case, 1, 0, "reserved", 0, "", token)
            reservation: int = self._database.rows(f"{_INSERT} RETURNING id", row)[0][0]
        return reservation

    def _check(self, of: str, name: str, spender: str, amounts: tuple[int, int | None, int | None], now: int) -> None:
        try:
            check_limits(self._database, f"{of} {name}", spender, amounts, now)
        except SpendLimitReached:
            self.limits_hit[of, name] += 1
            raise

    def release(self, reservation: int) -> None:
        """Give a reservation back whose call was never sent; one that is settled or gone is left alone."""
        self.flush()
        with self._database.transaction():
            held = self._held(reservation)
            if held and self._database.execute(
                "DELETE FROM chatstep_ledger WHERE id = ? AND outcome = 'reserved'", (reservation,)
            ):
                connection, time, cost, token = held
                for name in (connection, _spent_by(token)) if token else (connection,):
                    self._database.execute(_SPEND, (name, time // DAY_MS, -cost))

    def totals(self, by: By, since: int | None = None, until: int | None = None) -> list[Total]:
        """Sums by UTC day, model asked for, connection or token, in their order, for since <= time < until (unix ms).

        A reservation without an end has no model yet, so by model it stands under the empty name. So do calls without
        a token by token.
        """
        if by not in _KEYS:
            raise InvalidInput(
                f"There are no totals by {by!r}.", place="by", hint="Use day, model, connection or token."
            )
        self.flush()
        key = _KEYS[by]
        columns = ", ".join(
            f"CAST(COALESCE(SUM({what}), 0) AS BIGINT)"
            for what in (
                "CASE WHEN outcome <> 'reserved' THEN 1 END",
                "CASE WHEN outcome NOT IN ('ok', 'truncated', 'reserved') THEN 1 END",
                "prompt", "cached", "completion", "reasoning",
                "CASE WHEN assumed = 0 THEN cost END",
                "CASE WHEN outcome <> 'reserved' AND (cost IS NULL OR assumed = 1) THEN 1 END",
                "CASE WHEN assumed = 1 THEN cost END",
                "CASE WHEN outcome = 'reserved' THEN 1 END",
            )
        )  # fmt: skip
        rows = self._database.rows(
            f"SELECT {key}, {columns} FROM chatstep_ledger WHERE time >= ? AND time < ? GROUP BY {key}",  # noqa: S608
            (since or 0, _MOST + 1 if until is None else until),
        )
        return [Total(date_of(name) if by == "day" else name, *sums) for name, *sums in sorted(rows)]

    def _write(self, entries: list[Entry], number: int) -> None:
        with self._database.transaction():
            # A connection that broke during COMMIT leaves open whether the batch was stored; its number tells.
            done = self._database.rows("SELECT batch FROM chatstep_ledger_writers WHERE writer = ?", (self._name,))
            if done and done[0][0] >= number:
                return
            self._database.execute(
                "INSERT INTO chatstep_ledger_writers (writer, batch) VALUES (?, ?)"
                " ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch",
                (self._name, number),
            )
            spent: Counter[tuple[str, int]] = Counter()
            self._insert([row for entry in entries if (row := self._settled(entry, spent))])
            # One order for all writers, so that two of them never wait for each other crosswise.
            deltas = [(name, day, spent[name, day]) for name, day in sorted(spent) if spent[name, day]]
            self._database.executemany(_SPEND, deltas)
        self._wrote = True

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        whole = len(rows) - len(rows) % _TOGETHER
        for at in range(0, whole, _TOGETHER):
            self._database.execute(_INSERT_TOGETHER, tuple(chain.from_iterable(rows[at : at + _TOGETHER])))
        self._database.executemany(_INSERT, rows[whole:])

    def _settled(self, entry: Entry, spent: Counter[tuple[str, int]]) -> tuple[Any, ...] | None:
        """Put the true figures in the place of the entry's reservation; without one give the row to insert."""
        row = _row(entry)
        time, connection, cost = row[0], row[1], row[8]
        held = self._held(entry.reservation) if entry.reservation is not None else None
        if held is None:
            spent[connection, time // DAY_MS] += cost or 0
            if row[14]:
                spent[_spent_by(row[14]), time // DAY_MS] += cost or 0
            return row
        held_by, held_at, worst_case, token = held
        if cost is None:
            cost = worst_case
            row = (*row[:8], cost, 1, *row[10:])
        spent[held_by, held_at // DAY_MS] -= worst_case
        spent[connection, time // DAY_MS] += cost
        if token:
            spent[_spent_by(token), held_at // DAY_MS] -= worst_case
            spent[_spent_by(token), time // DAY_MS] += cost
        self._database.execute(_SETTLE, (*row[:14], token or row[14], entry.reservation))
        return None

    def _held(self, reservation: int) -> tuple[str, int, int, str] | None:
        rows: Iterable[tuple[Any, ...]] = self._database.rows(
            "SELECT connection, time, COALESCE(cost, 0), token FROM chatstep_ledger WHERE id = ?", (reservation,)
        )
        return next(((connection, time, cost, token) for connection, time, cost, token in rows), None)


def _spent_by(token: str) -> str:
    """The name under which a token's spending is summed; no connection can be called so."""
    return f"token:{token}"


def _row(entry: Entry) -> tuple[Any, ...]:
    return (
        _whole(entry.time) or 0,
        storable(entry.connection),
        storable(entry.model),
        storable(entry.answered or ""),
        _whole(entry.prompt),
        _whole(entry.cached),
        _whole(entry.completion),
        _whole(entry.reasoning),
        _whole(entry.cost),
        0,
        _whole(entry.attempts) or 0,
        storable(entry.outcome),
        _whole(entry.duration_ms) or 0,
        storable(entry.request_id or ""),
        storable(entry.token),
    )


def _whole(figure: int | None) -> int | None:
    if figure is None or (type(figure) is int and 0 <= figure <= _MOST):
        return figure
    return max(0, min(int(figure), _MOST))
