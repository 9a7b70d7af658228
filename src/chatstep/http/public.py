"""Which addresses are public: what may be reached on behalf of somebody who writes a flow.

A flow's address may come from a message. Without this guard it could name the router, a database in the same network,
or the cloud's own service for keys. The address that is connected to is checked, after names were looked up.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from chatstep.errors import RequestRefused

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

__all__ = ["PublicResolver", "check_literal", "is_public"]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is given out to networks; the rest has other meanings
# What `is_global` lets pass, in some versions of Python: protocols' own ranges, documentation, and Azure's service for
# the machines in it, which gives out keys at a public address.
_CLOSED = tuple(
    ipaddress.ip_network(each)
    for each in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20")
)


def is_public(address: str) -> bool:
    """Whether an IP address is one that everybody reaches; what is no IP address is not public."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        # Addresses of IPv6 that stand for one of IPv4 lead there.
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is None and found not in _UNICAST:
            return False
        found = inner or found
    return found.is_global and not found.is_multicast and not any(found in network for network in _CLOSED)


def check_literal(host: str) -> None:
    """Raise RequestRefused for a host that is written as an address and not public; names are looked up later."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not is_public(host):
        raise _private()


class PublicResolver(AbstractResolver):
    """Looks names up, and refuses one that leads to any address that is not public."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise _private()
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _private() -> RequestRefused:
    return RequestRefused(
        "The address belongs to a private network, and those are not reached.",
        place="url",
        hint="Use a connection of kind http with allow_private set to yes, or set CHATSTEP_PRIVATE_ADDRESSES=allow.",
        attempts=0,
    )
