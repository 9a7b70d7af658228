"""Where requests go and what goes along: addresses, proxies, headers, certificates, redirects, cookies, log lines."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import logging
import os
import pickle
import socket
import ssl
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chatstep.errors import ChatstepError, InvalidInput, ProviderDown, TimedOut, Unreachable
from chatstep.http import Http, Patience, Reply, Request, Timeouts
from chatstep.http.target import check_headers, find_target
from raw_server import Exchange, RawServer

KEY = "sk-marker-4711"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ONCE = Patience(tries=1)
PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def same(reply: Reply) -> Reply:
    return reply


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http()
    yield http
    await http.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080/v1",
        "//host/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "https://host:99999/",
        "https://host:port/",
        "http://[::1/",
        "http://a b/",
        "http://host/\r\nx: y",
        "https://me:secret@host/v1",
        "https://me@host/v1",
    ],
)
async def test_addresses_that_are_none_are_refused(http: Http, url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await http.send(Request("GET", url), same)
    assert caught.value.place == "url"
    assert caught.value.details["attempts"] == 0
    assert "secret" not in str(caught.value)


async def test_a_host_name_that_cannot_be_looked_up_is_refused(http: Http) -> None:
    with pytest.raises(ChatstepError) as caught:
        await http.send(Request("GET", f"http://{'a' * 300}/"), same, patience=ONCE)
    assert isinstance(caught.value, InvalidInput | Unreachable)


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({"a": "b\rc"}, "headers.a"),
        ({"a": "b\nc"}, "headers.a"),
        ({"a": "b\0"}, "headers.a"),
        ({"a": "\ud83d"}, "headers.a"),
        ({"a b": "c"}, "headers"),
        ({"a:": "c"}, "headers"),
        ({"": "c"}, "headers"),
        ({"a\r\nb": "c"}, "headers"),
    ],
)
def test_headers_that_break_their_line_are_refused(headers: dict[str, str], place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_headers({"x-good": "yes", **headers})
    assert caught.value.place == place


def test_unusual_but_harmless_headers_pass() -> None:
    check_headers({"x-title": "Café\tau lait", "x-empty": "", "x_under": "\u200b"})


def proxy_of(url: str) -> str | None:
    proxy = find_target(url).proxy
    return None if proxy is None else str(proxy)


def test_proxies_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "other.example:8080")
    monkeypatch.setenv("NO_PROXY", "internal.example,.corp.example,special.example:444")
    assert proxy_of("https://api.example/v1") == "http://proxy.example:3128"
    assert proxy_of("http://api.example/v1") == "http://other.example:8080"
    assert proxy_of("https://internal.example/v1") is None
    assert proxy_of("https://llm.corp.example/v1") is None
    assert proxy_of("https://special.example:444/v1") is None
    assert proxy_of("https://special.example/v1") == "http://proxy.example:3128"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert proxy_of(f"http://{host}:8080/v1") is None


@pytest.mark.parametrize("value", ["socks5://proxy.example:1080", "http://", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(InvalidInput) as caught:
        find_target("https://api.example/v1")
    assert caught.value.place == "HTTPS_PROXY"


async def test_requests_go_through_the_proxy(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(lambda exchange: exchange.reply(200, b"via")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{proxy.port}")
        reply = await http.send(Request("GET", "http://api.example/v1?a=b", HEADERS), same)
    assert reply.body == b"via"
    assert proxy.requests[0].line == "GET http://api.example/v1?a=b HTTP/1.1"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


async def test_a_proxy_that_refuses_is_named_as_the_cause(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(lambda exchange: exchange.reply(407)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:word@127.0.0.1:{proxy.port}")
        with pytest.raises(Unreachable, match=r"The proxy refused to lead to api\.example:443: it answered 407"):
            await http.send(Request("GET", "https://api.example/v1", HEADERS), same, patience=ONCE)
    assert proxy.requests[0].line.startswith("CONNECT api.example:443")
    assert KEY not in str(proxy.requests[0].headers)
    with pytest.raises(Unreachable, match="No connection to the proxy") as caught:
        await http.send(Request("GET", "https://api.example/v1", HEADERS), same, patience=ONCE)
    assert "word" not in str(caught.value)


async def test_connecting_has_its_own_deadline(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(Exchange.until_gone) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        patience = Patience(tries=2, base=0.001)
        with pytest.raises(TimedOut) as caught:
            await http.send(
                Request("GET", "https://api.example/v1"), same, timeouts=Timeouts(connect=0.1), patience=patience
            )
    assert (caught.value.details["phase"], caught.value.details["attempts"]) == ("connect", 2)


async def test_a_server_that_accepts_no_connection_is_given_up(http: Http) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # These fill the queue; the kernel then leaves the next one without an answer.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(TimedOut) as caught:
            await http.send(Request("GET", url), same, timeouts=Timeouts(connect=0.1), patience=ONCE)
    assert caught.value.details["phase"] == "connect"


async def test_netrc_is_not_read(http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password word\ndefault login me password word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with RawServer(lambda exchange: exchange.reply()) as server:
        await http.send(Request("GET", server.url), same)
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(http: Http, status: int) -> None:
    async with (
        RawServer(lambda exchange: exchange.reply()) as other,
        RawServer(lambda exchange: exchange.reply(status, location=other.url)) as server,
    ):
        reply = await http.send(Request("POST", server.url, HEADERS), same)
    assert (reply.status, reply.headers["Location"]) == (status, other.url)
    assert other.connections == 0


async def test_cookies_are_not_kept(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply(set_cookie="a=b; Path=/")) as server:
        for _ in range(2):
            await http.send(Request("GET", server.url), same)
    assert "cookie" not in server.requests[1].headers


async def test_what_is_sent_is_what_was_given(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply()) as server:
        await http.send(Request("POST", server.url + "?api-version=1", HEADERS, b"body"), same)
    sent = server.requests[0]
    assert (sent.line, sent.body) == ("POST /v1/chat/completions?api-version=1 HTTP/1.1", b"body")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["user-agent"].startswith("chatstep")


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


async def test_a_certificate_nobody_signed_is_said_plainly_and_not_tried_again(http: Http, tmp_path: Path) -> None:
    async with RawServer(lambda exchange: exchange.reply(), tls=certificate(tmp_path, "127.0.0.1")) as server:
        with pytest.raises(Unreachable, match=r"The certificate of 127\.0\.0\.1:\d+ was not accepted: self") as caught:
            await http.send(Request("GET", server.url, HEADERS), same)
    assert (caught.value.details["reason"], caught.value.details["attempts"]) == ("certificate", 1)
    assert server.requests == []


TRUSTING = """
import asyncio, sys
from chatstep.http import Http, Request

