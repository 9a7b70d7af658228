"""Answers that are too large, packed, endless or not HTTP at all."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable

import pytest

from chatstep.errors import AnswerTooLarge, AnswerUnreadable, ChatstepError, TimedOut, Unreachable
from chatstep.http import Http, Patience, Reply, Request, Timeouts
from raw_server import Exchange, RawServer

ONCE = Patience(tries=1)
TEXT = b"The quick brown fox. " * 5000


def body_of(reply: Reply) -> bytes:
    return reply.body


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http(max_body=len(TEXT))
    yield http
    await http.close()


def zlib_packed(data: bytes) -> bytes:
    return zlib.compress(data)


def bare_packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[:100]) + gzip.compress(data[100:])


PACKINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZip", gzip.compress),
    ("gzip", two_members),
    ("deflate", zlib_packed),
    ("deflate", bare_packed),
    ("identity", bytes),
]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("encoding", "pack"), PACKINGS)
async def test_packed_answers_are_unpacked(
    http: Http, encoding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    packed = pack(TEXT[: 3000 if size < 10 else None])

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks(content_encoding=encoding)
        for start in range(0, len(packed), size):
            await exchange.chunk(packed[start : start + size])
        await exchange.chunk(b"")

    async with RawServer(answer) as server:
        got = await http.send(Request("GET", server.url), body_of)
    assert got == TEXT[: len(got)]
    assert len(got) == (3000 if size < 10 else len(TEXT))
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_an_empty_body_may_claim_to_be_packed(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, b"", content_encoding="gzip")) as server:
        assert await http.send(Request("GET", server.url), body_of) == b""


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not gzip"),
        ("deflate", b"\xff\xff\xff"),
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", gzip.compress(TEXT)[:50]),
        ("gzip", gzip.compress(TEXT) + b"more"),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8),
        ("gzip", gzip.compress(b"") * 1000),
        ("br", b"whatever"),
        ("gzip, gzip", b"whatever"),
    ],
)
async def test_damaged_or_unknown_packing_is_unreadable(http: Http, encoding: str, body: bytes) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, body, content_encoding=encoding)) as server:
        with pytest.raises(AnswerUnreadable) as caught:
            await http.send(Request("GET", server.url), body_of)
    assert caught.value.details["attempts"] == len(server.requests) == 1


async def test_the_largest_allowed_answer_passes(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, TEXT)) as server:
        assert await http.send(Request("GET", server.url), body_of) == TEXT


async def one_byte_too_many(exchange: Exchange) -> None:
    await exchange.start_chunks()
    await exchange.chunk(TEXT)
    await exchange.chunk(b"!")
    await exchange.until_gone()


async def announced(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000000\r\n\r\n")
    await exchange.until_gone()


async def endless(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await exchange.send(bytes(65536))


async def bomb(exchange: Exchange) -> None:
    """Two megabytes that unpack to two gigabytes."""
    packer = zlib.compressobj(9, wbits=31)
    await exchange.start_chunks(content_encoding="gzip")
    megabyte = bytes(1024 * 1024)
    # Little is packed and then repeated, as the packing must not take the time that the client has.
    block = b"".join(packer.compress(megabyte) for _ in range(8)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = b"".join(packer.compress(megabyte) for _ in range(8)) + packer.flush(zlib.Z_FULL_FLUSH)
    await exchange.chunk(block + again * 255)
    await exchange.until_gone()


@pytest.mark.parametrize("answer", [one_byte_too_many, announced, endless, bomb])
async def test_larger_answers_are_refused_and_the_connection_is_closed(
    http: Http, answer: Callable[[Exchange], object]
) -> None:
    async with RawServer(answer) as server:
        with pytest.raises(AnswerTooLarge) as caught:
            await http.send(Request("GET", server.url), body_of)
        await asyncio.wait_for(server.gone.wait(), 60)
        with pytest.raises(AnswerTooLarge):
            await streamed_size(http, server)
    assert caught.value.details == {"limit": len(TEXT), "attempts": 1}
    assert len(server.requests) == 2


async def streamed_size(http: Http, server: RawServer) -> int:
    async with http.stream(Request("GET", server.url), body_of) as body:
        async for _ in body:
            assert body.size <= len(TEXT)
    return body.size


MEMORY = """
import asyncio, resource, sys
from chatstep.errors import ChatstepError
from chatstep.http import Http, Patience, Request, Timeouts

