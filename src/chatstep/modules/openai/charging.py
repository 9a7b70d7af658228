"""The money of one call: its worst case is set aside before anything is sent, and its cost is known after.

Looking up a model's price costs 0.2 s the first time in a process, so that is done beside the request, in a thread.
For `call` and `forward`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from chatstep.errors import Busy, ChatstepError, Refused, SpendLimitReached, TimedOut, Unreachable
from chatstep.modules.openai import prices
from chatstep.modules.openai.connection import endpoint_of
from chatstep.modules.openai.inputs import Cost
from chatstep.modules.openai.prices import Usage
from chatstep.step import Connection

__all__ = ["Charging", "uncharged"]

# The prices are those of standard service; flex is cheaper, and how much is not known.
_STANDARD = (None, "auto", "default")
_NOT_DEARER = (*_STANDARD, "flex")
_MOST_KNOWN = 4096
_known: set[tuple[str, str]] = set()


class Charging:
    """Reserves for one call and says what it cost. ``reservation`` is what its ledger entry settles."""

    def __init__(self, connection: Connection, model: str, tier: str | None) -> None:
        self.reservation: int | None = None
        self._connection = connection
        self._endpoint = endpoint_of(connection)
        self._model = model
        self._tier = tier
        self._reserved = 0
        self._looking: asyncio.Task[None] | None = None

    async def prepare(self, most: Callable[[], tuple[int, int] | None]) -> None:
        """Make ready for this request: under a spend limit set its worst case aside, else begin to look for the price.

        ``most`` gives the most tokens of prompt and reply, None where nobody knows; it is asked only under a limit, in
        a thread. Raises SpendLimitReached. To be called again when the request was changed: it may have become longer.
        """
        if self._endpoint.free:
            return
        if self._connection.limited:
            await self._reserve(await asyncio.to_thread(most))
        elif self._looking is None and (self._model, self._endpoint.priced_at) not in _known:
            self._looking = asyncio.create_task(self._look())

    async def cost(self, usage: Usage, model: str) -> Cost | None:
        """What this usage costs, at the price of the model that answered, else of the one asked for."""
        if self._endpoint.free:
            return Cost(Decimal(0))
        if self._tier not in _STANDARD:
            return None
        if self._looking is not None:
            await self._looking
        priced_at = self._endpoint.priced_at
        for name in (model,) if model == self._model else (model, self._model):
            if (name, priced_at) not in _known:
                await self._look_for(name)
            amount = prices.cost(usage, name, base_url=priced_at)
            if amount is not None:
                return Cost(amount)
        return None

    def close(self) -> None:
        """Stop looking for a price that nobody needs any more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _reserve(self, most: tuple[int, int] | None) -> None:
        if most is None:
            raise SpendLimitReached(
                "How much the request can cost is not known, so the connection's spend limit cannot be kept.",
                place="connection",
                hint="Set max_tokens and send texts alone, or use a connection without a limit.",
            )
        worst = None
        if self._tier in _NOT_DEARER:
            worst = await asyncio.to_thread(prices.worst_case, *most, self._model, base_url=self._endpoint.priced_at)
            _remember(self._model, self._endpoint.priced_at)
        if worst is None:
            raise SpendLimitReached(
                f"The price of {self._model} on {self._connection.name!r} is unknown, so its spend limit cannot be "
                "kept.",
                place="connection",
                hint="Use a model and service with a known price, or a connection without a limit.",
            )
        amount = prices.nanodollars(worst)
        if self.reservation is None or amount > self._reserved:
            self.reservation = await self._connection.reserve(amount, instead_of=self.reservation)
            self._reserved = amount

    async def _look(self) -> None:
        await asyncio.sleep(0.03)  # the request goes first
        await self._look_for(self._model)

    async def _look_for(self, model: str) -> None:
        await asyncio.to_thread(prices.worst_case, 1, 1, model, base_url=self._endpoint.priced_at)
        _remember(model, self._endpoint.priced_at)


def _remember(model: str, url: str) -> None:
    if len(_known) >= _MOST_KNOWN:  # names come from callers and servers, and need not repeat
        _known.clear()
    _known.add((model, url))


def uncharged(error: ChatstepError) -> bool:
    """Whether nothing was bought: refused requests are not charged, nor is what never left."""
    if isinstance(error, (TimedOut, Unreachable)):
        return error.details.get("phase") == "connect"
    return isinstance(error, (Refused, Busy))