async def main():
    http = Http()
    print(await http.send(Request("GET", sys.argv[1]), lambda reply: reply.status))
    await http.close()

asyncio.run(main())
"""


async def test_a_certificate_named_by_the_environment_is_trusted(tmp_path: Path) -> None:
    async with RawServer(lambda exchange: exchange.reply(), tls=certificate(tmp_path, "127.0.0.1")) as server:
        environment = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "both.pem")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TRUSTING, server.url, stdout=subprocess.PIPE, env=environment
        )
        assert (await process.communicate())[0].strip() == b"200"


async def test_https_to_a_plain_server_is_said_plainly(http: Http) -> None:
    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(Unreachable, match="TLS handshake"):
            await http.send(Request("GET", url, HEADERS), same, patience=ONCE)


async def test_keys_and_texts_stay_out_of_logs_and_errors(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    def judge(reply: Reply) -> Reply:
        if reply.status == 503:
            raise ProviderDown("Down.")
        return reply

    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.reply(503, b"private-answer", x_private="private-header")
        else:
            await exchange.send(b"private-garbage\r\n\r\n")

    caplog.set_level(logging.DEBUG)
    async with RawServer(answer) as server:
        request = Request("POST", server.url + "?key=private-query", HEADERS, b"private-question")
        with pytest.raises(ChatstepError) as caught:
            await http.send(request, judge, patience=Patience(base=0.001))
    told = [*traceback.format_exception(caught.value), repr(caught.value.to_data()), caplog.text, repr(request)]
    for shown in told:
        assert KEY not in shown
        assert "private" not in shown
    lines = [record.getMessage() for record in caplog.records if record.name == "chatstep.http"]
    assert len(lines) == 2
    assert lines[0].startswith(f"POST 127.0.0.1:{server.port}/v1/chat/completions: 503, provider_down, attempt 1, ")
    assert pickle.loads(pickle.dumps(caught.value)).details == caught.value.details


async def test_a_closed_client_sends_nothing(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply()) as server:
        await http.send(Request("GET", server.url), same)
        await http.close()
        with pytest.raises(RuntimeError):
            await http.send(Request("GET", server.url), same)
        assert len(server.requests) == 1


def test_values_load_without_aiohttp() -> None:
    code = "import sys; from chatstep.http import Request, Reply, Timeouts, Patience; print('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"False"


async def test_names_are_looked_up_off_the_loop(http: Http) -> None:
    async with RawServer(lambda exchange: exchange.reply()) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        replies = await asyncio.gather(*(http.send(Request("GET", url), same) for _ in range(5)))
    assert [reply.status for reply in replies] == [200] * 5
