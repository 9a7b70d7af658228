"""Who may come in: the Host that was asked for, pages of other origins, and tokens.

A browser sends what a foreign page tells it to, so a request that changes something and comes from another origin is
turned away, whatever token it bears. A name that is not ours in Host means that somebody's DNS points at this machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable, Mapping

from msgspec import Struct

from chatstep.server.envelope import NotServed
from chatstep.store import Token, Tokens

__all__ = ["Guard", "is_loopback"]

_FRESH = 5.0  # seconds that a token is believed without asking the store again
_MOST_KNOWN = 10_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({"same-origin", "none"})


class _Known(Struct):
    token: Token | None
    until: float


class Guard:
    """Checks requests. ``hosts`` are names under which the server may be asked for, beside its own address.

    ``open_to_all`` lets in who brings no token, as long as nobody has made one: right on a loopback address alone.
    ``origins`` are those of other pages (``https://shop.example.com``) which may ask and read, if they bring a token.
    """

    def __init__(
        self, tokens: Tokens, host: str, hosts: Iterable[str] = (), origins: Iterable[str] = (), *, open_to_all: bool
    ) -> None:
        self._tokens = tokens
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._hosts = {host.lower(), *(name.lower() for name in hosts)}
        self._loopback = is_loopback(host)
        self._open_to_all = open_to_all
        self._known: dict[str, _Known] = {}
        self._any: tuple[bool, float] = (False, 0.0)

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Raise NotServed for a foreign Host or origin."""
        host = headers.get("Host", "")
        if not self._is_ours(host):
            raise NotServed(421, "This server is not known by that name. Start it with --host-name NAME to allow it.")
        if method in _SAFE:
            return
        site = headers.get("Sec-Fetch-Site")
        origin = headers.get("Origin")
        if self.allows(origin):
            return
        if (site is not None and site not in _OWN_SITE) or (
            origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower())
        ):
            raise NotServed(403, "Requests from pages of another origin are refused.", code="foreign_origin")

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this other origin may ask and read."""
        return origin is not None and origin.lower() in self._origins

    async def token(self, headers: Mapping[str, str], *, admin: bool = False) -> Token | None:
        """The token that a request bears; None where none is needed. Raises NotServed."""
        text = headers.get("Authorization", "").partition(" ")[2].strip() or headers.get("api-key", "")
        token = await self._find(text) if text else None
        if token is not None:
            if admin and not token.admin:
                raise NotServed(403, "This token may not use the API. Make one with --admin.", code="not_admin")
            return token
        if self._open_to_all and not await self._exists():
            return None
        message = "The token is not known here, was revoked, or has expired." if text else "A token is needed."
        raise NotServed(401, f"{message} Make one: chatstep tokens make NAME.", code="invalid_api_key")

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host).lower()
        return name in self._hosts or (self._loopback and is_loopback(name))

    async def _find(self, text: str) -> Token | None:
        known, now = self._known.get(text), time.monotonic()
        if known is None or known.until < now:
            known = _Known(await asyncio.to_thread(self._tokens.find, text), now + _FRESH)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[text] = known
        return known.token

    async def _exists(self) -> bool:
        """Whether anybody has made a token."""
        exists, until = self._any
        if until < time.monotonic():
            exists = bool(await asyncio.to_thread(self._tokens.all))
            self._any = (exists, time.monotonic() + _FRESH)
        return exists


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
