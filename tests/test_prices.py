"""Costs: the same amounts as genai-prices for every model it has, and never a zero for what is unknown."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.modules.openai.prices import Usage, cost, nanodollars, window, worst_case

OPENAI = "https://api.openai.com/v1"
# Providers with prices by the hour, per request, for reasoning, and in tiers.
OTHERS = {
    "deepseek": "https://api.deepseek.com/v1",
    "mistral": "https://api.mistral.ai/v1",
    "perplexity": "https://api.perplexity.ai",
    "anthropic": "https://api.anthropic.com/v1/",
    "x-ai": "https://api.x.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
}


def _models(provider: str) -> list[str]:
    return [model.id for each in get_snapshot().providers if each.id == provider for model in each.models]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    # Around 200,000 and 272,000 tokens lie the borders of the tiers.
    prompt = draw(st.integers(1, 1_100_000) | st.sampled_from([1, 200_000, 200_001, 272_000, 272_001]))
    completion = draw(st.integers(0, 130_000))
    cached = draw(st.integers(0, prompt))
    written = draw(st.integers(0, prompt - cached))
    reasoning = draw(st.integers(0, completion))
    return Usage(prompt, cached, completion, reasoning, prompt + completion, cache_write=written)


times = st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))


def _theirs(usage: Usage, model: str, base_url: str, when: datetime) -> Decimal | None:
    """What genai-prices says, or None when its prices do not cover a chat of texts."""
    counts = TheirUsage(
        input_tokens=usage.prompt,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.completion,
        output_reasoning_tokens=usage.reasoning,
    )
    try:
        found = calc_price(counts, model, provider_api_url=base_url, genai_request_timestamp=when)
    except LookupError:  # a few entries stand for longer names only, and do not answer to their own id
        return None
    prices = vars(found.model_price)
    complete = "input_mtok" in prices and "output_mtok" in prices and "output_citation_mtok" not in prices
    return found.total_price if complete else None


FINE_TUNES = ["ft:gpt-4o-2024-08-06:org::id", "ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-3.5-turbo-0125:org::id"]


@pytest.mark.parametrize("model", [*_models("openai"), *FINE_TUNES])
@settings(max_examples=25)
@given(usage=usages(), when=times)
def test_costs_are_those_of_genai_prices(model: str, usage: Usage, when: datetime) -> None:
    assert cost(usage, model, base_url=OPENAI, when=when) == _theirs(usage, model, OPENAI, when)


@pytest.mark.parametrize("provider", OTHERS)
@settings(max_examples=60)
@given(data=st.data(), usage=usages(), when=times)
def test_costs_of_other_providers_too(provider: str, data: st.DataObject, usage: Usage, when: datetime) -> None:
    model = data.draw(st.sampled_from(_models(provider)))
    url = OTHERS[provider]
    assert cost(usage, model, base_url=url, when=when) == _theirs(usage, model, url, when)


USAGE = Usage(prompt=1_000, cached=512, completion=200, reasoning=50, total=1_200)


def test_an_amount_worked_out_by_hand() -> None:
    # 488 at $0.15, 512 at $0.075, 200 at $0.60, each per million.
    assert cost(USAGE, "gpt-4o-mini", base_url=OPENAI) == Decimal("0.0002316")
    assert cost(USAGE, "gpt-4o-mini-2024-07-18", base_url=OPENAI) == Decimal("0.0002316")


def test_a_long_prompt_pays_the_tier_for_all_its_tokens() -> None:
    short = cost(Usage(prompt=272_000), "gpt-6-luna", base_url=OPENAI)
    long = cost(Usage(prompt=272_001), "gpt-6-luna", base_url=OPENAI)
    assert short == Decimal("0.0272")
    assert long == Decimal("0.0544002")


def test_prices_by_date_and_by_hour() -> None:
    million = Usage(prompt=100_000)
    before, after = datetime(2026, 7, 29, 23, tzinfo=UTC), datetime(2026, 7, 30, tzinfo=UTC)
    assert cost(million, "gpt-5.6-luna", base_url=OPENAI, when=before) == Decimal("0.1")
    assert cost(million, "gpt-5.6-luna", base_url=OPENAI, when=after) == Decimal("0.02")
    east = timezone(timedelta(hours=3))
    assert cost(million, "gpt-5.6-luna", base_url=OPENAI, when=after.astimezone(east) - timedelta(hours=1)) == Decimal(
        "0.1"
    )


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4o-mini", "http://127.0.0.1:11434/v1"),
        ("gpt-4o-mini", "http://localhost:8000/v1"),
        ("gpt-4o-mini", "https://gateway.example.org/v1"),
        ("gpt-4o-mini", "https://eu.api.openai.com/v1"),
        ("gpt-4o-mini", ""),
        ("gpt-6.2-sol", OPENAI),
        ("no-such-model", OPENAI),
        ("", OPENAI),
        ("ft:gpt-4.1-2025-04-14:org::id", OPENAI),
        ("my-deployment", "https://mine.openai.azure.com/openai/v1"),
        ("text-embedding-3-small", OPENAI),
        ("omni-moderation-latest", OPENAI),
        ("sonar-deep-research", "https://api.perplexity.ai"),
    ],
)
def test_what_is_unknown_is_none_and_never_zero(model: str, base_url: str) -> None:
    assert cost(USAGE, model, base_url=base_url) is None
    assert worst_case(1_000, 256, model, base_url=base_url) is None


@pytest.mark.parametrize(
    "usage", [Usage(), Usage(total=5), Usage(prompt=-1, completion=5), Usage(prompt=5, cached=-1), Usage(completion=-3)]
)
def test_usage_that_says_nothing_or_nonsense_has_no_cost(usage: Usage) -> None:
    assert cost(usage, "gpt-4o-mini", base_url=OPENAI) is None


def test_parts_larger_than_the_whole_are_cut_to_it() -> None:
    odd = Usage(prompt=100, cached=500, completion=10, reasoning=90, cache_write=70)
    assert cost(odd, "gpt-6-luna", base_url=OPENAI) == cost(
        Usage(prompt=100, cached=100, completion=10, reasoning=10), "gpt-6-luna", base_url=OPENAI
    )


def test_most_models_have_a_price() -> None:
    assert sum(cost(USAGE, model, base_url=OPENAI) is not None for model in _models("openai")) >= 90
    assert all(cost(USAGE, model, base_url=OPENAI) for model in FINE_TUNES)


def test_azure_has_the_prices_of_the_model_it_names() -> None:
    azure = "https://mine.openai.azure.com/openai/v1"
    assert cost(USAGE, "gpt-4o-mini-2024-07-18", base_url=azure) == Decimal("0.0002316")
    assert cost(USAGE, "gpt-4o-mini", base_url="HTTPS://API.OpenAI.com/v1") == Decimal("0.0002316")


@given(usage=usages())
def test_the_worst_case_is_never_exceeded(usage: Usage) -> None:
    when = datetime(2026, 11, 22, tzinfo=UTC)
    for model in ("gpt-4o-mini", "gpt-6-luna", "gpt-5.6-luna", "o3"):
        paid = cost(usage, model, base_url=OPENAI, when=when)
        bound = worst_case(usage.prompt, usage.completion, model, base_url=OPENAI, when=when)
        assert paid is not None
        assert bound is not None
        assert paid <= bound


def test_the_worst_case_reckons_with_writing_the_cache() -> None:
    assert worst_case(1_000, 100, "gpt-4o-mini", base_url=OPENAI) == Decimal("0.00021")
    assert worst_case(1_000, 100, "gpt-6-luna", base_url=OPENAI) == Decimal("0.000175")


@pytest.mark.parametrize(
    ("amount", "whole"),
    [("0", 0), ("0.0002316", 231_600), ("0.0000000001", 1), ("0.0000000011", 2), ("12", 12 * 10**9)],
)
def test_nanodollars_round_up(amount: str, whole: int) -> None:
    assert nanodollars(Decimal(amount)) == whole


def test_context_windows() -> None:
    assert window("gpt-4o-mini", OPENAI) == 128_000
    assert window("gpt-6-luna", OPENAI) == 1_050_000
    assert window("gpt-4o-mini", "http://127.0.0.1:11434/v1") is None
    assert window("no-such-model", OPENAI) is None


OFFLINE = """
import socket, sys
from chatstep.modules.openai import prices
assert "genai_prices" not in sys.modules
def refuse(*_):
    raise AssertionError("a connection was opened")
socket.socket.connect = refuse
print(prices.cost(prices.Usage(prompt=10), "gpt-4o-mini", base_url="https://api.openai.com/v1"))
import threading
print(threading.active_count())
"""


def test_prices_are_loaded_when_asked_and_from_no_network() -> None:
    run = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False)
    assert (run.stdout.split(), run.stderr) == (["0.00000150", "1"], "")
