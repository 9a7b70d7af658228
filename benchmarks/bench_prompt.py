"""CPU of the prompt of a very long chat: the first one in a process, and the one of the next turn."""

from __future__ import annotations

from typing import Any

from benchmarks.passes import Measured, PeerFailed, Worker, interleave
from benchmarks.peers import OURS
from benchmarks.report import Section, median_or_none, number, quotient

MESSAGES = 100_000
BUDGET = 8_000
LIMIT_SECONDS = 60.0
FEWER = 1_000

RUNNERS: dict[str, tuple[str, str, int]] = {
    "chatstep": (OURS, "plain", MESSAGES),
    "chatstep, 10,000 messages": (OURS, "plain", 10_000),
    "LangChain trim_messages, approximate counter": ("langchain", "tuned", MESSAGES),
    "LangChain trim_messages, exact counter": ("langchain", "exact", MESSAGES),
    "LiteLLM trim_messages": ("litellm", "plain", MESSAGES),
}


def _one_process(peer: str, trimmer: str, messages: int, seed: int) -> dict[str, Any]:
    order = {"trimmer": trimmer, "messages": messages, "budget": BUDGET, "seed": seed + 1}
    with Worker(peer, "prompt") as worker:
        return worker.run(order, LIMIT_SECONDS)


def run() -> Section:
    """Measure everybody, each pass in a fresh process."""
    runners = {title: (lambda number, which=which: _one_process(*which, number)) for title, which in RUNNERS.items()}
    measured = interleave(runners)
    section = Section(
        "prompt",
        f"prompt from {MESSAGES:,} messages, budget {BUDGET:,} tokens",
        "Cold: the first prompt of the chat in a fresh process, the vocabulary loaded but nothing counted. Warm: the "
        "prompt of the next turn, two messages later. Making the messages in each library's own objects is not timed. "
        "Kept and used say how much of the history and of the budget the warm prompt has.",
        ("prompt builder", "cold, CPU ms", "warm, CPU ms", "cold to ours", "warm to ours", "kept", "used tokens"),
    )
    ours = measured["chatstep"]
    for title, result in measured.items():
        if result.failure.startswith("no result within"):
            _add(section, f"{title}, {FEWER:,} messages", _with_fewer(section, title, result), Measured())
        else:
            _add(section, title, result, ours)
    cold, warm = (median_or_none(ours, figure) for figure in ("cold", "warm"))
    section.target("chatstep cold", None if cold is None else cold * 1e3, 5, " ms")
    section.target("chatstep warm", None if warm is None else warm * 1e3, 0.3, " ms")
    small = median_or_none(measured["chatstep, 10,000 messages"], "warm")
    section.target("warm with 100,000 messages to warm with 10,000", quotient(warm, small), 1.5, " ×")
    if ours.passes:
        load = ours.median("load") * 1e3
        section.notes.append(
            f"chatstep, first prompt of a process, with loading the vocabulary: {number(load)} ms more, once."
        )
    return section


def _with_fewer(section: Section, title: str, result: Measured) -> Measured:
    """One run of a peer that was too slow, on fewer messages; it is said, and neither extrapolated nor compared."""
    peer, trimmer, _ = RUNNERS[title]
    section.notes.append(
        f"{title}: {result.failure} with {MESSAGES:,} messages; its row is one run with {FEWER:,}, not compared."
    )
    try:
        return Measured([_one_process(peer, trimmer, FEWER, 1)])
    except PeerFailed as failure:
        return Measured(failure=str(failure))


def _add(section: Section, title: str, result: Measured, ours: Measured) -> None:
    if not result.passes:
        section.rows.append((title, "failed", *("",) * 5))
        section.notes.append(f"{title}: {result.failure}")
        return
    cold, warm = result.median("cold"), result.median("warm")
    ratios = [quotient(mine, median_or_none(ours, figure)) for mine, figure in ((cold, "cold"), (warm, "warm"))]
    section.rows.append(
        (
            title,
            number(cold * 1e3),
            number(warm * 1e3),
            *("-" if ratio is None else f"{number(ratio)} ×" for ratio in ratios),
            f"{result.median('kept'):,.0f}",
            f"{result.median('used'):,.0f}",
        )
    )
