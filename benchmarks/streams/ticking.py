"""A provider whose streams tick: each gets a chunk every ``EVERY`` seconds, which says when it was sent.

``python -m benchmarks.streams.ticking`` prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from benchmarks.worker import run_loop

EVERY = 0.5
"""Seconds between two chunks of a stream."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_tick\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_CHUNK = (
    'data: {"id":"chatcmpl-tick","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini",'
    '"choices":[{"index":0,"delta":{"content":"%.6f"},"logprobs":null,"finish_reason":null}]}\n\n'
)


class Ticking(asyncio.Protocol):
    """One connection; whatever is asked, it ticks until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._next: asyncio.TimerHandle | None = None
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got = (self._got + data)[-200_000:]
        if self._next is None and b"\r\n\r\n" in self._got and b'"stream":true' in self._got.replace(b" ", b""):
            self._transport.write(_HEAD)
            self._tick()

    def _tick(self) -> None:
        event = (_CHUNK % time.monotonic()).encode()
        self._transport.write(b"%x\r\n%s\r\n" % (len(event), event))
        self._next = self._loop.call_later(EVERY, self._tick)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next is not None:
            self._next.cancel()


async def main() -> None:
    """Serve."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Ticking, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    run_loop(main())
