"""``python -m benchmarks.engines.run ENGINE URL FLOWS IN_FLIGHT``: run flows on one engine, print one line of figures.

CPU is that of this process and of the processes it started and waited for, user and system; a database server's is not
counted for anybody. Latencies are from handing over the event to having the outputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import resource
import statistics
import sys
import time
from typing import Any, Protocol

from benchmarks.engines import ENGINES

WARM_UP = 10


class Running(Protocol):
    """An engine that is open."""

    async def flow(self, text: str) -> int:
        """Run one flow to its end; the length of the answer that its second step was given."""


def cpu() -> float:
    """User and system time of this process and of its children that have ended, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def measure(module: Any, url: str, flows: int, in_flight: int) -> dict[str, Any]:
    """Open, warm up, run, close; what closing takes is counted, as it may hold work that was put off."""
    latencies: list[float] = []

    async def lanes(running: Running, count: int) -> None:
        left = iter(range(count))

        async def lane() -> None:
            for number in left:
                begun = time.perf_counter()
                if await running.flow(f"message {number}") < 300:
                    raise ValueError("the second step did not get the first one's answer")
                latencies.append(time.perf_counter() - begun)

        await asyncio.gather(*(lane() for _ in range(in_flight)))

    async with module.opened(url) as running:
        await lanes(running, WARM_UP)
        latencies.clear()
        before, begun = await module.cpu(running, cpu), time.perf_counter()
        await lanes(running, flows)
        wall = time.perf_counter() - begun
        used = await module.cpu(running, cpu) - before
    centiles = statistics.quantiles(latencies, n=100)
    return {"cpu": used / flows, "wall": wall / flows, "p50": centiles[49], "p99": centiles[98]}


def main() -> None:
    """Run; only the last line of standard output is ours."""
    name, url, flows, in_flight = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with os.fdopen(os.dup(1), "w") as channel, contextlib.redirect_stdout(sys.stderr):
        module = importlib.import_module(f"benchmarks.engines.{ENGINES[name].module}")
        result = asyncio.run(measure(module, url, flows, in_flight))
        print(json.dumps(result), file=channel, flush=True)


if __name__ == "__main__":
    main()
