"""Which requests are sent again, how often, and after how long; over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate

import pytest

from chatstep.errors import (
    Busy,
    ChatstepError,
    InvalidInput,
    OutOfMoney,
    ProviderDown,
    RateLimited,
    RequestRefused,
    SpendLimitReached,
    TimedOut,
    Unreachable,
)
from chatstep.http import Http, Patience, Reply, Request, Timeouts
from chatstep.http.retry import Retry, server_delay
from raw_server import Exchange, RawServer

QUICK = Patience(tries=3, base=0.001)
ERRORS: dict[int, type[ChatstepError]] = {400: RequestRefused, 402: OutOfMoney, 429: RateLimited, 503: ProviderDown}


def judge(reply: Reply) -> bytes:
    if reply.status in ERRORS:
        raise ERRORS[reply.status]("No.")
    return reply.body


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http()
    yield http
    await http.close()


def answers(*replies: tuple[int, dict[str, str]]) -> Callable[[Exchange], object]:
    """The first request gets the first reply, and so on; those after the last get the last."""

    async def answer(exchange: Exchange) -> None:
        status, headers = replies[min(exchange.number, len(replies)) - 1]
        await exchange.reply(status, b"done", **headers)

    return answer


async def test_busy_is_tried_again_until_it_works(http: Http) -> None:
    async with RawServer(answers((503, {}), (429, {}), (200, {}))) as server:
        request = Request("POST", server.url, {"x-a": "b"}, b"hello")
        assert await http.send(request, judge, patience=QUICK) == b"done"
    assert [exchange.body for exchange in server.requests] == [b"hello"] * 3
    assert server.connections == 1


async def test_tries_are_limited_and_counted(http: Http) -> None:
    async with RawServer(answers((503, {}))) as server:
        with pytest.raises(ProviderDown) as caught:
            await http.send(Request("POST", server.url), judge, patience=QUICK)
    assert caught.value.details["attempts"] == len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 402])
async def test_refusals_and_money_cost_one_request(http: Http, status: int) -> None:
    async with RawServer(answers((status, {}))) as server:
        with pytest.raises(ERRORS[status]) as caught:
            await http.send(Request("POST", server.url), judge, patience=QUICK)
    assert caught.value.details["attempts"] == len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "wish", "requests"),
    [(400, "true", 3), (503, "false", 1), (503, "FALSE ", 1), (402, "true", 1), (503, "perhaps", 3)],
)
async def test_the_server_may_overrule_except_for_money(http: Http, status: int, wish: str, requests: int) -> None:
    async with RawServer(answers((status, {"x_should_retry": wish}))) as server:
        with pytest.raises(ChatstepError):
            await http.send(Request("POST", server.url), judge, patience=QUICK)
    assert len(server.requests) == requests


async def test_an_error_that_is_not_ours_passes_through(http: Http) -> None:
    async with RawServer(answers((200, {}))) as server:
        with pytest.raises(ZeroDivisionError):
            await http.send(Request("POST", server.url), lambda reply: 1 // (reply.status - 200))
    assert len(server.requests) == 1


async def test_the_servers_delay_is_kept(http: Http) -> None:
    async with RawServer(answers((429, {"retry_after_ms": "120", "retry_after": "9"}), (200, {}))) as server:
        started = time.monotonic()
        assert await http.send(Request("POST", server.url), judge, patience=Patience(wait=1)) == b"done"
        assert time.monotonic() - started >= 0.12  # and not the 9 seconds, which are more than it would wait


async def test_a_delay_that_does_not_fit_ends_the_call_and_is_told(http: Http) -> None:
    async with RawServer(answers((429, {"retry_after": "20.5"}))) as server:
        with pytest.raises(RateLimited) as caught:
            await http.send(Request("POST", server.url), judge, patience=Patience(wait=20))
    assert len(server.requests) == 1
    assert caught.value.details == {"attempts": 1, "retry_after": 20.5}


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 99999999999 08:49:37 GMT"}, None),
        ({}, None),
    ],
)
def test_delays_are_read_from_headers(headers: dict[str, str], delay: float | None) -> None:
    assert server_delay(headers) == delay


def test_a_date_is_a_delay() -> None:
    delay = server_delay({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert delay is not None
    assert 98 < delay <= 100


def test_back_off_is_a_random_part_of_a_doubling_time() -> None:
    retry = Retry(Patience(tries=9, base=1, cap=10), lambda: 0.5)
    assert [retry.delay(Busy("b"), None, n) for n in range(1, 7)] == [0.5, 1, 2, 4, 5, 5]


def test_the_sum_of_waiting_is_limited() -> None:
    retry = Retry(Patience(tries=99, wait=10, base=4, cap=4), lambda: 1.0)
    assert [retry.delay(Busy("b"), None, n) for n in range(1, 4)] == [4, 4, None]


def test_a_huge_number_of_tries_does_not_overflow() -> None:
    retry = Retry(Patience(tries=10**6, wait=1e9), lambda: 1.0)
    assert retry.delay(Busy("b"), None, 5000) == 30


def test_a_delay_found_by_the_judge_counts() -> None:
    retry = Retry(Patience(), lambda: 1.0)
    assert retry.delay(RateLimited("b", retry_after=7), None, 1) == 7
    assert retry.delay(SpendLimitReached("b", retry_after=7), None, 1) is None


@pytest.mark.parametrize("method", ["GET", "POST", "get"])
async def test_every_request_is_counted(http: Http, method: str) -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.close()

    async with RawServer(answer) as server:
        with pytest.raises(Unreachable, match="connection") as caught:
            await http.send(Request(method, server.url), judge, patience=QUICK)
    assert caught.value.details["attempts"] == len(server.requests) == 3
    assert server.requests[0].line.startswith(method.upper())


async def test_a_reset_before_the_answer_is_tried_again(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.abort()
        elif exchange.number == 2:
            exchange.close()
        else:
            await exchange.reply(200, b"%d" % exchange.number)

    async with RawServer(answer) as server:
        reply = await http.send(Request("POST", server.url), lambda reply: reply, patience=QUICK)
    assert (reply.body, reply.attempt, server.connections) == (b"3", 3, 3)


@pytest.mark.parametrize("whole", [2, 9])
async def test_a_cut_answer_is_asked_for_once_more_when_it_was_not_streamed(http: Http, whole: int) -> None:
    """It was written, and charged, each time; so it is not asked for as often as what failed for nothing."""

    async def answer(exchange: Exchange) -> None:
        cut = -2 if exchange.number < whole else None
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf"[:cut])
        exchange.close()

    async with RawServer(answer) as server:
        if whole == 2:
            assert await http.send(Request("POST", server.url), judge, patience=QUICK) == b"half"
        else:
            with pytest.raises(Unreachable) as caught:
                await http.send(Request("POST", server.url), judge, patience=QUICK)
            assert caught.value.details["attempts"] == 2
    assert len(server.requests) == 2


async def test_what_failed_for_nothing_does_not_count_as_a_cut_answer(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.reply(503)
        else:
            cut = -2 if exchange.number == 2 else None
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf"[:cut])
            exchange.close()

    async with RawServer(answer) as server:
        assert await http.send(Request("POST", server.url), judge, patience=QUICK) == b"half"
    assert len(server.requests) == 3


async def test_no_server_at_all(http: Http) -> None:
    async with RawServer(answers((200, {}))) as server:
        pass
    with pytest.raises(Unreachable, match=r"No connection to 127\.0\.0\.1:\d+: Connection refused\.") as caught:
        await http.send(Request("POST", server.url), judge, patience=QUICK)
    assert caught.value.details["attempts"] == 3


async def test_a_connection_that_the_server_closed_while_idle_is_not_used(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(200, b"%d" % exchange.number)
        exchange.close()

    async with RawServer(answer) as server:
        for expected in (b"1", b"2", b"3"):
            assert await http.send(Request("POST", server.url), judge, patience=QUICK) == expected
    assert (server.connections, len(server.requests)) == (3, 3)


async def test_a_connection_closed_as_the_next_request_comes_is_replaced(http: Http) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 2:
            exchange.close()
        else:
            await exchange.reply(200, b"%d" % exchange.number)

    async with RawServer(answer) as server:
        assert await http.send(Request("POST", server.url), judge, patience=QUICK) == b"1"
        assert await http.send(Request("POST", server.url), judge, patience=QUICK) == b"3"
    assert server.connections == 2


async def test_connections_are_used_again(http: Http) -> None:
    async with RawServer(answers((200, {}))) as server:
        for _ in range(20):
            await http.send(Request("POST", server.url, {}, b"x"), judge)
        assert server.connections == 1
        await asyncio.gather(*(http.send(Request("POST", server.url, {}, b"x"), judge) for _ in range(20)))
        assert server.connections <= 20


async def test_a_total_deadline_is_never_tried_again(http: Http) -> None:
    async with RawServer(Exchange.until_gone) as server:
        with pytest.raises(TimedOut) as caught:
            await http.send(Request("POST", server.url), judge, timeouts=Timeouts(total=1.0), patience=QUICK)
    assert (caught.value.details["phase"], caught.value.details["attempts"]) == ("total", 1)
    assert len(server.requests) == 1


async def test_a_server_that_does_not_begin_is_tried_again(http: Http) -> None:
    async with RawServer(Exchange.until_gone) as server:
        with pytest.raises(TimedOut) as caught:
            await http.send(Request("POST", server.url), judge, timeouts=Timeouts(first_byte=0.3), patience=QUICK)
    assert (caught.value.details["phase"], len(server.requests)) == ("first byte", 3)


async def test_bad_input_is_never_sent(http: Http) -> None:
    async with RawServer(answers((200, {}))) as server:
        with pytest.raises(InvalidInput) as caught:
            await http.send(Request("POST", server.url, {"Authorization": "Bearer sk-key\r\nx: y"}), judge)
    assert caught.value.details["attempts"] == 0
    assert caught.value.place == "headers.Authorization"
    assert "sk-key" not in repr(caught.value.to_data())
    assert server.connections == 0


async def test_waiting_can_be_cancelled(http: Http) -> None:
    seen = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(503, retry_after="200")
        seen.set()

    async with RawServer(answer) as server:
        call = asyncio.create_task(http.send(Request("POST", server.url), judge))
        await seen.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(server.requests) == 1
