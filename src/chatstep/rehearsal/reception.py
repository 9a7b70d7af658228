"""Between aiohttp and the provider: reads a request into a Received, and tells aiohttp that the answer is out."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from chatstep.rehearsal.received import Received, without_credentials
from chatstep.rehearsal.refusal import Refusal
from chatstep.rehearsal.validation import read_json

__all__ = ["Sent", "key_of", "read_body", "receive"]

_LARGEST = 256 * 1024 * 1024


async def read_body(request: web.BaseRequest) -> bytes | None:
    """The body of a request, or None when it is too large to look at."""
    if request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    blocks: list[bytes] = []
    size = 0
    async for block in request.content.iter_any():
        size += len(block)
        if size > _LARGEST:
            return None
        blocks.append(block)
    return b"".join(blocks)


def receive(request: web.BaseRequest, raw: bytes, number: int) -> Received:
    """The request as tests and rules see it."""
    return Received(
        number=number,
        method=request.method,
        path=request.rel_url.raw_path,
        query=request.rel_url.raw_query_string,
        headers=without_credentials(request.headers),
        body=_object(raw),
        raw=raw,
        time=time.time(),
    )


def key_of(request: web.BaseRequest) -> str | None:
    """The key that the request brought, as a bearer or as Azure's header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("api-key")


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        return read_json(raw) if raw else None
    except Refusal:
        return None


class Sent(web.StreamResponse):
    """Tells aiohttp that everything was written already."""

    def __init__(self, *, stays: bool) -> None:
        super().__init__()
        self._stays = stays

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may be used again."""
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to prepare."""

    async def write_eof(self, data: Any = b"") -> None:
        """Nothing is left to write."""
