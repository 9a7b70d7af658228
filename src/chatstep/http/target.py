"""Where a request goes: its address checked, and the proxy that leads there.

Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY`` and so on) as other tools read them, but never for
this machine itself. ``~/.netrc`` is not read: a stored password must not join a request that chatstep has built.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from yarl import URL

from chatstep.errors import InvalidInput

__all__ = ["Target", "check_headers", "find_target"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


class Target(NamedTuple):
    """A checked address; ``host`` and ``path`` are what a log line may show."""

    url: URL
    proxy: URL | None
    host: str
    path: str


def find_target(url: str) -> Target:
    """Check an address and find its proxy; raises InvalidInput."""
    try:
        parsed = URL(url)
        host, port = parsed.host, parsed.port
    except (ValueError, TypeError):
        raise _bad("The address is not a URL.") from None
    if parsed.scheme not in ("http", "https") or not host or not port:
        raise _bad("The address needs http:// or https:// and a host.")
    if _UNSENDABLE.search(url) or " " in host:
        raise _bad("The address contains characters that no address has.")
    if parsed.user is not None or parsed.password is not None:
        raise _bad("The address contains a user name or password.", hint="Put credentials into the key or a header.")
    return Target(parsed, _proxy(parsed.scheme, host, port), f"{parsed.host_subcomponent}:{port}", parsed.raw_path)


def _proxy(scheme: str, host: str, port: int) -> URL | None:
    if _is_loopback(host):
        return None
    proxies = getproxies_environment()
    value = proxies.get(scheme) or proxies.get("all")
    if not value or proxy_bypass_environment(f"{host}:{port}", proxies):
        return None
    try:
        proxy = URL(value if "://" in value else f"http://{value}")
        usable = proxy.scheme in ("http", "https") and bool(proxy.host)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(
            "The proxy named by the environment is not an http:// address.",
            place=f"{scheme.upper()}_PROXY",
            hint="Set it to http://host:port, or list the host in NO_PROXY.",
        )
    return proxy


def _is_loopback(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _bad(message: str, hint: str = "It looks like https://api.openai.com/v1.") -> InvalidInput:
    return InvalidInput(message, place="url", hint=hint)


@lru_cache(256)
def _are_names(names: tuple[str, ...]) -> bool:
    return all(_NAME.fullmatch(name) for name in names)


def check_headers(headers: dict[str, str]) -> None:
    """Refuse names and values that would break out of their line; raises InvalidInput, which never shows the value."""
    # One scan in C over the joined values settles nearly every call; only a suspicious one is looked at in detail.
    if "".join(headers.values()).isprintable() and _are_names(tuple(headers)):
        return
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise InvalidInput("A header has a name that cannot be sent.", place="headers")
        if _UNSENDABLE.search(value):
            raise InvalidInput(
                "A header contains a line break or another control character.",
                place=f"headers.{name}",
                hint="Keys copied from a page or a file often end in a line break: remove it.",
            )
