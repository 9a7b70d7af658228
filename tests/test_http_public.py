"""Which addresses a flow may reach: none in private networks, whatever name leads there."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from chatstep.errors import InvalidInput, RequestRefused, Unreachable
from chatstep.http import Http, Request
from chatstep.http.public import is_public
from raw_server import RawServer

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fc00::1",
    "fd12:3456::1", "fe80::1", "fe80::1%eth0", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "name.example", "",
    "fec0::1", "64:ff9b:1::7f00:1", "::7f00:1", "::ffff:0:7f00:1", "192.0.0.192", "192.88.99.1", "168.63.129.16",
    "3fff::1", "5f00::1", "2001:20::1", "100::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "172.32.0.1",
    "100.128.0.1",
    "2a00:1450::1",
    "2002:808:808::1",
]


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http()
    yield http
    await http.close()


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


def ask(url: str, *, public_only: bool = True) -> Request:
    return Request("GET", url, public_only=public_only)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "2130706433",
        "0x7f000001",
        "127.1",
        "LOCALHOST.",
        "127.0.0.1.",
    ],
)
async def test_no_spelling_of_this_machine_is_reached(http: Http, host: str) -> None:
    """Also not one that only the system's look-up turns into an address."""
    async with RawServer(lambda exchange: exchange.reply(200, b"secret")) as server:
        with pytest.raises((RequestRefused, Unreachable, InvalidInput)) as caught:
            await http.send(ask(f"http://{host}:{server.port}/"), lambda reply: reply.body)
        assert server.requests == []
    if host.strip("[]").lower() in ("127.0.0.1", "::1", "localhost"):
        assert isinstance(caught.value, RequestRefused)
        assert "CHATSTEP_PRIVATE_ADDRESSES" in (caught.value.hint or "")


async def test_a_name_that_leads_to_a_private_address_as_well_is_refused(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker's name may give one public address for the check and a private one for the connection."""
    told = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.0.1", 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: told)
    with pytest.raises(RequestRefused):
        await http.send(ask("http://rebind.example/"), lambda reply: reply.body)


async def test_other_requests_and_clients_that_allow_it_reach_this_machine(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, b"here")) as server:
        assert await http.send(ask(server.url, public_only=False), lambda reply: reply.body) == b"here"
        open_client = Http(private=True)
        assert await open_client.send(ask(server.url), lambda reply: reply.body) == b"here"
        await open_client.close()
