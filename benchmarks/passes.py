"""Peers as processes, and passes over them in turns: A B C A B C ..., so that a slow moment hits everybody alike."""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.peers import PEERS

ROOT = Path(__file__).resolve().parent.parent
PASSES = 5
START_SECONDS = 60.0


class PeerFailed(Exception):
    """A peer could not be started, died, or took too long; the text says which."""


def python_of(peer: str) -> Path:
    """The interpreter in whose environment a peer is installed."""
    environment = PEERS[peer].environment
    if not environment:
        return Path(sys.executable)
    return Path(sys.prefix) / environment / "bin" / "python"


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of every measured process: nothing of the user's, and no wish to look beyond loopback."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "CHATSTEP_HOME": str(home / "chatstep"),
        "LLM_USER_PATH": str(home / "llm"),
        "OPENAI_API_KEY": "sk-bench",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
        "NO_PROXY": "*",
        **more,
    }


class Worker:
    """One peer's process, kept over all passes of a benchmark. Use it as a context manager."""

    def __init__(self, peer: str, bench: str, base_url: str = "") -> None:
        self.peer, self.bench, self.base_url = peer, bench, base_url

    def __enter__(self) -> Worker:
        python = python_of(self.peer)
        if not python.exists():
            raise PeerFailed(f"its environment is missing: {python}")
        self.home = tempfile.TemporaryDirectory(prefix="bench-")
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", self.peer, self.bench],
            cwd=ROOT,
            env=environment(Path(self.home.name), OPENAI_BASE_URL=self.base_url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        try:
            self.read(START_SECONDS)
        except PeerFailed:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()
        self.home.cleanup()

    def run(self, order: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """One pass; raises PeerFailed when the peer fails or needs longer than that."""
        try:
            self.process.stdin.write(json.dumps({"base_url": self.base_url, **order}) + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError as error:
            raise PeerFailed(self.last_words()) from error
        return self.read(seconds)

    def read(self, seconds: float) -> dict[str, Any]:
        """The next line of the peer."""
        pipe = self.process.stdout
        if not select.select([pipe], [], [], seconds)[0]:
            raise PeerFailed(f"no result within {seconds:g} s")
        line = pipe.readline()  # type: ignore[union-attr]
        if not line:
            raise PeerFailed(self.last_words())
        return json.loads(line)

    def last_words(self) -> str:
        """The last line that the process wrote to its standard error."""
        self.process.wait(10)
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self.process.returncode}"


@dataclass
class Measured:
    """All passes of one runner, or why there are none."""

    passes: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""

    def median(self, figure: str) -> float:
        """The median over the passes; raises when there are none."""
        return statistics.median(one[figure] for one in self.passes)

    def spread(self, figure: str) -> tuple[float, float]:
        """The lowest and the highest pass."""
        values = [one[figure] for one in self.passes]
        return min(values), max(values)


Runner = Callable[[int], dict[str, Any]]


def interleave(
    runners: dict[str, Runner], passes: int = PASSES, fewer: dict[str, int] | None = None
) -> dict[str, Measured]:
    """Call every runner once as a warm-up (pass 0, thrown away), then `passes` times in turns.

    ``fewer`` gives the number of passes of those that are too slow for all of them.
    """
    measured = {name: Measured() for name in runners}
    for number in range(passes + 1):
        for name, run in runners.items():
            if measured[name].failure or number > (fewer or {}).get(name, passes):
                continue
            try:
                result = run(number)
            except PeerFailed as failure:
                measured[name] = Measured(failure=str(failure))
                continue
            if number:
                measured[name].passes.append(result)
    return measured


def over_workers(
    peers: Iterable[str], bench: str, base_url: str, order: Callable[[str], dict[str, Any]]
) -> dict[str, Measured]:
    """Interleaved passes over workers that live as long as the benchmark."""
    failed: dict[str, Measured] = {}
    with ExitStack() as stack:
        runners: dict[str, Runner] = {}
        names = list(peers)
        for peer in names:
            try:
                worker = stack.enter_context(Worker(peer, bench, base_url))
            except PeerFailed as failure:
                failed[peer] = Measured(failure=str(failure))
                continue
            runners[peer] = lambda _, worker=worker, peer=peer: worker.run(order(peer))  # type: ignore[misc]
        measured = interleave(runners)
    return {peer: failed.get(peer) or measured[peer] for peer in names}
