"""CPU per completion, 16 in flight, everything of ours on."""

from __future__ import annotations

from benchmarks.canned import serving
from benchmarks.passes import over_workers
from benchmarks.peers import OURS, PEERS
from benchmarks.report import Section, add_figures, median_or_none, quotient

IN_FLIGHT = 16
RUNNERS = tuple(name for name in PEERS if name != "aiohttp_lines")


def run() -> Section:
    """Measure everybody."""
    with serving() as port:
        measured = over_workers(
            RUNNERS,
            "complete",
            f"http://127.0.0.1:{port}/v1",
            lambda peer: {"operations": PEERS[peer].completions, "in_flight": IN_FLIGHT},
        )
    section = Section(
        "complete",
        "one completion, 16 in flight",
        "Each client asks for completions of about 60 words, 16 at a time, on warm connections; the text is compared.",
        ("client", "CPU µs per completion", "lowest - highest", "to ours"),
    )
    add_figures(section, measured, "cpu", 1e6)
    ours, bare, sdk = (median_or_none(measured[name], "cpu") for name in (OURS, "aiohttp", "openai"))
    section.target("chatstep to bare aiohttp + msgspec", quotient(ours, bare), 1.6, " ×")
    section.target_ratio("openai SDK to chatstep", quotient(sdk, ours), 12)
    return section
