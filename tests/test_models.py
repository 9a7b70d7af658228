"""The facts about models: the table against what is published, and how names find their rows."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from chatstep.modules.openai.models import ModelFacts, facts, known_models, shutdown_warning, table_source

LOW_TO_HIGH = ("low", "medium", "high")
NONE_TO_XHIGH = ("none", *LOW_TO_HIGH, "xhigh")
NONE_TO_MAX = (*NONE_TO_XHIGH, "max")
WIDE = 1_050_000

# window, max_input, max_output, effort, sampling, shutdown: written from the published pages, not from the table.
PUBLISHED = {
    "gpt-3.5-turbo": (16_385, 16_385, 4_096, (), "always", "2026-10-23"),
    "gpt-4": (8_192, 8_192, 4_096, (), "always", "2026-10-23"),
    "gpt-4-turbo": (128_000, 128_000, 4_096, (), "always", "2026-10-23"),
    "gpt-4o": (128_000, 128_000, 16_384, (), "always", "2027-01-14"),
    "gpt-4o-mini": (128_000, 128_000, 16_384, (), "always", "2027-01-14"),
    "gpt-4.1": (1_047_576, 1_047_576, 32_768, (), "always", "2027-01-14"),
    "gpt-4.1-mini": (1_047_576, 1_047_576, 32_768, (), "always", "2027-01-14"),
    "gpt-4.1-nano": (1_047_576, 1_047_576, 32_768, (), "always", "2026-10-23"),
    "o1": (200_000, 200_000, 100_000, LOW_TO_HIGH, "never", "2026-10-23"),
    "o3-mini": (200_000, 200_000, 100_000, LOW_TO_HIGH, "never", "2026-10-23"),
    "o4-mini": (200_000, 200_000, 100_000, LOW_TO_HIGH, "never", "2026-10-23"),
    "o3": (200_000, 200_000, 100_000, LOW_TO_HIGH, "never", "2026-12-11"),
    "gpt-5": (400_000, 272_000, 128_000, ("minimal", *LOW_TO_HIGH), "never", "2026-12-11"),
    "gpt-5-mini": (400_000, 272_000, 128_000, ("minimal", *LOW_TO_HIGH), "never", "2026-12-11"),
    "gpt-5-nano": (400_000, 272_000, 128_000, ("minimal", *LOW_TO_HIGH), "never", "2026-12-11"),
    "gpt-5.1": (400_000, 272_000, 128_000, ("none", *LOW_TO_HIGH), "without_effort", "2027-04-01"),
    "gpt-5.2": (400_000, 272_000, 128_000, NONE_TO_XHIGH, "without_effort", None),
    "gpt-5.4": (WIDE, WIDE, 128_000, NONE_TO_XHIGH, "without_effort", None),
    "gpt-5.4-mini": (400_000, 272_000, 128_000, NONE_TO_XHIGH, "without_effort", None),
    "gpt-5.4-nano": (400_000, 272_000, 128_000, NONE_TO_XHIGH, "without_effort", "2027-04-01"),
    "gpt-5.5": (WIDE, WIDE, 128_000, NONE_TO_XHIGH, "without_effort", None),
    "gpt-5.6-sol": (WIDE, 922_000, 128_000, NONE_TO_MAX, "without_effort", None),
    "gpt-5.6-terra": (WIDE, 922_000, 128_000, NONE_TO_MAX, "without_effort", None),
    "gpt-5.6-luna": (WIDE, 922_000, 128_000, NONE_TO_MAX, "without_effort", None),
    "gpt-6-sol": (WIDE, 922_000, 128_000, NONE_TO_MAX, "without_effort", None),
    "gpt-6-luna": (WIDE, 922_000, 128_000, NONE_TO_MAX, "without_effort", None),
    "gpt-6.1-terra": (WIDE, 922_000, 128_000, NONE_TO_MAX, "without_effort", None),
    "gpt-6-astra": (WIDE, 922_000, 128_000, (*LOW_TO_HIGH, "xhigh", "max"), "never", None),
    "gpt-6.1-sol": (WIDE, 922_000, 128_000, (*LOW_TO_HIGH, "xhigh"), "never", None),
    "gpt-6.2-sol": (WIDE, 922_000, 128_000, (*LOW_TO_HIGH, "xhigh"), "never", None),
    "gpt-6.2-astra": (WIDE, 922_000, 128_000, (*LOW_TO_HIGH, "xhigh"), "never", None),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_table_says_what_is_published(model: str) -> None:
    found = facts(model)
    seen = (found.window, found.max_input, found.max_output, found.effort, found.sampling, found.shutdown)
    assert seen == PUBLISHED[model]
    assert found.known
    assert found.chat
    assert found.name == model


@pytest.mark.parametrize("model", known_models())
def test_every_row_is_consistent(model: str) -> None:
    row = facts(model)
    assert row.known
    if row.window and row.max_input:
        assert row.max_input <= row.window
    if row.window and row.max_output:
        assert row.max_output < row.window
    assert row.reasons or not row.effort
    assert row.chat or not row.effort
    assert row.sampling != "without_effort" or "none" in row.effort
    assert row.shutdown is None or date.fromisoformat(row.shutdown)
    assert row.replacement is None or facts(row.replacement).known


def test_the_models_that_go_in_january_name_their_successor() -> None:
    for model in ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "gpt-4o-mini-2024-07-18"):
        assert facts(model).replacement == "gpt-6-luna"


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-mini-20240718", "gpt-4o-mini"),
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("openai/gpt-6-luna-2026-09-30", "gpt-6-luna"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "gpt-4o-mini"),
        ("ft:gpt-4.1-2025-04-14:org:name:id", "gpt-4.1"),
        ("ft:gpt-3.5-turbo-0125:org::id", "gpt-3.5-turbo-0125"),
    ],
)
def test_a_name_finds_its_family(name: str, row: str) -> None:
    def without_name(facts_: ModelFacts) -> tuple[object, ...]:
        return tuple(getattr(facts_, field) for field in facts_.__struct_fields__ if field != "name")

    assert without_name(facts(name)) == without_name(facts(row))
    assert facts(name).name == name


def test_a_snapshot_may_differ_from_its_family() -> None:
    assert facts("gpt-4o-2024-05-13").max_output == 4_096
    assert facts("gpt-4o-2024-08-06").max_output == 16_384


@pytest.mark.parametrize(
    "name",
    [
        "llama3.2",
        "my-deployment",
        "",
        "ft:",
        "ft:llama",
        "openai/",
        "gpt-4o-minimal",
        "gpt-7",
        "gpt-4o-mini-2024-99-99",
        "2024-07-18",
    ],
)
def test_an_unknown_name_works_and_nothing_is_assumed(name: str) -> None:
    unknown = facts(name)
    assert unknown == ModelFacts(name=name, known=False, exact=False)
    assert (unknown.window, unknown.max_input, unknown.max_output, unknown.effort) == (None, None, None, ())
    assert (unknown.sampling, unknown.chat, unknown.encoding) == ("always", True, "o200k_base")


@pytest.mark.parametrize(
    "model",
    ["gpt-5-pro", "gpt-5.5-pro", "gpt-5.2-codex", "o3-pro", "o3-deep-research", "gpt-rosalind-research", "gpt-6-cyber"],
)
def test_models_of_the_responses_endpoint_alone(model: str) -> None:
    assert not facts(model).chat


def test_encodings() -> None:
    assert facts("gpt-4").encoding == facts("gpt-3.5-turbo").encoding == facts("gpt-4-turbo").encoding == "cl100k_base"
    assert facts("gpt-4o").encoding == facts("gpt-4.1").encoding == facts("o3").encoding == "o200k_base"
    assert facts("gpt-4o").exact
    assert not facts("gpt-6-luna").exact, "its encoding is not published"


def test_the_table_says_where_it_is_from() -> None:
    source = table_source()
    assert date.fromisoformat(source.date) >= date(2026, 11, 22)
    assert set(source.versions) == {"litellm", "openai", "genai-prices"}
    assert list(known_models()) == sorted(known_models())


@pytest.mark.parametrize(
    ("today", "sentence"),
    [
        (date(2026, 10, 15), None),
        (
            date(2026, 10, 16),
            "The model gpt-4o-mini will be shut down on 2027-01-14, in 90 days. Use gpt-6-luna instead.",
        ),
        (date(2027, 1, 13), "The model gpt-4o-mini will be shut down on 2027-01-14, in 1 day. Use gpt-6-luna instead."),
        (date(2027, 1, 14), "The model gpt-4o-mini is shut down today. Use gpt-6-luna instead."),
        (date(2027, 2, 1), "The model gpt-4o-mini was shut down on 2027-01-14. Use gpt-6-luna instead."),
    ],
)
def test_a_model_that_goes_is_announced(today: date, sentence: str | None) -> None:
    known = facts("gpt-4o-mini")
    assert shutdown_warning("gpt-4o-mini", today, known.shutdown, known.replacement) == sentence


def test_a_shutdown_without_successor_and_dates_of_servers() -> None:
    today = date(2026, 11, 22)
    gone = shutdown_warning("gpt-4", today, "2026-10-23T00:00:00Z", None)
    assert gone == "The model gpt-4 was shut down on 2026-10-23. Choose another model."
    assert shutdown_warning("gpt-5.2", today, None, None) is None
    assert shutdown_warning("gpt-5.2", today, "soon", None) is None


def test_the_table_is_read_only_when_asked() -> None:
    asked = "from chatstep.modules.openai import models; print(models._table.cache_info().currsize)"
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "0"
