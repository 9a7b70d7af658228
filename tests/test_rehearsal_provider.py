"""The running provider: where it listens, what it keeps, and how it stops."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import aiohttp
import pytest

import chatstep.rehearsal
from chatstep.errors import InvalidInput
from chatstep.rehearsal import Rehearsal, serve_forever

HI = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


async def test_it_binds_to_loopback_unless_told() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(InvalidInput) as caught:
            Rehearsal(host=host)
        assert caught.value.place == "host"
    async with Rehearsal(host="0.0.0.0", anywhere=True) as provider:
        assert provider.base_url.startswith("http://0.0.0.0:")
    async with (
        Rehearsal(host="localhost") as provider,
        aiohttp.ClientSession() as session,
        session.get(f"{provider.base_url}/models") as answer,
    ):
        assert answer.status == 200


async def test_a_port_in_use() -> None:
    async with Rehearsal() as provider:
        port = int(provider.address.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await Rehearsal(port=port).start()
    async with Rehearsal(port=port) as again:
        assert again.address == f"http://127.0.0.1:{port}"


async def test_requests_are_kept_without_credentials() -> None:
    headers = {
        "Authorization": "Bearer MARKER",
        "api-key": "MARKER",
        "Cookie": "MARKER",
        "OpenAI-Organization": "MARKER",
        "X-Trace": "7",
    }
    async with Rehearsal("- reply: x", keep=2) as provider, aiohttp.ClientSession() as session:
        for number in range(3):
            async with session.post(
                f"{provider.base_url}/chat/completions?a={number}", json={**HI, "user": str(number)}, headers=headers
            ) as answer:
                assert answer.status == 200
        async with session.post(f"{provider.base_url}/chat/completions", data=b"no json") as answer:
            assert answer.status == 400
    first, second = provider.requests
    assert (first.number, first.method, first.path, first.query) == (3, "POST", "/v1/chat/completions", "a=2")
    assert first.body == {**HI, "user": "2"}
    assert first.headers["x-trace"] == "7"
    assert (second.body, second.raw) == (None, b"no json")
    assert "MARKER" not in repr(provider.requests)


async def test_connections_are_used_again_and_http_1_0_is_served() -> None:
    async with Rehearsal("- reply: one two") as provider:
        host, port = provider.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(3):
            writer.write(b"GET /v1/models/rehearsal HTTP/1.1\r\nhost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            assert b'"id":"rehearsal"' in await reader.readexactly(length)
        body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
        writer.write(b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        answer = await reader.read(-1)
        assert answer.partition(b"\r\n\r\n")[2].startswith(b"data: {")
        assert answer.endswith(b"data: [DONE]\n\n")
        writer.close()


async def test_expect_continue() -> None:
    async with Rehearsal("- reply: x") as provider:
        host, port = provider.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


@pytest.mark.parametrize("fault", ["endless", "hang", "{dribble: {bytes: 1, every: 600}}", "{slow_first_byte: 600}"])
async def test_open_answers_are_cut_when_it_stops(fault: str) -> None:
    provider = Rehearsal(f"- fault: {fault}")
    await provider.start()
    host, port = provider.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await provider.arrived()
    async with asyncio.timeout(60):
        await provider.stop()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readuntil(b"data: [DONE]")
    writer.close()


async def test_a_client_that_goes_away_frees_the_server() -> None:
    async with Rehearsal("- fault: hang") as provider:
        with pytest.raises(TimeoutError):
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(0.05)) as session:
                await session.post(f"{provider.base_url}/chat/completions", json=HI)
        async with asyncio.timeout(5):
            await provider.idle()


def test_in_thread_leaves_nothing_behind() -> None:
    before = threading.active_count()
    for _ in range(3):
        with Rehearsal.in_thread("- reply: x") as provider:
            assert provider.base_url.endswith("/v1")
    with pytest.raises(InvalidInput, match="Unknown key"), Rehearsal.in_thread("x: y"):
        pass
    with pytest.raises(ZeroDivisionError), Rehearsal.in_thread():
        1 / 0  # noqa: B018
    gc.collect()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="not running"):
        _ = provider.base_url


async def test_serve_forever(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("- reply: x")
    ready: asyncio.Future[Rehearsal] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_forever(path, port=0, ready=ready.set_result))
    provider = await ready
    async with aiohttp.ClientSession() as session, session.get(f"{provider.base_url}/models") as answer:
        assert answer.status == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RuntimeError):
        _ = provider.address


def test_public_names_are_there() -> None:
    for name in chatstep.rehearsal.__all__:
        assert getattr(chatstep.rehearsal, name) is not None
    assert chatstep.rehearsal.__all__ == sorted(chatstep.rehearsal.__all__)
    with pytest.raises(AttributeError):
        _ = chatstep.rehearsal.nothing
