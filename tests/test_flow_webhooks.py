"""Webhooks: what a delivery becomes, and which deliveries are turned away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstep.errors import ChatstepError, CredentialsRefused, InvalidInput
from chatstep.flows.definition import Trigger
from chatstep.flows.webhooks import LARGEST, TOLERANCE, Delivery, webhook_event
from chatstep.message import Author
from chatstep.secret import Secret

NOW = 1_795_600_000.0
FORM = "application/x-www-form-urlencoded"
KEY = "a secret that both sides know"

PLATFORM = Trigger(
    type="webhook",
    path="shop",
    event_id="${{ body.update_id }}",
    text="${{ body.message.text }}",
    author="${{ body.message.from }}",
    conversation="${{ body.message.chat }}",
)


def delivery(body: Any, kind: str = "application/json", **headers: str) -> Delivery:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Delivery(headers={"content-type": kind, **named}, body=data, query="a=1&b=x%20y")


def event_of(given: Delivery, trigger: Trigger = PLATFORM, key: str | None = None) -> Any:
    return webhook_event(trigger, given, Secret(key) if key else None, NOW)


def test_the_triggers_expressions_make_the_event() -> None:
    body = {"update_id": 17, "message": {"text": "Hello ${{ 7 * 7 }} {{ 1 }}", "from": "Ana", "chat": -100}}
    event = event_of(delivery(body))
    assert (event.type, event.id, event.text) == ("webhook", "17", "Hello ${{ 7 * 7 }} {{ 1 }}")
    assert event.author == Author("Ana")
    assert event.conversation == "-100"
    assert event.time == "2026-11-25T09:46:40Z"
    assert event.data == {"body": body, "query": {"a": "1", "b": "x y"}}


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (delivery(b"name=Ana&tag=x&tag=y&empty=", FORM), {"name": "Ana", "tag": ["x", "y"], "empty": ""}),
        (delivery("Grüße".encode(), "text/plain; charset=utf-8"), {"text": "Grüße"}),
        (delivery(b'{"a": [1, 2.5, null]}', "application/vnd.acme+json"), {"a": [1, 2.5, None]}),
        (delivery(b'"just text"', ""), "just text"),
        (delivery(b"", "application/json"), {}),
    ],
)  # fmt: skip
def test_kinds_of_bodies(given: Delivery, body: Any) -> None:
    assert event_of(given, Trigger(type="webhook", path="x")).data["body"] == body


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<xml/>", "application/xml", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"x" * (LARGEST + 1), "application/json", 413),
        (b"{", "application/json", None),
        (b"not json", "", None),
        (b"\xff\xfe", "text/plain", None),
        (b'"\xff"', "application/json", None),
        (b"a=%ff", "application/x-www-form-urlencoded", None),
        (b"&".join(b"a%d=1" % at for at in range(1001)), "application/x-www-form-urlencoded", None),
        (b"[" * 50_000 + b"]" * 50_000, "application/json", None),
        (b"[" * 500 + b"]" * 500, "application/json", None),
    ],
)
def test_bodies_that_are_turned_away(body: bytes, kind: str, status: int | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        event_of(delivery(body, kind), Trigger(type="webhook", path="x"))
    assert caught.value.details.get("http_status") == status
    assert caught.value.place in {"body", "content-type"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"update_id": None, "message": {}},
        {"update_id": "", "message": {"text": "x", "from": "y", "chat": "z"}},
        {"update_id": 1, "message": {"text": ["x"], "from": "y", "chat": "z"}},
    ],
)
def test_a_body_without_what_is_asked_for_names_the_field(body: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        event_of(delivery(body))
    place = caught.value.place or ""
    assert place.partition(":")[0] in {"event_id", "text", "author", "conversation"}


def test_without_any_id_each_delivery_is_its_own() -> None:
    bare = Trigger(type="webhook", path="x")
    assert event_of(delivery({}), bare).id != event_of(delivery({}), bare).id
    assert event_of(delivery({}, webhook_id="msg_1"), bare).id == "msg_1"
    assert event_of(delivery({}, x_github_delivery="72d3162e"), bare).id == "72d3162e"
    assert event_of(delivery({}, webhook_id="with space"), bare).id != "with space"


def standard(
    body: bytes, key: bytes = KEY.encode(), stamp: float = NOW, event: str = "msg_1", old: str = ""
) -> Delivery:
    signed = f"{event}.{int(stamp)}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return delivery(body, webhook_id=event, webhook_timestamp=str(int(stamp)), webhook_signature=f"{old}v1,{signature}")


def slack(body: bytes, key: bytes = KEY.encode(), stamp: float = NOW) -> Delivery:
    made = hmac.new(key, f"v0:{int(stamp)}:".encode() + body, hashlib.sha256).hexdigest()
    return delivery(body, x_slack_request_timestamp=str(int(stamp)), x_slack_signature=f"v0={made}")


def hub(body: bytes, key: bytes = KEY.encode()) -> Delivery:
    return delivery(body, x_hub_signature_256="sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest())


def signed_by(way: str) -> Trigger:
    return Trigger(type="webhook", path="x", secret="hook", signature=way)  # type: ignore[arg-type]


GOOD = [
    ("standard", standard(b"{}")),
    ("standard", standard(b"{}", old="v1,AAAA v2,xyz ")),
    ("hub", hub(b"{}")),
    ("slack", slack(b"{}")),
]


@pytest.mark.parametrize(("way", "given"), GOOD)
def test_rightly_signed_deliveries_are_taken(way: str, given: Delivery) -> None:
    assert event_of(given, signed_by(way), KEY).data["body"] == {}


def test_a_secret_in_the_form_of_standard_webhooks() -> None:
    key = bytes(range(24))
    trigger = signed_by("standard")
    assert event_of(standard(b"{}", key), trigger, "whsec_" + base64.b64encode(key).decode()).id == "msg_1"
    with pytest.raises(CredentialsRefused):
        event_of(standard(b"{}", key), trigger, "whsec_???")


@pytest.mark.parametrize(("way", "given"), GOOD)
def test_a_wrong_key_a_changed_body_or_no_signature_are_refused(way: str, given: Delivery) -> None:
    trigger = signed_by(way)
    unsigned = Delivery(headers={k: v for k, v in given.headers.items() if "signature" not in k}, body=given.body)
    changed = Delivery(headers=given.headers, body=b'{"a": 1}')
    for wrong, key in ((given, "another key"), (changed, KEY), (unsigned, KEY), (delivery(b"{}"), KEY), (given, None)):
        with pytest.raises(CredentialsRefused) as caught:
            event_of(wrong, trigger, key)
        assert KEY not in repr(caught.value.to_data())


@pytest.mark.parametrize("off", [-TOLERANCE - 1, TOLERANCE + 1, -NOW, NOW * 1e9])
@pytest.mark.parametrize("sign", [standard, slack])
def test_an_old_or_future_time_stamp_is_refused(sign: Any, off: float) -> None:
    way = "standard" if sign is standard else "slack"
    with pytest.raises(CredentialsRefused):
        event_of(sign(b"{}", stamp=NOW + off), signed_by(way), KEY)
    assert event_of(sign(b"{}", stamp=NOW + (TOLERANCE if off > 0 else -TOLERANCE)), signed_by(way), KEY)


@given(
    st.binary(max_size=300),
    st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded", "é"]),
)
def test_any_bytes_give_an_event_or_our_error(body: bytes, kind: str) -> None:
    told: list[ChatstepError] = []
    for trigger in (PLATFORM, Trigger(type="webhook", path="x"), signed_by("hub")):
        try:
            event_of(delivery(body, kind), trigger, KEY)
        except ChatstepError as error:
            told.append(error)
    assert all(error.place for error in told)
