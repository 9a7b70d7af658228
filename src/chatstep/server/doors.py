"""Doors: which address leads to which answer, and who may come through.

An address is written as in an OpenAPI document: ``/api/runs/{run}``. A last ``{path*}`` takes all that is left.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from aiohttp import web
from msgspec import Struct

from chatstep.registry import near
from chatstep.server.envelope import NotServed
from chatstep.server.visits import Visit

if TYPE_CHECKING:
    from chatstep.store import Token

__all__ = ["Admits", "Answer", "Asked", "Door", "Doors"]

Admits = Literal["anyone", "clients", "admins"]
"""Who may come through: anyone; who bears a token, where tokens were made; who bears an admin's."""


class Asked(Struct):
    """A request that was let in. ``names`` are the parts of its address that have names in the door's."""

    request: web.BaseRequest
    body: bytes
    token: Token | None
    names: dict[str, str]
    visit: Visit
    """Where a door notes what is known of the request, for the log."""


Answer = Callable[[Asked], Awaitable[web.StreamResponse]]


class Door(Struct, frozen=True):
    """What answers at which address, and whom."""

    address: str
    answer: Answer
    admits: Admits = "clients"


class Doors:
    """All doors of a server."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Door]] = {}
        self._named: list[tuple[re.Pattern[str], dict[str, Door]]] = []
        self._templates: dict[str, dict[str, Door]] = {}

    def add(self, method: str, address: str, answer: Answer, admits: Admits = "clients") -> None:
        """Open a door. A door for GET answers HEAD too."""
        methods = self._templates.get(address)
        if methods is None:
            methods = self._templates[address] = {}
            if "{" in address:
                self._named.append((_pattern(address), methods))
            else:
                self._exact[address] = methods
        methods[method] = Door(address, answer, admits)

    def find(self, method: str, path: str) -> tuple[Door, dict[str, str]]:
        """The door for a request's raw path; raises NotServed, with what there is instead."""
        methods, names = self._at(path)
        door = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if door is not None:
            return door, names
        if methods:
            allowed = ", ".join(self.allowed(path))
            message = f"Not allowed here: {method}. Use {allowed}."
            raise NotServed(405, message, code="method_not_supported", headers={"allow": allowed})
        close = near(path[:200], [*self._exact, *(address for address in self._templates if "*" not in address)])
        hint = f" Did you mean {close[0]}?" if close else ""
        raise NotServed(404, f"Unknown address: {method} {path[:200]}.{hint}", code="unknown_url")

    def allowed(self, path: str) -> list[str]:
        """The methods that an address takes; empty where there is no such address."""
        methods, _ = self._at(path)
        found = set(methods)
        if found:
            found |= {"OPTIONS", *(["HEAD"] if "GET" in found else [])}
        return sorted(found)

    def _at(self, path: str) -> tuple[dict[str, Door], dict[str, str]]:
        methods = self._exact.get(path)
        if methods is not None:
            return methods, {}
        for pattern, methods in self._named:
            match = pattern.fullmatch(path)
            if match is not None:
                return methods, {name: unquote(value) for name, value in match.groupdict().items()}
        return {}, {}


def _pattern(address: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)(\*?)\}", address)
    made = re.escape(pieces[0])
    for name, rest, after in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        made += f"(?P<{name}>{'.+' if rest else '[^/]+'})" + re.escape(after)
    return re.compile(made)
