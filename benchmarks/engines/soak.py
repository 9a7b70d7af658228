"""``python -m benchmarks.engines.soak URL RUNS LOOKS``: many runs in one process, and its memory along the way.

Prints one line of JSON: after each of so many equal parts of the runs, the resident memory in bytes, and the seconds
that the part took.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time

from benchmarks.engines import chatstep_flows
from benchmarks.worker import resident

IN_FLIGHT = 8


async def main(url: str, runs: int, looks: int) -> list[tuple[int, float]]:
    """Memory and seconds, part by part."""
    seen: list[tuple[int, float]] = []
    async with chatstep_flows.opened(url) as running:
        for _ in range(looks):
            left, begun = iter(range(runs // looks)), time.perf_counter()

            async def lane(left=left) -> None:  # type: ignore[no-untyped-def]
                for number in left:
                    await running.flow(f"message {number}")

            await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
            took = time.perf_counter() - begun
            gc.collect()
            seen.append((resident(), took))
    return seen


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as channel, contextlib.redirect_stdout(sys.stderr):
        looks = asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
        print(json.dumps(looks), file=channel, flush=True)
