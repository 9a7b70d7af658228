"""Many clients at once: ``python -m benchmarks.streams.clients PORT KEY MODEL STREAMS SECONDS``.

Prints a line when every stream has begun; waits for a line on its standard input; then measures and prints, as JSON,
how long chunks were on their way: the median and the 99th percentile, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time
from typing import Any

from benchmarks.worker import PROMPT, run_loop

_SENT = re.compile(rb'"content":"([0-9.]+)"')


class Client(asyncio.Protocol):
    """One stream."""

    def __init__(self, request: bytes, seen: list[float], begun: asyncio.Semaphore) -> None:
        self._request, self._seen, self._begun = request, seen, begun
        self._first = True

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        for sent in _SENT.findall(data):
            if self._first:
                self._first = False
                self._begun.release()
            self._seen.append(now - float(sent))


async def main(port: int, key: str, model: str, streams: int, seconds: float) -> None:
    """Measure."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop, seen, begun = asyncio.get_running_loop(), [], asyncio.Semaphore(0)
    transports = []
    for at in range(streams):
        transport, _ = await loop.create_connection(
            lambda: Client(head.encode() + body, seen, begun), "127.0.0.1", port
        )
        transports.append(transport)
        if at % 50 == 49:
            await asyncio.sleep(0.05)  # so that the ticks of a second spread over it
    for _ in range(streams):
        await begun.acquire()
    print("begun", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    seen.clear()
    await asyncio.sleep(seconds)
    found = sorted(seen)
    for transport in transports:
        transport.close()
    percentile = {share: found[int(len(found) * share / 100)] for share in (50, 99)}
    print(json.dumps({"p50": percentile[50], "p99": percentile[99], "chunks": len(found) / seconds}), flush=True)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, key, model, streams, seconds = sys.argv[1:]
    run_loop(main(int(port), key, model, int(streams), float(seconds)))
