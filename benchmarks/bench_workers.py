"""How flows a second grow with workers that share one Postgres database."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bench_flows import PYTHON, servers
from benchmarks.passes import ROOT, Measured, PeerFailed, environment, interleave
from benchmarks.report import Section, median_or_none, number, quotient

WORKERS = (1, 2, 4)
FLOWS = 600
PASSES = 3


def run() -> Section:
    """Measure each number of workers in turns."""
    section = Section(
        "workers",
        "two-step flows on one Postgres, by number of workers",
        f"{FLOWS} events of as many conversations are stored by one process; workers, each a process of its own, do "
        "the runs, each of which also makes sure that no newer message came. From the first run's begin to the last "
        "one's end. All of it, Postgres too, shares the cores of this machine.",
        ("workers", "flows per second", "lowest - highest", "to one worker"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-workers-") as folder, servers(Path(folder)) as fresh:
        counted = iter(range(10_000))
        runners = {
            str(count): (lambda _, count=count: _one(count, fresh.fresh("postgres", next(counted)), folder))
            for count in WORKERS
        }
        measured = interleave(runners, PASSES)
    for count, result in measured.items():
        _add(section, count, result, measured)
    section.notes.append(
        f"This machine has {os.cpu_count()} cores. Where one worker and the database fill them already, more workers "
        "add nothing but switching and contention: what they give on machines of their own is not measured here."
    )
    return section


def _one(workers: int, url: str, folder: str) -> dict[str, Any]:
    command = [str(PYTHON), "-m", "benchmarks.engines.fleet", url, str(workers), str(FLOWS)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(Path(folder)),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed("no result within 180 s") from None
    if done.returncode:
        raise PeerFailed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
    return json.loads(done.stdout.strip().splitlines()[-1])


def _add(section: Section, count: str, result: Measured, measured: dict[str, Measured]) -> None:
    if result.failure:
        section.rows.append((count, "failed", "", ""))
        section.notes.append(f"{count} workers: {result.failure}")
        return
    low, high = result.spread("rate")
    ratio = quotient(result.median("rate"), median_or_none(measured["1"], "rate"))
    section.rows.append(
        (count, number(result.median("rate")), f"{number(low)} - {number(high)}", f"{ratio:.2f} ×" if ratio else "-")
    )
