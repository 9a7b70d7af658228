"""Webhooks: from a delivery's headers and body to the event that it is. Pure; a door brings the bytes.

Three ways to sign are known. ``standard`` is that of Standard Webhooks (headers webhook-id, webhook-timestamp,
webhook-signature), ``hub`` is X-Hub-Signature-256 as GitHub and Meta send it, ``slack`` is X-Slack-Signature. A
signature with a time stamp that is more than five minutes off is refused. ``hub`` has no time stamp, so there only the
event's id tells a delivery that came before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from chatstep.errors import CredentialsRefused, InvalidInput
from chatstep.expressions import evaluate
from chatstep.flows.definition import Trigger
from chatstep.flows.events import Event
from chatstep.message import Author, clean_text
from chatstep.secret import Secret

__all__ = ["LARGEST", "TOLERANCE", "Delivery", "webhook_event"]

LARGEST = 1_000_000
"""Bytes of a body that are taken."""
TOLERANCE = 300.0
"""Seconds by which a signature's time stamp may differ from our clock."""
_MOST_FIELDS = 1000
_DEEPEST = 100
_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Delivery(Struct, frozen=True, kw_only=True):
    """One request to a webhook's address. Names of ``headers`` are lower-case."""

    headers: Mapping[str, str]
    body: bytes
    query: str = ""


def webhook_event(trigger: Trigger, delivery: Delivery, secret: Secret | None, now: float) -> Event:
    """The event that a delivery is; ``now`` is in unix seconds.

    Raises CredentialsRefused for a signature that is missing, wrong or too old, and InvalidInput for a body that is too
    large, of another kind than JSON, form or text, or that lacks what the trigger's expressions ask for.
    """
    if len(delivery.body) > LARGEST:
        raise InvalidInput(
            f"The body has {len(delivery.body):,} bytes; at most {LARGEST:,} are taken.", place="body"
        ).with_details(http_status=413)
    if trigger.secret is not None:
        if secret is None:
            raise CredentialsRefused("The secret of this webhook is not known.", place=trigger.secret)
        _SIGNATURES[trigger.signature](delivery, secret.reveal().encode(), now)
    body = _body(delivery)
    names = {"headers": dict(delivery.headers), "body": body, "query": dict(parse_qsl(delivery.query))}
    text = _text_of(trigger.text, names, "text")
    author = _text_of(trigger.author, names, "author")
    return Event(
        type="webhook",
        id=_event_id(trigger, names, delivery.headers),
        text=text if text is not None else "",
        author=Author(author) if author else None,
        conversation=_text_of(trigger.conversation, names, "conversation"),
        time=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        data={"body": body, "query": names["query"]},
    )


