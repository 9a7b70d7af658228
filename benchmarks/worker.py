"""The process in which one peer runs: ``python -m benchmarks.worker PEER BENCH``.

It imports that peer alone, says ``{"ready": true}``, then answers each line of its standard input with one line of
figures. CPU is the time of the whole process, user and system, all threads. Driven by `benchmarks.passes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Coroutine
from typing import Any

from benchmarks.peers import PEERS

PROMPT = "In three sentences: what does a step do that makes the next message of a conversation, and what does it need?"
WARM_UP = 32


def raise_open_files() -> None:
    """Raise the limit of open files as far as this user may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run on uvloop where it is installed: every peer, and the server, get the same loop."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def resident() -> int:
    """Resident memory of this process, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def complete(client: Any, order: dict[str, Any]) -> dict[str, Any]:
    """CPU of `operations` completions, `in_flight` at a time; the client is open and its connections warm."""
    from benchmarks.canned import TEXT

    async def lanes(operations: int) -> None:
        left = iter(range(operations))

        async def lane() -> None:
            for _ in left:
                if await client.complete(PROMPT) != TEXT:
                    raise ValueError("the answer is not the one that was sent")

        await asyncio.gather(*(lane() for _ in range(order["in_flight"])))

    await client.open(order["base_url"])
    await lanes(WARM_UP)
    cpu, wall = time.process_time(), time.perf_counter()
    await lanes(order["operations"])
    await client.settle()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await client.close()
    return {"cpu": cpu / order["operations"], "wall": wall / order["operations"]}


async def stream(client: Any, order: dict[str, Any]) -> dict[str, Any]:
    """CPU per chunk of `operations` streams, one after the other."""
    from benchmarks.canned import CHUNKS, STREAM_LENGTH

    await client.open(order["base_url"])
    await client.stream(PROMPT)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(order["operations"]):
        if await client.stream(PROMPT) != STREAM_LENGTH:
            raise ValueError("the text is not as long as the one that was sent")
    await client.settle()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await client.close()
    chunks = order["operations"] * CHUNKS
    return {"cpu": cpu / chunks, "wall": wall / chunks}


async def in_flight(client: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Memory and CPU of `operations` completions that all wait at the same time."""
    calls = order["operations"]
    raise_open_files()
    await client.open(order["base_url"], connections=calls)
    highest = before = resident()
    cpu, wall = time.process_time(), time.perf_counter()
    tasks = [asyncio.ensure_future(client.complete(PROMPT)) for _ in range(calls)]
    everything = asyncio.gather(*tasks)
    while not await _first_done(tasks):
        highest = max(highest, resident())
    await everything
    await client.settle()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await client.close()
    return {"memory": (highest - before) / calls, "cpu": cpu / calls, "wall": wall}


async def _first_done(tasks: list[asyncio.Future[Any]]) -> bool:
    # Watching one task is enough, as the server answers all of them together.
    done, _ = await asyncio.wait(tasks[:1], timeout=0.1)
    return bool(done)


def answer(peer: Any, bench: str, order: dict[str, Any]) -> dict[str, Any]:
    """One pass."""
    if bench == "prompt":
        from benchmarks.trimming import time_prompt

        return time_prompt(peer, order)
    if bench == "trim":
        from benchmarks.trimming import count_broken

        return count_broken(peer, order)
    measure = {"complete": complete, "stream": stream, "in_flight": in_flight}[bench]
    return run_loop(measure(peer.Client(), order))


def main() -> None:
    """Serve orders until standard input closes."""
    name, bench = sys.argv[1:3]
    with os.fdopen(os.dup(1), "w") as channel, contextlib.redirect_stdout(sys.stderr):
        peer = importlib.import_module(PEERS[name].module)
        print(json.dumps({"ready": True}), file=channel, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(peer, bench, json.loads(line))), file=channel, flush=True)


if __name__ == "__main__":
    main()
