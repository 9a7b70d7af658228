"""What a completion costs, in US dollars, from genai-prices; None where the price is unknown, never 0 for that.

The library is imported at the first question, and never asked to update itself: prices are those it was shipped with.
Its own calculation is too slow to stand beside every request, so a model's prices are turned into plain `Rates` once,
and a test holds the two to the same amounts. For the step, the ledger and spend limits.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

__all__ = ["Rates", "Usage", "cost", "nanodollars", "window", "worst_case"]

_MILLIONTH = Decimal("0.000001")
_THOUSANDTH = Decimal("0.001")
# What only audio, pictures, documents or tools are charged by does not touch a chat of texts. Citations do, and no
# server reports how many there were, so a bill with citations in it cannot be known.
_UNSEEN = "output_citation_mtok"


class Usage(Struct, frozen=True):
    """Tokens of one completion.

    ``prompt`` includes ``cached`` and ``cache_write``; ``completion`` includes ``reasoning``.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    total: int = 0
    cache_write: int = 0


class Rates(Struct, frozen=True):
    """US dollars per million tokens, for prompts of more than ``above`` tokens; ``request`` per thousand requests."""

    above: int
    prompt: Decimal
    cached: Decimal
    cache_write: Decimal
    completion: Decimal
    reasoning: Decimal
    request: Decimal = Decimal(0)


class _Tariff(Struct, frozen=True):
    """A model's price list: which Rates hold at which time, tiers of longer prompts first."""

    model: ModelInfo
    by_prices: dict[int, tuple[Rates, ...]]

    def rates(self, prompt: int, when: datetime | None) -> Rates | None:
        """The rates for a prompt of that many tokens, at that time; None when what holds then is unknown."""
        if len(self.by_prices) == 1:
            (tiers,) = self.by_prices.values()
        else:
            tiers = self.by_prices[id(self.model.get_prices(when or datetime.now(tz=UTC)))]
        for rates in tiers:
            if prompt > rates.above:
                return rates
        return None


def cost(usage: Usage, model: str, *, base_url: str, when: datetime | None = None) -> Decimal | None:
    """The price of one completion at standard service, in US dollars; None when it is unknown.

    Unknown are: a server that is none of the known providers (own servers, gateways), a model without a price, and
    usage that says nothing (no tokens) or nonsense (negative). ``when`` is the time of the request, default now;
    without a zone it is UTC.
    """
    tariff = _tariff(model, base_url)
    if tariff is None:
        return None
    prompt, completion = usage.prompt, usage.completion
    cached, written, reasoning = usage.cached, usage.cache_write, usage.reasoning
    if prompt < 0 or completion < 0 or cached < 0 or written < 0 or reasoning < 0 or not prompt + completion:
        return None
    rates = tariff.rates(prompt, when)
    if rates is None:
        return None
    if cached + written > prompt or reasoning > completion:
        # A server that counts more in the parts than in the whole is believed for the whole.
        cached = min(cached, prompt)
        written = min(written, prompt - cached)
        reasoning = min(reasoning, completion)
    amount = rates.prompt * (prompt - cached - written) + rates.completion * (completion - reasoning)
    if cached:
        amount += rates.cached * cached
    if written:
        amount += rates.cache_write * written
    if reasoning:
        amount += rates.reasoning * reasoning
    amount *= _MILLIONTH
    return amount + rates.request * _THOUSANDTH if rates.request else amount


def worst_case(
    prompt_tokens: int, max_tokens: int, model: str, *, base_url: str, when: datetime | None = None
) -> Decimal | None:
    """The most that a completion can cost, in US dollars: nothing cached, everything written, the longest reply.

    ``prompt_tokens`` should be an upper estimate. None when the price is unknown.
    """
    tariff = _tariff(model, base_url)
    rates = tariff and tariff.rates(prompt_tokens, when)
    if not rates:
        return None
    dearest_in = max(rates.prompt, rates.cached, rates.cache_write)
    dearest_out = max(rates.completion, rates.reasoning)
    return (dearest_in * prompt_tokens + dearest_out * max_tokens) * _MILLIONTH + rates.request * _THOUSANDTH


def nanodollars(amount: Decimal) -> int:
    """The amount in billionths of a dollar, rounded up: what ledgers and limits add without loss."""
    return int((amount * 1_000_000_000).to_integral_value(ROUND_CEILING))


def window(model: str, base_url: str) -> int | None:
    """The context window in tokens that genai-prices knows, for models which the table of facts has not."""
    found = _model_info(model, base_url)
    return found.context_window if found else None


@lru_cache(maxsize=1024)
def _model_info(model: str, base_url: str) -> ModelInfo | None:
    host = urlsplit(base_url).hostname or ""
    if "." not in host or host.rpartition(".")[2].isdigit() or ":" in host:
        return None  # localhost, a name in one's own network, or a bare address: nobody publishes a price for it
    from genai_prices import Usage as NoUsage
    from genai_prices import calc_price

    try:
        return calc_price(NoUsage(), model, provider_api_url=base_url.lower()).model
    except LookupError:
        return None


@lru_cache(maxsize=1024)
def _tariff(model: str, base_url: str) -> _Tariff | None:
    found = _model_info(model, base_url)
    if found is None:
        return None
    prices = [each.prices for each in found.prices] if isinstance(found.prices, list) else [found.prices]
    by_prices = {id(each): _tiers(each) for each in prices}
    return _Tariff(found, by_prices) if any(by_prices.values()) else None


def _tiers(prices: ModelPrice) -> tuple[Rates, ...]:
    """One price set as rates, the tier of the longest prompts first; empty when it has no price for text."""
    listed = {key: price for key, price in vars(prices).items() if price is not None}
    if "input_mtok" not in listed or "output_mtok" not in listed or _UNSEEN in listed:
        return ()
    starts = {tier.start for price in listed.values() if not isinstance(price, Decimal) for tier in price.tiers}

    def rate(above: int, *keys: str) -> Decimal:
        price: Decimal | TieredPrices = next((listed[key] for key in keys if key in listed), Decimal(0))
        if isinstance(price, Decimal):
            return price
        fitting = [tier.price for tier in price.tiers if tier.start <= above]
        return fitting[-1] if fitting else price.base

    return tuple(
        Rates(
            above=above,
            prompt=rate(above, "input_mtok"),
            cached=rate(above, "cache_read_mtok", "input_mtok"),
            cache_write=rate(above, "cache_write_mtok", "input_mtok"),
            completion=rate(above, "output_mtok"),
            reasoning=rate(above, "output_reasoning_mtok", "output_mtok"),
            request=rate(above, "requests_kcount"),
        )
        for above in sorted({-1, *starts}, reverse=True)
    )
