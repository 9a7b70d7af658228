"""The only HTTP client of chatstep: whoever wants bytes from a server asks here.

`values` holds what callers build and read, and loads without aiohttp; `Http` and `Body` are loaded when first named,
because aiohttp costs 0.2 s to import and many commands never send anything.

A caller gives a Request and ``read``, the judge of each Reply: it returns the value, or raises an error of
`chatstep.errors`. What it raises decides whether the request is sent again (see `chatstep.http.retry`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatstep.http.values import Patience, Reply, Request, Timeouts

if TYPE_CHECKING:
    from chatstep.http.body import Body
    from chatstep.http.client import Http

__all__ = ["Body", "Http", "Patience", "Reply", "Request", "Timeouts"]


def __getattr__(name: str) -> Any:
    if name == "Http":
        from chatstep.http.client import Http

        return Http
    if name == "Body":
        from chatstep.http.body import Body

        return Body
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
