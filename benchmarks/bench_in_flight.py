"""Ten thousand completions in flight in one process: memory and CPU of each."""

from __future__ import annotations

from typing import Any

from benchmarks.canned import ADDRESSES, serving
from benchmarks.passes import Measured, PeerFailed, Worker
from benchmarks.peers import OURS, PEERS
from benchmarks.report import Section, median_or_none, number, quotient

CALLS = 10_000
FEWER = 1_000
SECONDS = 60.0
ROUNDS = 2
RUNNERS = ("aiohttp", OURS, "openai")


class _Server:
    """Addresses of the canned server, a new one per run: the ports of the last run are still taken on the old one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.used = 0

    def run(self, peer: str, calls: int) -> dict[str, Any]:
        """One fresh process that makes so many calls."""
        address = ADDRESSES[self.used % len(ADDRESSES)]
        self.used += 1
        with Worker(peer, "in_flight", f"http://{address}:{self.port}/hold/{calls}/v1") as worker:
            return worker.run({"operations": calls}, SECONDS)


def run() -> Section:
    """Measure everybody in turns, in fresh processes; a peer that is too slow gets fewer calls, and it is said."""
    section = Section(
        "in_flight",
        f"{CALLS:,} completions in flight in one process",
        "The server answers when all requests have arrived. Memory: growth of the resident set, from the opened client "
        f"to all calls waiting, per call. Each run is a fresh process without warm-up; {ROUNDS} rounds in turns.",
        ("client", "calls", "kB per call", "CPU µs per call", "wall s", "memory to ours", "CPU to ours"),
    )
    with serving() as port:
        server = _Server(port)
        calls = dict.fromkeys(RUNNERS, CALLS)
        measured = {peer: Measured() for peer in RUNNERS}
        for _ in range(ROUNDS):
            for peer in RUNNERS:
                try:
                    measured[peer].passes.append(server.run(peer, calls[peer]))
                except PeerFailed as failure:
                    if calls[peer] == FEWER or not str(failure).startswith("no result within"):
                        measured[peer].failure = str(failure)
                        continue
                    section.notes.append(f"{PEERS[peer].title}: {failure} with {CALLS:,} calls; shown with {FEWER:,}.")
                    calls[peer] = FEWER
                    measured[peer] = Measured([server.run(peer, FEWER)])
    for peer, result in measured.items():
        _add(section, peer, calls[peer], (result, measured[OURS]))
    memory = median_or_none(measured[OURS], "memory")
    section.target("chatstep, kB per call in flight", None if memory is None else memory / 1e3, 60, " kB")
    return section


def _add(section: Section, peer: str, calls: int, results: tuple[Measured, Measured]) -> None:
    result, ours = results
    title = PEERS[peer].title
    if result.failure:
        section.notes.append(f"{title}: {result.failure}")
    if not result.passes:
        section.rows.append((title, f"{calls:,}", "failed", *("",) * 4))
        return
    ratios = [quotient(result.median(figure), median_or_none(ours, figure)) for figure in ("memory", "cpu")]
    section.rows.append(
        (
            title,
            f"{calls:,}",
            number(result.median("memory") / 1e3),
            number(result.median("cpu") * 1e6),
            number(result.median("wall")),
            *("-" if ratio is None else f"{ratio:.2f} ×" for ratio in ratios),
        )
    )
