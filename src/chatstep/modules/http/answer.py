"""What came back from a service: judged, read as JSON, text or bytes, and never with the connection's key in it."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Collection
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from chatstep.errors import (
    AnswerTooLarge,
    ChatstepError,
    CredentialsRefused,
    ProviderDown,
    RateLimited,
    RequestRefused,
    TimedOut,
)
from chatstep.http.retry import server_delay
from chatstep.http.values import Reply
from chatstep.secret import Secret

__all__ = ["HttpAnswer", "answer_of", "judged"]

_SHOWN = 300
# Those that a browser knows. Python has others, some of which take very long or make texts that cannot be stored.
_CHARSETS = re.compile(
    r"utf-(8|16|32)(-[bl]e|-sig)?|ascii|iso8859-\d+|cp\d+|koi8-[ru]|shift_jis|euc_(jp|kr)|gb(k|2312|18030)|big5"
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)


class HttpAnswer(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    body: Annotated[
        Any, Meta(title="Body", description="What came: JSON as its values, text as text, anything else in base64.")
    ]
    status: Annotated[int, Meta(title="Status", description="The status code.")]
    headers: Annotated[
        dict[str, str], Meta(title="Headers", description="The answer's headers but cookies, names in lower case.")
    ] = {}
    base64: Annotated[bool, Meta(title="Base64", description="Whether the body is no text, and given in base64.")] = (
        False
    )
    attempts: Annotated[int, Meta(title="Attempts", description="How many requests were sent.")] = 1
    duration: Annotated[float, Meta(title="Duration", description="How long it took, in seconds.")] = 0.0


def judged(reply: Reply, expect: Collection[int], max_bytes: int) -> Reply:
    """The reply where it is a success; raises what it is instead. ``expect`` empty: 200 to 299 are successes."""
    if reply.status in expect or (not expect and 200 <= reply.status < 300):
        if len(reply.body) > max_bytes:
            raise AnswerTooLarge(
                f"The answer has {len(reply.body):,} bytes; at most {max_bytes:,} are taken.",
                place="max_bytes",
                limit=max_bytes,
            )
        return reply
    raise _refusal(reply).with_details(
        status=reply.status,
        said=reply.body[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN] or None,
        retry_after=server_delay(reply.headers),
    )


def _refusal(reply: Reply) -> ChatstepError:
    status = reply.status
    if status in (401, 403):
        return CredentialsRefused(
            f"The service refused access with status {status}.", hint="Check the connection's token."
        )
    if status == 408:
        return TimedOut("The service gave up waiting.", phase="provider")
    if status == 429:
        return RateLimited("The service was asked too often in a short time.")
    if status >= 500:
        return ProviderDown(f"The service failed with status {status}.")
    if 300 <= status < 400:
        return RequestRefused(
            f"The address redirects elsewhere (status {status}), which is not followed.", hint="Use the new address."
        )
    return RequestRefused(
        f"The service answered with status {status}.", hint="If that is right, list it under `expect`."
    )


def answer_of(reply: Reply, key: Secret | None, duration: float) -> HttpAnswer:
    """The output for a reply. A service that repeats the key does not get it into a run's record."""
    headers: dict[str, str] = {}
    for name, value in reply.headers.items():
        known = name.lower()
        if known != "set-cookie":
            headers[known] = f"{headers[known]}, {value}" if known in headers else value
    body, is_base64 = _read(reply.body, headers.get("content-type", ""))
    if key is not None:
        headers = {name: key.hidden(value) for name, value in headers.items()}
        body = body if is_base64 else _hidden(body, key)
    return HttpAnswer(
        body=body, status=reply.status, headers=headers, base64=is_base64, attempts=reply.attempt, duration=duration
    )


def _read(body: bytes, content_type: str) -> tuple[Any, bool]:
    """The body as values or text, and whether it had to be written in base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8)), False
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # then it is text, whatever it says
    for charset in (_charset(content_type), "utf-8-sig", "cp1252" if kind.startswith("text/") else None):
        if charset is None:
            continue
        try:
            text = body.decode(charset)
            text.encode()  # half a pair of UTF-16 could not be stored
        except UnicodeError:
            continue
        return text, False
    return base64.b64encode(body).decode(), True


def _charset(content_type: str) -> str | None:
    found = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(found[1]).name if found else ""
    except (LookupError, ValueError):  # a NUL in it, for one
        return None
    return name if _CHARSETS.fullmatch(name) else None


def _hidden(value: Any, key: Secret) -> Any:
    """The value without the key, wherever in it that stands."""
    if isinstance(value, str):
        return key.hidden(value)
    if isinstance(value, list):
        return [_hidden(each, key) for each in value]
    if isinstance(value, dict):
        return {key.hidden(name): _hidden(each, key) for name, each in value.items()}
    return value
