"""The body of an answer, block by block: unpacked, counted, timed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp.hdrs import CONTENT_ENCODING
from aiohttp.http_exceptions import HttpProcessingError

from chatstep.errors import AnswerTooLarge, ChatstepError
from chatstep.http.failures import BROKEN, explain, timed_out
from chatstep.http.unpack import Unpacker, unpacker
from chatstep.http.watch import Watch

__all__ = ["Body"]


class Body:
    """An answer whose head has come; iterate over it once for its bytes, as they arrive.

    Read to its end it gives the connection back; `close` before that ends the connection, and with it the server's
    work. Raises Unreachable when the connection breaks, TimedOut, AnswerTooLarge and AnswerUnreadable.
    """

    __slots__ = (
        "_closed",
        "_host",
        "_limit",
        "_read",
        "_response",
        "_unpacker",
        "_watch",
        "attempt",
        "headers",
        "size",
        "status",
    )

    def __init__(self, response: aiohttp.ClientResponse, watch: Watch, host: str, limit: int, attempt: int) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.attempt = attempt
        self.size = 0
        self._response = response
        self._read = response.content.readany
        self._watch = watch
        self._host = host
        self._limit = limit
        self._closed = _closed(response)
        if self._closed is not None:
            self._closed.add_done_callback(self._lost)
        try:
            self._unpacker = unpacker(self.headers.get(CONTENT_ENCODING))
            if self._closed is not None and (response.content_length or 0) > limit:  # else it is here, and counted
                raise self._too_large()
        except BaseException:
            self.close()
            raise

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        try:
            if self._unpacker is None:
                self._watch.wait()
                block = await self._read()
                self._watch.pause()
            else:
                block = await self._next_unpacked(self._unpacker)
            self.size += len(block)
            if self.size > self._limit:
                raise self._too_large()
        except BROKEN as exc:
            error = self._failure(exc)
        except BaseException:
            self.close()
            raise
        else:
            if block:
                return block
            self._end()
            raise StopAsyncIteration
        # Raised out here, the error does not hold on to aiohttp's exception, which holds the request's headers.
        self.close()
        raise error

    async def read(self) -> bytes:
        """All bytes to the end."""
        content = self._response.content
        if self._unpacker is None and content.is_eof() and content.exception() is None:
            return self._arrived(content.read_nowait())  # it came with its head: there is nothing to await
        blocks = [block async for block in self]
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def close(self) -> None:
        """Let go: a connection that was read to its end is already back in the pool, any other one is closed."""
        self._stop()
        self._response.close()

    def _stop(self) -> None:
        self._watch.stop()
        if self._closed is not None:
            self._closed.remove_done_callback(self._lost)
            self._closed = None

    def _lost(self, closed: asyncio.Future[None]) -> None:
        if not closed.cancelled():
            closed.exception()  # Looked at, or asyncio reports it as forgotten.
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            # aiohttp gives up a connection at broken framing without telling the reader, who would wait for ever.
            content.set_exception(HttpProcessingError())

    def _arrived(self, whole: bytes) -> bytes:
        self.size += len(whole)
        if self.size <= self._limit:
            self._end()
            return whole
        self.close()
        raise self._too_large()

    async def _next_unpacked(self, unpacker: Unpacker) -> bytes:
        while not (piece := unpacker.piece()):
            self._watch.wait()
            block = await self._read()
            self._watch.pause()
            if not block:
                unpacker.end()
                break
            unpacker.feed(block)
        return piece

    def _end(self) -> None:
        self._stop()
        if not self._response.closed:  # A switch of protocols (101) has an end, but its connection does not.
            self._response.close()

    def _failure(self, exc: Exception) -> ChatstepError:
        phase = self._watch.absorb(exc)
        error = explain(exc, self._host) if phase is None else timed_out(phase, self._host)
        if 200 <= self.status < 300:
            error.with_details(phase="answer")
        return error.with_details(attempts=self.attempt)

    def _too_large(self) -> AnswerTooLarge:
        return AnswerTooLarge(
            f"The answer of {self._host} is larger than {self._limit:,} bytes.",
            limit=self._limit,
            attempts=self.attempt,
        )


def _closed(response: aiohttp.ClientResponse) -> asyncio.Future[None] | None:
    """Done when the connection of ``response`` is gone; None when the answer has left it already."""
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    return None if protocol is None else protocol.closed