def _event_id(trigger: Trigger, names: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """What names the event. Without any name each delivery is an event of its own."""
    if trigger.event_id is not None:
        found = _text_of(trigger.event_id, names, "event_id")
        if not found:
            raise InvalidInput("The delivery's id is empty.", place="event_id", hint="Check the trigger's `event_id`.")
        return found
    given = headers.get("webhook-id") or headers.get("x-github-delivery") or headers.get("idempotency-key")
    return given if given and _ID.fullmatch(given) else uuid.uuid4().hex


def _text_of(expression: str | None, names: Mapping[str, Any], field: str) -> str | None:
    """An expression's value as text; numbers become their text, nothing stays nothing."""
    if expression is None:
        return None
    try:
        value = evaluate(expression, names)
    except InvalidInput as error:
        hint = error.hint or "Compare the delivery with the trigger in the flow."
        raise InvalidInput(error.message, place=f"{field}: {expression}"[:200], hint=hint) from None
    if value is None or isinstance(value, str):
        return clean_text(value) if value else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(
        f"Expected text, got {'a list' if isinstance(value, list) else 'a mapping or truth value'}.",
        place=field,
        hint=f"Let the trigger's `{field}` name a field of the body that holds text.",
    )


def _body(delivery: Delivery) -> Any:
    kind = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not delivery.body:
        return {}
    if kind == "application/x-www-form-urlencoded":
        return _form(delivery.body)
    if kind == "application/json" or kind.endswith("+json") or kind == "":
        return _json(delivery.body)
    if kind.startswith("text/"):
        return {"text": _utf8(delivery.body)}
    raise InvalidInput(
        "A body of this content type is not read.", place="content-type", hint="Send JSON, a form or text."
    ).with_details(http_status=415)


def _json(body: bytes) -> Any:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        reason = "it is nested too deeply" if isinstance(problem, RecursionError) else str(problem).rstrip(".")
        raise InvalidInput(
            f"The body is no JSON: {reason}.", place="body", hint="Send a JSON object, or set the content type."
        ) from None
    if _depth(value) > _DEEPEST:
        raise InvalidInput("The body is no JSON: it is nested too deeply.", place="body")
    return value


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        if deepest > _DEEPEST:
            break
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return deepest


def _form(body: bytes) -> dict[str, str | list[str]]:
    try:
        pairs = parse_qsl(_utf8(body), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:  # too many fields, or an escape that is no UTF-8
        raise InvalidInput("The form cannot be read.", place="body", hint="Send UTF-8, at most 1,000 fields.") from None
    fields: dict[str, str | list[str]] = {}
    for name, value in pairs:
        known = fields.get(name)
        if known is None:
            fields[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            fields[name] = [known, value]
    return fields


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8.", place="body") from None


def _standard(delivery: Delivery, key: bytes, now: float) -> None:
    headers = delivery.headers
    event, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    _check_time(stamp, "webhook-timestamp", now)
    if key.startswith(b"whsec_"):
        try:
            key = base64.b64decode(key.removeprefix(b"whsec_"), validate=True)
        except binascii.Error:
            raise CredentialsRefused(
                "The webhook's secret is not in the form whsec_BASE64.", hint="Store the secret again as it was given."
            ) from None
    signed = f"{event}.{stamp}.".encode() + delivery.body
    wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split()[:20]
    _check(any(_same(one, f"v1,{wanted}") for one in given), "webhook-signature", bool(given))


def _hub(delivery: Delivery, key: bytes, now: float) -> None:
    given = delivery.headers.get("x-hub-signature-256", "")
    _check(_same(given, f"sha256={_hex(key, delivery.body)}"), "x-hub-signature-256", bool(given))


def _slack(delivery: Delivery, key: bytes, now: float) -> None:
    stamp = delivery.headers.get("x-slack-request-timestamp", "")
    _check_time(stamp, "x-slack-request-timestamp", now)
    given = delivery.headers.get("x-slack-signature", "")
    wanted = f"v0={_hex(key, f'v0:{stamp}:'.encode() + delivery.body)}"
    _check(_same(given, wanted), "x-slack-signature", bool(given))


_SIGNATURES = {"standard": _standard, "hub": _hub, "slack": _slack}


def _hex(key: bytes, signed: bytes) -> str:
    return hmac.digest(key, signed, hashlib.sha256).hex()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _check_time(stamp: str, header: str, now: float) -> None:
    if not re.fullmatch(r"[0-9]{1,12}", stamp):
        raise CredentialsRefused("The delivery's time stamp is missing or no number of seconds.", place=header)
    if abs(now - int(stamp)) > TOLERANCE:
        raise CredentialsRefused(
            "The delivery's time stamp is more than five minutes off.",
            place=header,
            hint="Check both clocks. A delivery that was recorded and sent again is refused for this reason.",
        )


def _check(right: bool, header: str, given: bool) -> None:
    if not right:
        raise CredentialsRefused(
            "The delivery's signature is wrong." if given else "The delivery is not signed.",
            place=header,
            hint="Check that both sides hold the same secret, and `signature` in the flow.",
        )
