"""Errors as clients of the protocol expect them: its envelope, its codes, and a status.

What a provider said keeps its own status and words. Our own errors get the code that clients know for their kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from chatstep.errors import (
    BadAnswer,
    Busy,
    ChatstepError,
    CredentialsRefused,
    InputError,
    OutOfMoney,
    RateLimited,
    UnknownName,
)
from chatstep.modules.openai.wire import ErrorBody, ErrorEnvelope, encode, encode_event

__all__ = ["NotServed", "Told", "error_event", "kind_of", "told"]

INVALID = "invalid_request_error"


class NotServed(Exception):
    """The server itself says no, before anything is looked up or sent."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = headers or {}


class Told(Struct, frozen=True):
    """An error ready to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes


def told(error: ChatstepError | NotServed) -> Told:
    """The error with its status and headers."""
    headers = {"content-type": "application/json"}
    body = encode(ErrorEnvelope(_inside(error)))
    if isinstance(error, NotServed):
        headers.update(error.headers)
        if error.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Told(error.status, headers, body)
    details = error.details
    if request_id := details.get("request_id"):
        headers["x-request-id"] = str(request_id)
    if isinstance(error, Busy) and details.get("retry_after"):
        headers["retry-after"] = str(max(1, round(details["retry_after"])))
    if not isinstance(error, Busy) or details.get("attempts", 0) > 1:
        headers["x-should-retry"] = "false"  # it would fail again, or was tried again here already
    return Told(_status(error), headers, body)


def error_event(error: ChatstepError | NotServed) -> bytes:
    """The error as the last event of a stream that has begun."""
    return encode_event(ErrorEnvelope(_inside(error)))


def _status(error: ChatstepError) -> int:
    given = error.details.get("status", 0)
    if isinstance(given, int) and 400 <= given < 600:
        return given
    if isinstance(error, OutOfMoney):
        return 429
    if isinstance(error, CredentialsRefused):
        return 502  # it is the connection's key that was refused, not the client's token
    return error.http_status


def _inside(error: ChatstepError | NotServed) -> ErrorBody:
    if isinstance(error, NotServed):
        kind = "server_error" if error.status >= 500 else INVALID
        return ErrorBody(error.message, kind, error.param, error.code)
    details = error.details
    if details.get("said"):
        kind = details.get("provider_type") or kind_of(error)
        return ErrorBody(details["said"], kind, details.get("param"), details.get("provider_code") or _code(error))
    message = f"{error.message} {error.hint}" if error.hint else error.message
    return ErrorBody(message, kind_of(error), error.place if isinstance(error, InputError) else None, _code(error))


def kind_of(error: ChatstepError) -> str:
    """The protocol's word for what sort of error it is."""
    if isinstance(error, OutOfMoney):
        return "insufficient_quota"
    if isinstance(error, RateLimited):
        return "requests"
    if isinstance(error, (Busy, BadAnswer)) or error.http_status >= 500:
        return "server_error"
    return INVALID


def _code(error: ChatstepError) -> str:
    if isinstance(error, UnknownName):
        return "model_not_found"
    return "rate_limit_exceeded" if isinstance(error, RateLimited) else error.code
