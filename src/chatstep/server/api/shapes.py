"""Shapes that answers of the API share: pages, times, amounts of money.

Times are ISO 8601 in UTC, money is dollars as decimal text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatstep.server.api.endpoints import Query
from chatstep.server.envelope import NotServed

__all__ = [
    "Dollars",
    "Page",
    "PageWanted",
    "Time",
    "cursor",
    "dollars_text",
    "first_ms",
    "last_ms",
    "paged",
    "position",
    "time_of",
]

T = TypeVar("T")
Item = TypeVar("Item")
P = TypeVar("P")

Time = Annotated[str, Meta(description="ISO 8601, in UTC.", extra_json_schema={"format": "date-time"})]
Dollars = Annotated[str, Meta(description="Dollars, as decimal text.", pattern=r"^[0-9]+(\.[0-9]+)?$")]


class PageWanted(Query, kw_only=True):
    """Which page of a list is wanted."""

    limit: Annotated[int, Meta(ge=1, le=200, description="How many items at most.")] = 50
    cursor: Annotated[str | UnsetType, Meta(description="The `next` of the page before this one.")] = UNSET


class Page(Struct, Generic[T]):
    """Some items of a list, and the cursor with which the following ones are asked for; null: these are the last."""

    items: list[T]
    next: str | None


def cursor(place: Any) -> str:
    """A position in a list, as text that a client hands back."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def position(text: str | UnsetType, kind: type[P]) -> P | None:
    """The position that a cursor names; raises NotServed for what is none."""
    if text is UNSET:
        return None
    try:
        return msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True), type=kind)
    except (ValueError, RecursionError):
        raise NotServed(400, "This cursor is not one of this list.", code="invalid_value", param="cursor") from None


def paged(items: Iterable[Item], key: Callable[[Item], str], show: Callable[[Item], T], wanted: PageWanted) -> Page[T]:
    """The wanted page of a list that is in memory, in the order of its keys."""
    after = position(wanted.cursor, str)
    behind = sorted((item for item in items if after is None or key(item) > after), key=key)
    page = behind[: wanted.limit]
    return Page([show(item) for item in page], cursor(key(page[-1])) if len(behind) > len(page) else None)


def time_of(seconds: float) -> str:
    """Unix seconds as a time of the API."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def first_ms(day: date) -> int:
    """When a day begins, in unix ms."""
    return (day - date(1970, 1, 1)).days * 86_400_000


def last_ms(day: date) -> int:
    """When the day after it begins, in unix ms."""
    return first_ms(day) + 86_400_000


def dollars_text(nanodollars: int) -> str:
    """Nanodollars as money of the API."""
    text = f"{Decimal(nanodollars) / 1_000_000_000:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
