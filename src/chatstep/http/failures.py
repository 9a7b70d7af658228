"""Failures of the transport as errors of chatstep.

Only the host, numbers, and fixed texts of the system enter a message. aiohttp's own texts are not passed on: they quote
the received bytes, and its exceptions hold the request's headers.
"""

from __future__ import annotations

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, TransferEncodingError

from chatstep.errors import AnswerUnreadable, ChatstepError, InvalidInput, TimedOut, Unreachable

__all__ = ["BROKEN", "explain", "timed_out"]

BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What aiohttp raises when a request or the reading of its answer fails."""

_PHASES = {
    "connect": ("{host} could not be connected to in time.", "Check the address and the network."),
    "first byte": ("{host} did not begin to answer in time.", None),
    "between bytes": ("{host} fell silent in the middle of the answer.", None),
    "total": (
        "The answer of {host} was not complete in time.",
        "It was not asked for again, as it may have been charged. Allow more time, or ask for fewer tokens.",
    ),
}


def timed_out(phase: str, host: str) -> TimedOut:
    """The error for a deadline that passed; ``phase`` is a key of the time-outs."""
    message, hint = _PHASES[phase]
    return TimedOut(message.format(host=host), hint=hint, phase=phase)


def explain(exc: BaseException, host: str) -> ChatstepError:
    """The error for what aiohttp raised while asking ``host``."""
    match exc:
        case aiohttp.ClientConnectorError():
            return _no_connection(exc, host)
        case aiohttp.ClientHttpProxyError():
            return Unreachable(f"The proxy refused to lead to {host}: it answered {exc.status}.", hint=_PROXY_HINT)
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return _not_http(host)
        case aiohttp.ClientPayloadError():
            return _broken_body(exc, host)
        case aiohttp.ServerDisconnectedError():
            return Unreachable(f"{host} closed the connection without an answer.")
        case ValueError():
            return InvalidInput("The address or a header cannot be sent.", place="url")
        case OSError(errno=int(number)):
            return Unreachable(f"The connection to {host} broke: {os.strerror(number)}.")
        case _:
            return Unreachable(f"The connection to {host} broke.")


_PROXY_HINT = "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."


def _no_connection(exc: aiohttp.ClientConnectorError, host: str) -> Unreachable:
    """Nothing was sent: the detail `phase` says so, as it does for a time-out."""
    return _unconnected(exc, host).with_details(phase="connect")


def _unconnected(exc: aiohttp.ClientConnectorError, host: str) -> Unreachable:
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        cause = exc.certificate_error
        reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "it is not valid"
        return Unreachable(
            f"The certificate of {host} was not accepted: {reason}.",
            hint="If your network re-signs traffic, point SSL_CERT_FILE to its root certificate.",
            reason="certificate",
        )
    if isinstance(exc, aiohttp.ClientSSLError):
        return Unreachable(f"No encrypted connection to {host}: the TLS handshake failed.", hint="Is it https there?")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"The name of {host} could not be resolved.", hint="Check the spelling and the network.")
    number = exc.os_error.errno
    reason = os.strerror(number) if number else "no reason given"
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return Unreachable(f"No connection to the proxy that leads to {host}: {reason}.", hint=_PROXY_HINT)
    return Unreachable(f"No connection to {host}: {reason}.", hint="Is the server running, and the address right?")


def _not_http(host: str) -> AnswerUnreadable:
    return AnswerUnreadable(f"{host} did not answer in valid HTTP.", hint="Is the address, its port too, right?")


def _broken_body(exc: aiohttp.ClientPayloadError, host: str) -> ChatstepError:
    if exc.__cause__ is None or isinstance(exc.__cause__, ContentLengthError | TransferEncodingError | OSError):
        return Unreachable(f"{host} closed the connection in the middle of the answer.")
    return _not_http(host)
