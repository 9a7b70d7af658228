"""Streams: blocks as they arrive, deadlines, breaking off, and what happens to the connection."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import pytest

from chatstep.errors import AnswerUnreadable, ProviderDown, RateLimited, TimedOut, Unreachable
from chatstep.http import Body, Http, Patience, Reply, Request, Timeouts
from raw_server import Exchange, RawServer

QUICK = Patience(tries=3, base=0.001)


def judge(reply: Reply) -> None:
    if reply.status == 429:
        raise RateLimited(reply.body.decode())
    if reply.status == 503:
        raise ProviderDown("No.")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http()
    yield http
    await http.close()


def post(server: RawServer) -> Request:
    return Request("POST", server.url, {"content-type": "application/json"}, b"{}")


async def whole(body: Body) -> bytes:
    return b"".join([block async for block in body])


async def test_blocks_come_when_they_are_sent_and_the_connection_is_kept(http: Http) -> None:
    taken = asyncio.Queue[bytes]()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks(x_request_id="abc")
        for word in (b"one", b"two", b"\xf0\x9f", b"\x98\x80"):
            await exchange.chunk(word)
            assert await taken.get() == word
        await exchange.chunk(b"")

    async with RawServer(answer) as server:
        for _ in range(2):
            async with http.stream(post(server), judge) as body:
                assert (body.status, body.headers["X-Request-ID"], body.attempt) == (200, "abc", 1)
                async for block in body:
                    taken.put_nowait(block)
        assert server.connections == 1


async def test_failures_before_the_head_are_tried_again(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.abort()
        elif exchange.number == 2:
            await exchange.reply(503)
        else:
            await exchange.reply(200, b"text")

    async with RawServer(answer) as server, http.stream(post(server), judge, patience=QUICK) as body:
        assert body.attempt == 3
        assert await whole(body) == b"text"


async def test_the_judge_sees_the_body_of_a_refusal(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks(429)
        await exchange.chunk(b"slow ")
        await exchange.chunk(b"down")
        await exchange.chunk(b"")

    async with RawServer(answer) as server:
        with pytest.raises(RateLimited, match="slow down") as caught:
            async with http.stream(post(server), judge, patience=QUICK):
                raise AssertionError
    assert caught.value.details["attempts"] == len(server.requests) == 3


async def test_a_refusal_that_the_judge_lets_pass_is_still_an_error(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply(302, location="/")) as server:
        with pytest.raises(AnswerUnreadable, match="302"):
            async with http.stream(post(server), judge):
                raise AssertionError
    assert len(server.requests) == 1


@pytest.mark.parametrize("ending", ["close", "abort"])
@pytest.mark.parametrize("framing", ["chunks", "length"])
async def test_a_stream_that_breaks_is_not_asked_for_again(http: Http, framing: str, ending: str) -> None:
    taken = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if framing == "chunks":
            await exchange.start_chunks()
            await exchange.chunk(b"begin")
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nbegin")
        await taken.wait()
        getattr(exchange, ending)()

    async with RawServer(answer) as server, http.stream(post(server), judge, patience=QUICK) as body:
        assert await anext(body) == b"begin"
        taken.set()
        with pytest.raises(Unreachable) as caught:
            await anext(body)
    assert caught.value.details["attempts"] == len(server.requests) == 1


async def test_bad_framing_in_the_middle_is_unreadable(http: Http) -> None:
    taken = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"begin")
        await taken.wait()
        await exchange.send(b"no chunk\r\n")
        await exchange.until_gone()

    async with RawServer(answer) as server, http.stream(post(server), judge) as body:
        assert await anext(body) == b"begin"
        taken.set()
        with pytest.raises(AnswerUnreadable):
            await anext(body)


async def test_leaving_early_closes_the_connection(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        while True:
            await exchange.chunk(b"word" * 1000)

    async with RawServer(answer) as server:
        async with http.stream(post(server), judge) as body:
            await anext(body)
        await asyncio.wait_for(server.gone.wait(), 60)


@pytest.mark.parametrize("moment", ["before the head", "in the middle"])
async def test_cancelling_closes_the_connection(http: Http, moment: str) -> None:
    there = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if moment == "in the middle":
            await exchange.start_chunks()
            await exchange.chunk(b"begin")
        else:
            there.set()
        await exchange.until_gone()

    async def call() -> None:
        async with http.stream(post(server), judge) as body:
            await anext(body)
            there.set()
            await anext(body)

    async with RawServer(answer) as server:
        task = asyncio.create_task(call())
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 60)
    assert len(server.requests) == 1


async def test_cancelling_a_whole_call_closes_the_connection(http: Http) -> None:
    there = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"begin")
        there.set()
        await exchange.until_gone()

    async with RawServer(answer) as server:
        task = asyncio.create_task(http.send(post(server), lambda reply: reply))
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 60)


async def dribble(exchange: Exchange) -> None:
    await exchange.start_chunks()
    while True:
        await exchange.chunk(b".")
        await asyncio.sleep(0.01)


async def test_one_byte_at_a_time_ends_at_the_total_deadline(http: Http) -> None:
    async with RawServer(dribble) as server:
        with pytest.raises(TimedOut) as caught:
            await http.send(post(server), lambda r: r, timeouts=Timeouts(total=2.5, between=2.0), patience=QUICK)
        await asyncio.wait_for(server.gone.wait(), 60)
    assert caught.value.details["phase"] == "total"
    assert len(server.requests) == 1


async def test_a_dribbling_stream_ends_at_the_total_deadline(http: Http) -> None:
    async with RawServer(dribble) as server:
        with pytest.raises(TimedOut) as caught:
            async with http.stream(post(server), judge, timeouts=Timeouts(total=2.5, between=2.0)) as body:
                assert len(await whole(body)) < 0
        await asyncio.wait_for(server.gone.wait(), 60)
    assert caught.value.details["phase"] == "total"
    assert body.size > 5


async def silent_in_the_middle(exchange: Exchange) -> None:
    await exchange.start_chunks()
    await exchange.chunk(b"begin")
    await exchange.until_gone()


async def test_silence_between_bytes_is_its_own_phase(http: Http) -> None:
    async with RawServer(silent_in_the_middle) as server:
        async with http.stream(post(server), judge, timeouts=Timeouts(between=0.1), patience=QUICK) as body:
            assert await anext(body) == b"begin"
            with pytest.raises(TimedOut) as caught:
                await anext(body)
        assert caught.value.details == {"phase": "between bytes", "attempts": 1}
        with pytest.raises(TimedOut) as caught:
            await http.send(post(server), judge, timeouts=Timeouts(between=0.05), patience=QUICK)
        assert (caught.value.details["phase"], caught.value.details["attempts"]) == ("between bytes", 2)


async def test_a_slow_reader_is_not_a_silent_server(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"begin")
        await exchange.chunk(b"end")
        await exchange.chunk(b"")

    patient = Timeouts(between=1.0)
    async with RawServer(answer) as server, http.stream(post(server), judge, timeouts=patient) as body:
        got = await anext(body)
        await asyncio.sleep(2.5)
        assert got + await whole(body) == b"beginend"


async def test_the_total_deadline_also_passes_while_nobody_reads(http: Http) -> None:
    short = Timeouts(total=1.0)
    async with RawServer(silent_in_the_middle) as server, http.stream(post(server), judge, timeouts=short) as body:
        await anext(body)
        await asyncio.wait_for(server.gone.wait(), 60)
        with pytest.raises(TimedOut) as caught:
            await anext(body)
    assert caught.value.details["phase"] == "total"


async def test_a_caller_that_cancels_at_the_deadline_is_cancelled(http: Http) -> None:
    async with RawServer(Exchange.until_gone) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await http.send(post(server), judge, timeouts=Timeouts(total=60))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with pytest.raises(TimedOut):
            await http.send(post(server), judge, timeouts=Timeouts(total=0.05))
        assert task.cancelling() == 0


async def test_a_switch_of_protocols_leaves_no_connection_behind(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nmore")
        await exchange.until_gone()

    async with RawServer(answer) as server:
        reply = await http.send(post(server), lambda reply: reply)
        await asyncio.wait_for(server.gone.wait(), 60)
    assert (reply.status, reply.body) == (101, b"")


async def test_packed_streams_arrive_in_time(http: Http) -> None:
    taken = asyncio.Queue[bytes]()

    async def answer(exchange: Exchange) -> None:
        packer = zlib.compressobj(wbits=31)
        await exchange.start_chunks(content_encoding="gzip")
        for word in (b"one", b"two"):
            await exchange.chunk(packer.compress(word) + packer.flush(zlib.Z_SYNC_FLUSH))
            assert await taken.get() == word
        await exchange.chunk(packer.flush())
        await exchange.chunk(b"")

    async with RawServer(answer) as server, http.stream(post(server), judge) as body:
        async for block in body:
            taken.put_nowait(block)
        assert body.size == 6
