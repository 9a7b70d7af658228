"""What arrives at the server's socket: broken requests, slow clients, clients that do not read, and very many."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from chatstep.server.sockets import allow_many_files
from chatstep.store import StoredConnection
from raw_server import Exchange, RawServer
from serving import Served, Serving
from stepping import Stage

Gateway = Callable[..., Awaitable[tuple[Served, Stage]]]

HELLO = b'{"model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'
STREAM = b'{"model": "raw/x", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
ALIVE = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def post(body: bytes = HELLO, *headers: bytes, version: bytes = b"1.1", length: bool = True) -> bytes:
    lines = [b"POST /v1/chat/completions HTTP/" + version, b"host: 127.0.0.1", *headers]
    if length:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(body, b"transfer-encoding: chunked", *headers, length=False)


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(served.server.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(served: Served, *pieces: bytes) -> bytes:
    """All that the server answers until it closes the connection."""
    async with connected(served) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
        return await reader.read()


async def alive(served: Served) -> bool:
    async with served.client.get(f"{served.server.address}/healthz") as answer:
        return answer.status == 200


BROKEN = {
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n\r\n",
    "length and chunks": post(b"0\r\n\r\n", b"transfer-encoding: chunked"),
    "unknown coding": post(b"x", b"transfer-encoding: gzip, chunked", length=False),
    "chunked is not last": post(b"0\r\n\r\n", b"transfer-encoding: chunked, identity", length=False),
    "two lengths": post(HELLO, b"content-length: 3"),
    "negative length": post(b"x", b"content-length: -1", length=False),
    "length with a sign": post(b"hello", b"content-length: +5", length=False),
    "huge length": post(b"x", b"content-length: 99999999999999999999999", length=False),
    "no chunk": chunked(b"zz\r\nhello\r\n0\r\n\r\n"),
    "no chunk later": chunked(b"2\r\n{}\r\nzz\r\nhello\r\n0\r\n\r\n"),
    "huge chunk": chunked(b"fffffffffffffffffff\r\nhello"),
    "folded header": post(HELLO, b"x-a: b\r\n folded"),
    "NUL in a header": post(HELLO, b"x-a: b\0c"),
    "NUL in a name": post(HELLO, b"x\0a: b"),
    "space before the colon": post(HELLO, b"x-a : b"),
    "line feeds alone": b"GET /healthz HTTP/1.1\nhost: 127.0.0.1\n\n",
    "carriage return in a header": post(HELLO, b"x-a: b\rc"),
    "too many headers": post(HELLO, *(b"x-%d: a" % at for at in range(1000))),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "bytes": bytes(range(256)),
    "bytes in the address": b"GET /\xff\xfe HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "bad port in the address": b"GET http://127.0.0.1:99999999/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_request_is_refused_and_ends_the_connection(
    served: Served, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Who could be understood in two ways is not understood: the next request might be hidden in the body."""
    caplog.set_level(logging.DEBUG)
    answer = await said(served, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert answer.count(b"HTTP/1.") == 1
    assert json.loads(body)["error"]["code"] == "invalid_http"
    assert b"aiohttp" not in answer.lower()
    assert b"python" not in answer.lower()
    assert b"x-content-type-options: nosniff" in head.lower()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert await alive(served)


@pytest.mark.parametrize(
    "sent",
    [b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", post(HELLO, b"x-a: " + b"a" * 100_000)],
    ids=["line", "header"],
)
async def test_a_head_that_is_too_large_is_refused(served: Served, sent: bytes) -> None:
    answer = await said(served, sent)
    assert b" 431 " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"


@pytest.mark.parametrize("stream", [False, True])
async def test_http_1_0_is_answered(gateway: Gateway, stream: bool) -> None:
    served, _ = await gateway("- reply: Beans.")
    body = HELLO.replace(b"}]}", b'}], "stream": true}') if stream else HELLO
    answer = await said(served, post(body, version=b"1.0"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert b"chunked" not in head
    assert body.endswith(b"data: [DONE]\n\n") if stream else json.loads(body)


async def test_requests_in_a_row_are_answered_in_order(gateway: Gateway) -> None:
    served, _ = await gateway("- reply: Beans.")
    whole = chunked(b"%x\r\n%b\r\n0\r\nx-trailer: y\r\n\r\n" % (len(HELLO), HELLO))
    answer = await said(served, post(), whole, ALIVE * 1000, LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 1003
    assert answer.endswith(b"ok\n")


async def test_who_asks_first_is_told_to_send_its_body(gateway: Gateway) -> None:
    served, _ = await gateway("- reply: Beans.")
    head, _, body = post(HELLO, b"Expect: 100-continue", b"connection: close").partition(b"\r\n\r\n")
    async with connected(served) as (reader, writer):
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert b"200 OK" in await reader.readline()
    assert b" 417 " in (await said(served, post(HELLO, b"expect: more", b"connection: close")))[:20]


async def test_who_asks_first_does_not_send_what_is_refused(serving: Serving) -> None:
    served = await serving(largest_body=10)
    async with connected(served) as (reader, writer):
        writer.write(post(HELLO, b"expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert b" 413 " in await reader.readline()


@pytest.mark.parametrize("first", [b"", ALIVE], ids=["first request", "next request"])
async def test_a_head_that_trickles_in_is_given_up(serving: Serving, first: bytes) -> None:
    served = await serving(slowest_head=0.3)
    async with connected(served) as (reader, writer):
        writer.write(first)
        if first:
            await reader.readuntil(b"ok\n")

        async def trickle() -> None:
            for byte in b"GET /healthz HTTP/1.1\r\nhost: " + b"x" * 10_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        answer = await reader.read()
        trickling.cancel()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"]["code"] == "request_timeout"


async def test_a_head_in_pieces_that_comes_in_time_is_answered(serving: Serving) -> None:
    served = await serving(slowest_head=2.0)
    async with connected(served) as (reader, writer):
        for _ in range(3):
            for piece in (ALIVE[:10], ALIVE[10:30], ALIVE[30:]):
                writer.write(piece)
                await asyncio.sleep(0.01)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(2.2)  # longer than a head may take, and nothing of one has come
        writer.write(LAST)
        assert b"200 OK" in await reader.read()


async def test_a_connection_that_nobody_uses_is_closed(serving: Serving) -> None:
    served = await serving(idle=0.2)
    assert await said(served) == b""
    async with connected(served) as (reader, writer):
        writer.write(ALIVE)
        assert (await reader.read()).endswith(b"ok\n")


class Endless:
    """An upstream whose stream has no end."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.wrote = 0

    async def __call__(self, exchange: Exchange) -> None:
        event = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % (b"x" * 60_000)
        try:
            await exchange.start_chunks(content_type="text/event-stream")
            while True:
                await exchange.chunk(event)
                self.wrote += len(event)
        finally:
            self.left.set()


@asynccontextmanager
async def before_endless(served: Served) -> AsyncIterator[Endless]:
    endless = Endless()
    async with RawServer(endless) as upstream:
        settings = {"base_url": f"http://127.0.0.1:{upstream.port}/v1"}
        added = StoredConnection("raw", "openai", "compatible", settings)
        await asyncio.to_thread(served.app.store.connections.add, added, {})
        yield endless


async def test_a_client_that_does_not_read_its_stream_is_given_up(serving: Serving) -> None:
    """And so is the call to the provider, of which not much more was taken than the sockets hold."""
    served = await serving(slowest_reader=0.3)
    async with before_endless(served) as endless, connected(served) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post(STREAM))
        await endless.left.wait()
        assert await alive(served)
    assert endless.wrote < 64_000_000
    assert served.server.under_way == 0


@pytest.mark.parametrize("how", ["closed", "reset", "half-closed"])
async def test_a_client_that_leaves_ends_the_call(serving: Serving, how: str) -> None:
    served = await serving()
    async with before_endless(served) as endless, connected(served) as (reader, writer):
        writer.write(post(STREAM))
        await reader.readuntil(b"xxxx")
        if how == "half-closed":
            writer.write_eof()
        else:
            if how == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
        await endless.left.wait()
        await served.server.idle()
        assert await alive(served)


@pytest.fixture
def few_files() -> Iterator[None]:
    """The limit of open files as most shells set it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_files")
async def test_two_thousand_idle_connections_leave_room_for_others(gateway: Gateway) -> None:
    """Half of them have begun a request, and never end it. The system's limit of open files is raised at the start."""
    served, _ = await gateway("- reply: Beans.")
    port = int(served.server.address.rpartition(":")[2])
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 4_100
    idle = []
    try:
        for at in range(2_000):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127" if at % 2 else b"")
            idle.append(writer)
        for _ in range(20):
            status, _ = await served.post(json.loads(HELLO))
            assert status == 200
        assert not any(writer.transport.is_closing() for writer in idle)
    finally:
        for writer in idle:
            writer.close()


async def test_beyond_the_most_connections_the_one_that_waits_longest_is_closed(serving: Serving) -> None:
    served = await serving(most_connections=10)
    async with before_endless(served), connected(served) as (reading, asking):
        asking.write(post(STREAM))
        await reading.readuntil(b"xxxx")
        idle = [await asyncio.open_connection(*served.server._runner.addresses[0][:2]) for _ in range(9)]  # type: ignore[union-attr]
        assert await alive(served)
        assert await idle[0][0].read() == b""
        assert not asking.transport.is_closing()
        for _, writer in idle:
            writer.close()


async def test_where_none_waits_one_more_is_turned_away(serving: Serving) -> None:
    served = await serving(most_connections=1)
    async with before_endless(served), connected(served) as (reading, asking):
        asking.write(post(STREAM))
        await reading.readuntil(b"xxxx")
        with suppress(ConnectionError):  # closed or reset: which of them is the system's choice
            assert await said(served, LAST) == b""


def test_the_limit_of_files_is_raised_once_and_bounds_the_connections(few_files: None) -> None:
    most = allow_many_files()
    assert most == allow_many_files()
    assert 64 <= most < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
