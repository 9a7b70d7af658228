"""A server on loopback that sends exactly the bytes that a test wants, right or wrong.

Each request is read whole and given to the test's function; what that writes goes out as it is. The server counts
connections, keeps all requests, and notices when a client goes away.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

GONE = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError)


@dataclass
class Exchange:
    """One request and the way to answer it; ``number`` counts the requests of the server from 1."""

    number: int
    line: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        """A well-formed answer; ``retry_after`` becomes ``retry-after``."""
        lines = [f"HTTP/1.1 {status} Text", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def start_chunks(self, status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Text", "transfer-encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        """One chunk; an empty one ends the body."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def until_gone(self) -> None:
        """Wait until the client closes the connection."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        """Reset the connection instead of closing it."""
        self.writer.transport.abort()


@dataclass
class RawServer:
    """``async with RawServer(answer) as server``; ``answer`` is called for each request."""

    answer: Callable[[Exchange], Awaitable[None]]
    tls: ssl.SSLContext | None = None
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[BaseException] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls, backlog=1000)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1/chat/completions"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self.failures:
            raise self.failures[0]

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, because asyncio logs a cancelled coroutine of a connection as an error.
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._requests(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                exchange = await self._receive(reader, writer)
                self.requests.append(exchange)
                await self.answer(exchange)
        except GONE:
            self.gone.set()
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rest if row)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Exchange(len(self.requests) + 1, line, headers, body, reader, writer)
