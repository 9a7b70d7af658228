"""A canned chat-completions server: the same answer to everybody, with as little work of its own as possible.

Started by the benchmarks in its own process (``python -m benchmarks.canned``); prints its port and serves until its
standard input closes. ``/v1/...`` answers at once, as JSON or as a stream of 2,000 chunks; ``/hold/N/v1/...`` answers
when N requests have arrived, or after `HOLD_SECONDS`. Used by nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

ADDRESSES = tuple(f"127.0.0.{host}" for host in range(1, 9))
BACKLOG = 20_000
CHUNKS = 2_000
CHUNKS_PER_WRITE = 8
HOLD_SECONDS = 20.0
SETTLE_SECONDS = 0.5

TEXT = (
    "A conversation is a list of messages, and the next message is what everybody waits for. The model reads the "
    "instructions first, then whatever was said before, oldest to newest, and finally the latest message. Its answer "
    "is one more message of the same kind. Nothing is remembered on the other side, so each request has to carry all "
    "that matters, and nothing that does not."
)
STREAM_LENGTH = sum(len(f" word{at % 10}") for at in range(CHUNKS))

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HOLD = re.compile(rb"^POST /hold/(\d+)/")
_HEAD = {
    "id": "chatcmpl-bench",
    "created": 1_790_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "system_fingerprint": "fp_0",
}
_USAGE = {
    "prompt_tokens": 31,
    "completion_tokens": 72,
    "total_tokens": 103,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def completion() -> bytes:
    """The whole HTTP answer to a request without streaming."""
    message = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    return _headers("application/json", f"content-length: {len(body)}") + body


def _headers(kind: str, length: str) -> bytes:
    lines = ("HTTP/1.1 200 OK", f"content-type: {kind}", "x-request-id: req_bench", length, "", "")
    return "\r\n".join(lines).encode()


def _event(choices: list[dict[str, object]], usage: object) -> bytes:
    chunk = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def stream_writes(usage: bool, chunks: int = CHUNKS) -> list[bytes]:
    """The writes of a streamed answer: headers, then blocks of `CHUNKS_PER_WRITE` events, each one HTTP chunk."""
    events = [_event([_choice({"role": "assistant", "content": ""})], None)]
    events += [_event([_choice({"content": f" word{at % 10}"})], None) for at in range(chunks)]
    events.append(_event([_choice({}, "stop")], None))
    if usage:
        events.append(_event([], _USAGE))
    events.append(b"data: [DONE]\n\n")
    blocks = [b"".join(events[at : at + CHUNKS_PER_WRITE]) for at in range(0, len(events), CHUNKS_PER_WRITE)]
    framed = [b"%x\r\n%b\r\n" % (len(block), block) for block in blocks]
    return [_headers("text/event-stream; charset=utf-8", "transfer-encoding: chunked"), *framed, b"0\r\n\r\n"]


COMPLETION = completion()
STREAM = stream_writes(usage=False)
STREAM_WITH_USAGE = stream_writes(usage=True)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def split_request(buffer: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(head, body, rest) of the first whole request in the buffer; None while it is incomplete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    match = _LENGTH.search(buffer, 0, end)
    stop = end + 4 + (int(match[1]) if match else 0)
    if len(buffer) < stop:
        return None
    return buffer[:end], buffer[end + 4 : stop], buffer[stop:]


def wants_stream(body: bytes) -> bool:
    """Whether a request body asks for a stream."""
    return b'"stream":true' in body or b'"stream": true' in body


class Hold:
    """Requests that wait for each other; all are answered together."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Transport] = []
        self.timer: asyncio.TimerHandle | None = None

    def add(self, transport: asyncio.Transport, wanted: int) -> None:
        """Keep one more request waiting; release all when the wanted number is there."""
        self.waiting.append(transport)
        loop = asyncio.get_running_loop()
        if len(self.waiting) == 1:
            self.timer = loop.call_later(HOLD_SECONDS, self.release)
        if len(self.waiting) >= wanted and self.timer is not None:
            # The client needs a moment in which all calls wait, to look at its memory.
            self.timer.cancel()
            self.timer = loop.call_later(SETTLE_SECONDS, self.release)

    def release(self) -> None:
        """Answer everybody who waits."""
        for transport in self.waiting:
            if not transport.is_closing():
                transport.write(COMPLETION)
        self.waiting.clear()
        self.timer = None


class Canned(asyncio.Protocol):
    """One connection: requests in order, answers in order."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (parts := split_request(self.buffer)) is not None:
            head, body, self.buffer = parts
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Write, or begin to write, the answer to one request."""
        if not head.startswith(b"POST "):
            self.transport.write(NOT_FOUND)
        elif match := _HOLD.match(head):
            self.hold.add(self.transport, int(match[1]))
        elif wants_stream(body):
            self.write_next(iter(STREAM_WITH_USAGE if b"include_usage" in body else STREAM))
        else:
            self.transport.write(COMPLETION)

    def write_next(self, writes: Iterator[bytes]) -> None:
        """Write one block and come back for the next in a later turn of the loop, as a server fed by a model does."""
        block = next(writes, None)
        if block is not None and not self.transport.is_closing():
            self.transport.write(block)
            asyncio.get_running_loop().call_soon(self.write_next, writes)


def _listening(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(BACKLOG)
    return listener


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    hold = Hold()
    first = _listening(ADDRESSES[0], 0)
    port = first.getsockname()[1]
    for listener in (first, *(_listening(address, port) for address in ADDRESSES[1:])):
        await loop.create_server(lambda: Canned(hold), sock=listener, backlog=BACKLOG)
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Run the server in a process of its own; gives its port, the same on all of `ADDRESSES`."""
    command = [sys.executable, "-m", "benchmarks.canned"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())  # type: ignore[union-attr]
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(30)


if __name__ == "__main__":
    from benchmarks.worker import raise_open_files, run_loop

    raise_open_files()
    run_loop(_serve())