async def main():
    http = Http(max_body=1024 * 1024)
    await http.send(Request("GET", sys.argv[1]), lambda reply: reply)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timeouts = Timeouts(total=float(sys.argv[2]))
    try:
        await http.send(Request("GET", sys.argv[1]), lambda reply: reply, timeouts=timeouts)
    except ChatstepError as error:
        print(error.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await http.close()

asyncio.run(main())
"""


async def early_hints(exchange: Exchange) -> None:
    while True:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n" * 100)


async def endless_header(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        await exchange.send(b"x-%d: %s\r\n" % (number, b"a" * 4000))


@pytest.mark.parametrize(
    ("attack", "total", "codes"),
    [
        (bomb, 100, {"answer_too_large"}),
        (endless, 100, {"answer_too_large"}),
        (early_hints, 1, {"timed_out", "answer_unreadable"}),
        (endless_header, 1, {"timed_out", "answer_unreadable"}),
    ],
)
async def test_attacks_cost_little_memory(attack: Callable[[Exchange], object], total: float, codes: set[str]) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.reply()
        else:
            await attack(exchange)

    async with RawServer(answer) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MEMORY, server.url, str(total), stdout=subprocess.PIPE
        )
        code, kibibytes = (await process.communicate())[0].decode().split()
    assert code in codes
    assert int(kibibytes) < 24 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        b"NONSENSE\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n",
    ],
)
async def test_what_is_not_http_is_unreadable(http: Http, answer: bytes) -> None:
    async with RawServer(lambda exchange: exchange.send(answer)) as server:
        with pytest.raises(AnswerUnreadable, match="valid HTTP") as caught:
            await http.send(Request("GET", server.url), body_of)
    assert caught.value.details["attempts"] == len(server.requests) == 1
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("answer", [early_hints, endless_header])
async def test_floods_before_the_answer_end(http: Http, answer: Callable[[Exchange], object]) -> None:
    async with RawServer(answer) as server:
        with pytest.raises(ChatstepError) as caught:
            await http.send(Request("GET", server.url), body_of, timeouts=Timeouts(first_byte=0.3), patience=ONCE)
        await asyncio.wait_for(server.gone.wait(), 60)
    assert isinstance(caught.value, TimedOut | AnswerUnreadable)


async def test_a_few_early_hints_are_passed_over(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3)
        await exchange.reply(200, b"yes")

    async with RawServer(answer) as server:
        assert await http.send(Request("GET", server.url), body_of) == b"yes"


async def test_an_answer_cut_at_any_byte_is_noticed(http: Http) -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.send(cut)
        exchange.close()

    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with RawServer(serve) as server:
        for end in range(len(whole)):
            cut = whole[:end]
            with pytest.raises(Unreachable):
                await http.send(Request("GET", server.url), body_of, patience=ONCE)
        cut = whole
        assert await http.send(Request("GET", server.url), body_of, patience=ONCE) == b"hello"


async def test_a_body_without_length_ends_with_the_connection(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
        exchange.close()

    async with RawServer(answer) as server:
        assert await http.send(Request("GET", server.url), body_of) == b"hello"


async def test_large_requests_are_sent_whole_and_again(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.abort()
        else:
            await exchange.reply()

    large = bytes(range(256)) * 20_000
    async with RawServer(answer) as server:
        patience = Patience(base=0.001)
        assert await http.send(Request("POST", server.url, {}, large), body_of, patience=patience) == b"{}"
    assert [exchange.body == large for exchange in server.requests] == [True, True]


async def test_many_requests_are_in_flight_at_once(http: Http) -> None:
    number = 500
    barrier = asyncio.Barrier(number)

    async def answer(exchange: Exchange) -> None:
        await barrier.wait()
        await exchange.reply()

    async with RawServer(answer) as server:
        request = Request("POST", server.url, {}, b"{}")
        async with asyncio.timeout(20):
            got = await asyncio.gather(*(http.send(request, body_of) for _ in range(number)))
    assert got == [b"{}"] * number
