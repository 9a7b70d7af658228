"""Who may come in: names, origins, tokens."""

from __future__ import annotations

import pytest

from chatstep.errors import InvalidInput
from chatstep.server.guard import is_loopback
from serving import Served, Serving


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "a.localhost", "[::1]", "::1", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.com", "localhost.example", "::", "", "127.0.0.1.x"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("name", "status"),
    [("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("localhost", 200), ("127.0.0.1:1", 200)],
)
async def test_only_names_that_are_ours(served: Served, name: str, status: int) -> None:
    """A foreign name that leads here is an attack on whoever opened a page (DNS rebinding)."""
    async with served.client.get(f"{served.v1}/models", headers={"Host": name}) as answer:
        assert answer.status == status


async def test_a_name_can_be_allowed(serving: Serving) -> None:
    served = await serving(host_names=("bots.example.com",))
    async with served.client.get(f"{served.v1}/models", headers={"Host": "Bots.example.com"}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_pages_of_other_origins_change_nothing(served: Served, headers: dict[str, str]) -> None:
    for path in ("/v1/chat/completions", "/hooks/x"):
        status, answer = await served.post(data=b"{}", path=path, headers=headers)
        assert (status, answer["error"]["code"]) == (403, "foreign_origin")


async def test_our_own_pages_and_programs_may(served: Served) -> None:
    host = served.server.address.removeprefix("http://")
    for headers in ({}, {"Origin": f"http://{host}"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert (await served.post(data=b"{}", headers=headers))[0] == 400


async def test_no_page_of_another_origin_reads_an_answer(served: Served) -> None:
    async with served.client.get(
        f"{served.server.address}/v1/models", headers={"Origin": "https://x.example"}
    ) as answer:
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["server"] == "chatstep"


async def test_a_named_origin_may_ask_and_read(serving: Serving) -> None:
    served = await serving(allowed_origins=("https://Shop.example.com/",))
    page = {"Origin": "https://shop.example.com", "Sec-Fetch-Site": "cross-site"}
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
    }
    address = f"{served.v1}/chat/completions"
    async with served.client.options(address, headers={**page, **asks}) as answer:
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == page["Origin"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == asks["Access-Control-Request-Headers"]
        assert "access-control-allow-credentials" not in answer.headers
    body = {"model": "rehearsal/gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    for stream in (False, True):
        async with served.client.post(address, json={**body, "stream": stream}, headers=page) as answer:
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == page["Origin"]
            assert "Origin" in answer.headers["vary"]
    async with served.client.post(address, data=b"{", headers=page) as answer:
        assert answer.status == 400
        assert answer.headers["access-control-allow-origin"] == page["Origin"]
    for other in ("https://evil.example", "https://shop.example.com.evil.example", "http://shop.example.com", "null"):
        async with served.client.post(address, json=body, headers={"Origin": other}) as answer:
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
        async with served.client.options(address, headers={"Origin": other, **asks}) as answer:
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["*", "shop.example.com", "https://shop.example.com/path", "null", "https://a b"])
async def test_what_is_no_origin_is_refused(serving: Serving, origin: str) -> None:
    with pytest.raises(InvalidInput, match="no origin"):
        await serving(allowed_origins=(origin,))
