"""CPU per streamed chunk."""

from __future__ import annotations

from benchmarks.canned import CHUNKS, CHUNKS_PER_WRITE, serving
from benchmarks.passes import over_workers
from benchmarks.peers import OURS, PEERS
from benchmarks.report import Section, add_figures, median_or_none, quotient


def run() -> Section:
    """Measure everybody."""
    with serving() as port:
        measured = over_workers(
            PEERS,
            "stream",
            f"http://127.0.0.1:{port}/v1",
            lambda peer: {"operations": PEERS[peer].streams},
        )
    section = Section(
        "stream",
        "one streamed chunk",
        f"Streams of {CHUNKS:,} small chunks, one stream after the other; the server writes {CHUNKS_PER_WRITE} chunks "
        "at a time. The length of the text is compared.",
        ("client", "CPU µs per chunk", "lowest - highest", "to ours"),
    )
    add_figures(section, measured, "cpu", 1e6)
    ours, bare, sdk = (median_or_none(measured[name], "cpu") for name in (OURS, "aiohttp", "openai"))
    section.target("chatstep to aiohttp splitting each block", quotient(ours, bare), 2, " ×")
    section.target("chatstep, µs per chunk", None if ours is None else ours * 1e6, 4.5, " µs")
    section.target_ratio("openai SDK to chatstep", quotient(sdk, ours), 25)
    return section
