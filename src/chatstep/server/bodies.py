"""The body of a request: not larger than allowed, not slower, not packed, and framed as HTTP wants it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from chatstep.server.envelope import NotServed

__all__ = ["read_body"]


async def read_body(request: web.BaseRequest, most: int, slowest: float) -> bytes:
    """The whole body, of at most so many bytes, within so many seconds; raises NotServed."""
    if not request.body_exists:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NotServed(415, "Compressed bodies are not taken.", code="unsupported_encoding")
    if (request.content_length or 0) > most:
        raise _too_large(most)
    await _let_send(request)
    if request.content.is_eof() and request.content.exception() is None:  # all of it came with the head
        body = request.content.read_nowait(-1)
        if len(body) > most:
            raise _too_large(most)
        return body
    blocks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(slowest):
            async for block in request.content.iter_any():
                size += len(block)
                if size > most:
                    raise _too_large(most)
                blocks.append(block)
    except TimeoutError:
        raise NotServed(408, "The body came too slowly.", code="request_timeout") from None
    except web.RequestPayloadError:
        raise NotServed(400, "The body is not framed as HTTP wants it.", code="invalid_http") from None
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


async def _let_send(request: web.BaseRequest) -> None:
    """Tell a client that asks first that its body may come; one that was refused before has kept it."""
    expected = request.headers.get("Expect")
    if expected is None:
        return
    if expected.lower() != "100-continue":
        raise NotServed(417, "Of Expect, only 100-continue is understood.", code="expectation_failed")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # this was no answer yet


def _too_large(most: int) -> NotServed:
    return NotServed(413, f"The body is larger than {most:,} bytes.", code="request_too_large")
