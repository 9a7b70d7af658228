"""A thousand streams at once through a gateway: memory of each, and how much later a chunk comes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bench_gateway import Running
from benchmarks.gateways import GATEWAYS, KEY, OURS
from benchmarks.passes import ROOT, Measured, PeerFailed, interleave
from benchmarks.report import Section, number
from benchmarks.streams.ticking import EVERY

STREAMS = 1000
SECONDS = 8.0
UPSTREAM = "upstream"
TITLES = {UPSTREAM: "the provider alone", "by_hand": "aiohttp on both sides, by hand", OURS: "chatstep"}


def run() -> Section:
    """Measure the provider alone and gateways before it, in turns."""
    section = Section(
        "streams",
        f"{STREAMS:,} streams at once",
        f"A provider in a process of its own sends a chunk to each stream every {EVERY:g} s. The clients, in a third "
        "process, compare its time stamp with the clock when it comes. Memory is what the gateway's process has more "
        "than before the first stream, by stream.",
        ("what", "kB per stream", "delay p50 ms", "added", "delay p99 ms", "added", "chunks per second"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-streams-") as folder, ticking() as port:
        upstream = f"http://127.0.0.1:{port}/v1"

        def through(name: str) -> Callable[[int], dict[str, Any]]:
            def measure(number: int) -> dict[str, Any]:
                own = Path(folder) / f"{name}-{number}"
                own.mkdir()
                running = Running(name, GATEWAYS[name], upstream, own)
                running.start(wait=False)
                try:
                    return _measured(running)
                finally:
                    running.stop()

            return measure

        runners = {UPSTREAM: lambda number: _clients(port, KEY, "gpt-4o-mini", None)}
        runners |= {name: through(name) for name in ("by_hand", OURS)}
        measured = interleave(runners, passes=3)
    alone = measured[UPSTREAM]
    for name, result in measured.items():
        _add(section, name, result, alone)
    return section


@contextmanager
def ticking() -> Iterator[int]:
    """The provider that ticks, in its own process: its port."""
    command = [sys.executable, "-m", "benchmarks.streams.ticking"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)


def _measured(running: Running) -> dict[str, Any]:
    if running.failure or running.process is None:
        raise PeerFailed(running.failure)
    port = int(running.url.rpartition(":")[2].partition("/")[0])
    return _clients(port, running.gateway.key, running.gateway.model, running.process.pid)


def _clients(port: int, key: str, model: str, pid: int | None) -> dict[str, Any]:
    before = _memory(pid)
    command = [sys.executable, "-m", "benchmarks.streams.clients", str(port), key, model, str(STREAMS), str(SECONDS)]
    clients = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert clients.stdin is not None
    assert clients.stdout is not None
    if clients.stdout.readline() != "begun\n":
        clients.wait(10)
        raise PeerFailed("not every stream began")
    memory = _memory(pid) - before
    said, _ = clients.communicate("go\n", timeout=SECONDS + 60)
    return {**json.loads(said), "memory": memory / STREAMS}


def _memory(pid: int | None) -> float:
    """Resident bytes of a process."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return float(fields.partition("VmRSS:")[2].split()[0]) * 1024


def _add(section: Section, name: str, result: Measured, alone: Measured) -> None:
    if result.failure:
        section.rows.append((TITLES[name], "failed", *("",) * 5))
        section.notes.append(f"{TITLES[name]}: {result.failure}")
        return
    row = [TITLES[name], "-" if name == UPSTREAM else number(result.median("memory") / 1e3)]
    for share in ("p50", "p99"):
        delay = result.median(share)
        added = "-" if name == UPSTREAM or alone.failure else number((delay - alone.median(share)) * 1e3)
        row += [number(delay * 1e3), added]
    section.rows.append((*row, number(result.median("chunks"))))
