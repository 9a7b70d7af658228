"""Spend limits: whether one more call fits into the day and the month of a connection.

For the ledger, inside the transaction that also reserves. Days and months are those of UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from chatstep.errors import SpendLimitReached
from chatstep.store.database import Database

__all__ = ["DAY_MS", "check_limits", "date_of", "dollars"]

DAY_MS = 86_400_000
_FIRST = date(1970, 1, 1)


def check_limits(
    database: Database, place: str, spender: str, amounts: tuple[int, int | None, int | None], now: int
) -> None:
    """Raise SpendLimitReached when a worst case would pass a daily or monthly limit; None is no limit.

    ``amounts`` are these three, in nanodollars. ``spender`` is the name under which the sums are kept.
    """
    worst_case, daily_limit, monthly_limit = amounts
    if daily_limit is None and monthly_limit is None:
        return
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    first = today.replace(day=1)
    next_month = (first + timedelta(days=32)).replace(day=1)
    spent: dict[int, int] = dict(
        database.rows(
            "SELECT day, amount FROM chatstep_spend WHERE connection = ? AND day >= ? AND day < ?",
            (spender, _number(first), _number(next_month)),
        )
    )
    periods = (
        ("daily", daily_limit, spent.get(_number(today), 0), today + timedelta(days=1)),
        ("monthly", monthly_limit, sum(spent.values()), next_month),
    )
    for period, limit, sum_so_far, resets in periods:
        if limit is not None and sum_so_far + worst_case > limit:
            raise SpendLimitReached(
                f"The {period} spend limit of {dollars(limit)} would be passed: {dollars(sum_so_far)} is spent or "
                f"reserved, and this call may cost {dollars(worst_case)}.",
                place=place,
                hint=f"It begins anew on {resets} at 00:00 UTC. Raise the limit, or lower Max Tokens.",
                period=period,
                limit=limit,
                spent=sum_so_far,
                worst_case=worst_case,
                resets=_number(resets) * DAY_MS,
            )


def date_of(day: int) -> str:
    """The date of a counted day (0 is 1970-01-01), as 2026-01-31."""
    try:
        return str(_FIRST + timedelta(days=day))
    except OverflowError:  # a clock that was set beyond the year 9999
        return str(date.max)


def dollars(nanodollars: int) -> str:
    """An amount to read: cents at least, and as many more places as it needs, up to six."""
    micro = f"{nanodollars / 1_000_000_000:.6f}"
    return f"${micro.rstrip('0') if not micro.endswith('0000') else micro[:-4]}"


def _number(day: date) -> int:
    return (day - _FIRST).days
