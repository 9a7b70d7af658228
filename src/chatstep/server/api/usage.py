"""The API: what completions took."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chatstep.app import App
from chatstep.errors import InvalidInput
from chatstep.server.api.endpoints import get
from chatstep.server.api.shapes import Dollars, Page, PageWanted, dollars_text, first_ms, last_ms, paged
from chatstep.store import Total

__all__ = ["usage"]


class UsageWanted(PageWanted, kw_only=True):
    """Which sums are wanted, and for which days."""

    by: Annotated[Literal["day", "model", "connection", "token"], Meta(description="One sum for each.")] = "day"
    since: Annotated[date | UnsetType, Meta(description="The first day (UTC).")] = UNSET
    until: Annotated[date | UnsetType, Meta(description="The last day (UTC).")] = UNSET


class Usage(Struct, kw_only=True):
    """What the calls of one day, model, connection or token took together.

    `cost` is what is known of it; `unknown_cost_calls` have a cost that is not. `reserved` counts against the limits
    for calls of unknown cost, and for those in `open`, which have not ended.
    """

    key: Annotated[str, Meta(description="Empty for calls without a token, and by model for those not ended.")]
    calls: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: Dollars
    unknown_cost_calls: int
    reserved: Dollars
    open: int


@get("/api/usage")
async def usage(app: App, query: UsageWanted) -> Page[Usage]:
    """What completions took: calls, tokens and money, by day, model, connection or token."""
    if query.since and query.until and query.since > query.until:
        raise InvalidInput("The first day lies after the last.", place="since")
    since = first_ms(query.since) if query.since else None
    until = last_ms(query.until) if query.until else None
    totals = await asyncio.to_thread(app.store.ledger.totals, query.by, since, until)
    return paged(totals, lambda total: total.key, _shown, query)


def _shown(total: Total) -> Usage:
    return Usage(
        key=total.key,
        calls=total.calls,
        failed=total.failed,
        prompt_tokens=total.prompt,
        cached_tokens=total.cached,
        completion_tokens=total.completion,
        reasoning_tokens=total.reasoning,
        cost=dollars_text(total.cost),
        unknown_cost_calls=total.unknown,
        reserved=dollars_text(total.reserved),
        open=total.open,
    )
