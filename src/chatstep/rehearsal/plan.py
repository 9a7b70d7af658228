"""How one answer goes onto the wire: what a fault may change, and the writing itself.

A `Plan` holds status, headers and blocks of bytes, and how to send them: late, in drops, cut, or after a flood of early
hints. `deliver` writes it to the transport byte by byte as told; nothing between us and the socket tidies it up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from aiohttp.abc import AbstractStreamWriter

__all__ = ["Plan", "deliver"]

End = Literal["whole", "fin", "reset", "hang"]


@dataclass
class Plan:
    """Bytes to send and how. ``between`` and delays are seconds; ``cut_at`` counts bytes of body or whole response."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    blocks: Iterable[bytes] = ()
    length: int | None = None
    streaming: bool = False
    first_delay: float = 0.0
    between: float = 0.0
    before: Iterable[bytes] = ()
    extra_head: Iterable[bytes] = ()
    cut_at: int | None = None
    cut_of: Literal["body", "response"] = "body"
    cut_how: Literal["fin", "reset"] = "fin"
    end: End = "whole"
    drop: tuple[int, float] | None = None

    def set_body(self, body: bytes, content_type: str = "application/json") -> None:
        """Send this body in one piece instead of what was planned."""
        self.blocks, self.length, self.streaming = (body,), len(body), False
        self.headers["content-type"] = content_type

    def whole_body(self) -> bytes:
        """The body as one piece; not for bodies made on the fly."""
        return b"".join(self.blocks)


class _Cut(Exception):
    """The place of the cut is reached."""


class _Wire:
    """Raw bytes to the client, counted up to the cut and let out drop by drop where the plan says so."""

    def __init__(self, writer: AbstractStreamWriter, plan: Plan) -> None:
        self._writer, self._plan = writer, plan
        self._left = plan.cut_at if plan.cut_of == "response" else None
        self.in_body = False

    async def write(self, data: bytes) -> None:
        cut = self._left is not None and len(data) >= self._left
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if self._plan.drop and self.in_body:
            await self._drip(data, *self._plan.drop)
        elif data:
            await self._writer.write(data)
        if cut:
            raise _Cut

    async def _drip(self, data: bytes, size: int, every: float) -> None:
        for start in range(0, len(data), size):
            await self._writer.write(data[start : start + size])
            await asyncio.sleep(every)


async def deliver(writer: AbstractStreamWriter, plan: Plan, *, chunked: bool, keep_alive: bool) -> bool:
    """Send the plan; the answer is whether the connection can be used again.

    ``chunked`` is False for HTTP/1.0 clients. A client that has gone is no error.
    """
    wire = _Wire(writer, plan)
    end: End = plan.end
    chunked = chunked and plan.length is None
    stays = keep_alive and (chunked or plan.length is not None)
    try:
        if plan.first_delay:
            await asyncio.sleep(plan.first_delay)
        for block in plan.before:
            await wire.write(block)
        await wire.write(_head(plan, chunked=chunked, stays=stays))
        for line in plan.extra_head:
            await wire.write(line)
        await wire.write(b"\r\n")
        wire.in_body = True
        await _body(wire, plan, chunked=chunked)
    except _Cut:
        end = plan.cut_how
    except ConnectionError:
        return False
    if end == "hang":
        await asyncio.Event().wait()
    if end == "reset":
        _reset(writer.transport)
    return stays and end == "whole"


def _head(plan: Plan, *, chunked: bool, stays: bool) -> bytes:
    try:
        phrase = HTTPStatus(plan.status).phrase
    except ValueError:
        phrase = "Status"
    lines = [f"HTTP/1.1 {plan.status} {phrase}", *(f"{name}: {value}" for name, value in plan.headers.items())]
    if plan.length is not None:
        lines.append(f"content-length: {plan.length}")
    elif chunked:
        lines.append("transfer-encoding: chunked")
    if not stays:
        lines.append("connection: close")
    return "\r\n".join([*lines, ""]).encode("latin-1", "replace")


async def _body(wire: _Wire, plan: Plan, *, chunked: bool) -> None:
    left = plan.cut_at if plan.cut_of == "body" else None
    for at, block in enumerate(plan.blocks):
        if at and plan.between:
            await asyncio.sleep(plan.between)
        piece = block if left is None else block[:left]
        if piece:
            await wire.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if left is not None:
            left -= len(piece)
            if left <= 0:
                raise _Cut
        # Writing never waits while the socket takes all, so an endless body would starve everybody else.
        await asyncio.sleep(0)
    if chunked and plan.end == "whole":
        await wire.write(b"0\r\n\r\n")


def _reset(transport: asyncio.WriteTransport | None) -> None:
    """Close with RST instead of FIN."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
