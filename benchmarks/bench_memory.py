"""Memory of a process that does fifty thousand runs of a flow."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from benchmarks.bench_flows import PYTHON
from benchmarks.passes import ROOT, environment
from benchmarks.report import Section, number

RUNS = 50_000
LOOKS = 10


def run() -> Section:
    """One process on SQLite, looked at ten times."""
    section = Section(
        "memory",
        f"{RUNS:,} runs of a two-step flow in one process",
        "Resident memory of one process, its database a SQLite file that grows with the runs. 8 runs at a time.",
        ("runs so far", "MB resident", "runs per second"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        command = [str(PYTHON), "-m", "benchmarks.engines.soak", "sqlite", str(RUNS), str(LOOKS)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(Path(folder)), capture_output=True, text=True, timeout=3600, check=False
        )
    if done.returncode:
        section.notes.append((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
        section.target("growth of memory from the second look to the last", None, 1.1, " ×")
        return section
    looks = json.loads(done.stdout.strip().splitlines()[-1])
    part = RUNS // LOOKS
    for at, (memory, took) in enumerate(looks, 1):
        section.rows.append((f"{at * part:,}", number(memory / 1e6), number(part / took)))
    section.target("growth of memory from the second look to the last", looks[-1][0] / looks[1][0], 1.1, " ×")
    return section
