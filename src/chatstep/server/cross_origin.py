"""Pages of other origins that are allowed to ask (CORS): what their browsers want to hear. Off unless one is named.

Cookies mean nothing here, so no credentials are allowed: a page brings a token, as any client does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from chatstep.errors import InvalidInput

__all__ = ["ORIGIN", "checked_origin", "headers_for", "of_options"]

ORIGIN = web.RequestKey("origin", str)
"""Where a request keeps the origin of its page, if that may ask."""

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?")
_NAMES = re.compile(r"[A-Za-z0-9_, -]{1,1000}")
_SECONDS = "600"


def checked_origin(text: str) -> str:
    """The origin as browsers write it; raises InvalidInput for what is none."""
    origin = text.lower().rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise InvalidInput(
            f"{text[:80]!r} is no origin.", place="allow-origin", hint="Write it like https://shop.example.com."
        )
    return origin


def headers_for(request: web.BaseRequest) -> dict[str, str]:
    """What stands on an answer to a page that may read it."""
    origin = request.get(ORIGIN)
    if origin is None:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "x-request-id, retry-after, x-should-retry, idempotent-replayed",
        "vary": "Origin",
        "cross-origin-resource-policy": "cross-origin",
    }


def of_options(request: web.BaseRequest, allowed: Iterable[str]) -> web.Response:
    """The answer to OPTIONS: the methods that an address takes, and to a browser what its page may send."""
    methods = ", ".join(allowed)
    headers = {"allow": methods}
    if request.get(ORIGIN) is not None:
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        headers |= {"access-control-allow-methods": methods, "access-control-max-age": _SECONDS}
        if _NAMES.fullmatch(wanted):
            headers["access-control-allow-headers"] = wanted
    return web.Response(status=204, headers=headers)
