"""How fast a long chat export is read, and how much memory that takes, each pass in a process of its own."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.passes import ROOT, PeerFailed, environment, interleave
from benchmarks.report import Section, number
from benchmarks.transcript_files import MAKERS, chat
from benchmarks.worker import resident

MESSAGES = 100_000
PASSES = 3
LIMIT_SECONDS = 120.0
JSON_AT_LEAST = 50.0
TEXT_AT_LEAST = 20.0
MEMORY_AT_MOST = 3.0


def run() -> Section:
    """Make the files, read them in turns."""
    section = Section(
        "transcripts",
        f"reading {MESSAGES:,} messages of a chat export",
        "Each pass reads the whole export in a fresh process; importing is not timed. Memory is the highest resident "
        "memory of that process less what it had before, with the messages all there, divided by the export's size.",
        ("format", "MB", "bytes per message", "CPU s", "MB/s", "memory to file"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        files: dict[str, Path] = {}
        for title, make in MAKERS.items():
            place = Path(folder) / title
            place.mkdir()
            files[title] = make(place, chat(MESSAGES, 1))
        sizes = {title: _size(path) for title, path in files.items()}
        runners = {
            title: lambda _, title=title, path=path: _one_process(title.partition(",")[0], path)  # type: ignore[misc]
            for title, path in files.items()
        }
        measured = interleave(runners, PASSES)
    for title, result in measured.items():
        if not result.passes:
            section.rows.append((title, "failed", *("",) * 4))
            section.notes.append(f"{title}: {result.failure}")
            section.target(f"{title}: seconds", None, 0)
            continue
        size, seconds, memory = sizes[title], result.median("cpu"), result.median("memory") / sizes[title]
        figures = (size / 1e6, size / MESSAGES, seconds, size / 1e6 / seconds, memory)
        section.rows.append((title, *map(number, figures)))
        fastest = TEXT_AT_LEAST if title.startswith("whatsapp") else JSON_AT_LEAST
        section.target(f"{title}: seconds, at {fastest:g} MB/s", seconds, round(size / 1e6 / fastest, 2), " s")
        section.target(f"{title}: memory to file", memory, MEMORY_AT_MOST, " ×")
    return section


def _size(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def _one_process(module: str, path: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        command = [sys.executable, "-m", "benchmarks.bench_transcripts", module, str(path)]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment(Path(home)),
                capture_output=True,
                text=True,
                check=True,
                timeout=LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise PeerFailed(f"no result within {LIMIT_SECONDS:g} s") from error
        except subprocess.CalledProcessError as error:
            raise PeerFailed((error.stderr.strip().splitlines() or [""])[-1][:200]) from error
    return dict(json.loads(done.stdout))


def _highest() -> int:
    # Not getrusage, whose highest also counts what the parent had when it started this process.
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def measure(module: str, path: Path) -> dict[str, Any]:
    """Read an export in this process."""
    from chatstep.source import Source

    (kind,) = importlib.import_module(f"chatstep.modules.{module}").module.transcript_formats
    importlib.import_module(kind.reader)
    before = resident()
    cpu = time.process_time()
    with Source(path) as source:
        transcript = kind.read(source, None)
    cpu = time.process_time() - cpu
    if len(transcript.messages) != MESSAGES:
        raise ValueError(f"{len(transcript.messages)} messages were read")
    return {"cpu": cpu, "memory": _highest() - before}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
