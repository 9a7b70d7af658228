"""Webhooks over HTTP: a delivery is one run, however often it comes; what is wrong with it is said."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from chatstep.secret import Secret
from chatstep.server.listening import Listen, Server
from chatstep.store import StoredConnection
from flowing import Flowing
from serving import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = """
name: echo
on:
  - webhook: {path: orders, event_id: "${{ body.id }}", text: "${{ body.text }}", author: "${{ body.from }}"}
steps:
  - id: said
    uses: flow.set
    with: {values: {text: "${{ trigger.text }}", who: "${{ trigger.author.name }}"}}
outputs: {text: "${{ steps.said.values.text }}", who: "${{ steps.said.values.who }}"}
"""
SIGNED = """
name: signed
on: [{webhook: {path: signed, secret: hook}}]
steps: [{id: x, uses: flow.set, with: {values: {}}}]
"""
ORDER = {"id": 1, "text": "Two kilos ${{ 7*7 }}", "from": "Ana"}


@pytest_asyncio.fixture(loop_scope="module")
async def hooks(flowing: Flowing) -> AsyncIterator[Served]:
    for text in (ECHO, SIGNED):
        await flowing.publish(text)
    async with aiohttp.ClientSession() as client, Server(flowing.app, Listen(port=0)) as server:
        yield Served(server, flowing.app, client)


async def test_a_delivery_becomes_a_run(hooks: Served, flowing: Flowing) -> None:
    status, answer = await hooks.post({**ORDER, "id": "first"}, "/hooks/orders")
    assert (status, answer["new"]) == (202, True)
    record = await flowing.ended(answer["run"])
    assert record.outputs == {"text": "Two kilos ${{ 7*7 }}", "who": "Ana"}
    assert record.event.data["body"]["id"] == "first"


async def test_five_deliveries_of_one_event_are_one_run(hooks: Served, flowing: Flowing) -> None:
    before = len(await flowing.engine.runs(flow="echo"))
    answers = await asyncio.gather(*(hooks.post({**ORDER, "id": "again"}, "/hooks/orders") for _ in range(5)))
    assert {status for status, _ in answers} == {202}
    assert len({answer["run"] for _, answer in answers}) == 1
    assert sorted(answer["new"] for _, answer in answers) == [False] * 4 + [True]
    assert len(await flowing.engine.runs(flow="echo")) == before + 1


async def test_who_waits_gets_the_outputs(hooks: Served) -> None:
    status, answer = await hooks.post({**ORDER, "id": "waiting"}, "/hooks/orders?wait=20")
    assert status == 200
    assert answer["state"] == "done"
    assert answer["outputs"]["who"] == "Ana"


@pytest.mark.parametrize("wait", ["x", "-1", "301", "nan"])
async def test_a_wait_that_is_none(hooks: Served, wait: str) -> None:
    status, answer = await hooks.post(ORDER, f"/hooks/orders?wait={wait}")
    assert (status, answer["error"]["param"]) == (400, "wait")


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"<x/>", "application/xml", 415),
        (b'{"id": 1, "text": ["x"], "from": "y"}', "application/json", 400),
        (b'"' + b"x" * 1_000_001 + b'"', "application/json", 413),
    ],
)
async def test_deliveries_that_are_turned_away(hooks: Served, data: bytes, kind: str, status: int) -> None:
    got, answer = await hooks.post(data=data, path="/hooks/orders", headers={"content-type": kind})
    assert got == status
    assert answer["error"]["message"]


async def test_a_path_that_no_flow_has(hooks: Served) -> None:
    status, answer = await hooks.post(ORDER, "/hooks/order")
    assert status == 404
    assert "orders" in answer["error"]["message"]


def sign(body: bytes, key: str, event: str = "msg-1", stamp: float | None = None) -> dict[str, str]:
    at = str(int(time.time() if stamp is None else stamp))
    made = hmac.new(key.encode(), f"{event}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(made).decode()}",
        "content-type": "application/json",
    }


async def test_a_signed_webhook_takes_nothing_unsigned(hooks: Served) -> None:
    async def deliver(headers: dict[str, str]) -> tuple[int, Any]:
        return await hooks.post(data=b'{"a": 1}', path="/hooks/signed", headers=headers)

    right = sign(b'{"a": 1}', "the secret")
    assert (await deliver(right))[0] == 401  # the connection is not there yet: nothing passes
    stored = StoredConnection("hook", "http", "webhook", {})
    add = hooks.app.store.connections.add
    await asyncio.to_thread(add, stored, {"secret": Secret("the secret")})
    assert (await deliver(right))[0] == 202
    assert (await deliver(right))[1]["new"] is False
    for wrong in (
        {},
        sign(b'{"a": 1}', "another"),
        sign(b'{"a": 2}', "the secret"),
        sign(b'{"a": 1}', "the secret", stamp=1),
    ):
        status, answer = await deliver(wrong)
        assert (status, answer["error"]["code"]) == (401, "signature_refused")
        assert "the secret" not in json.dumps(answer)
