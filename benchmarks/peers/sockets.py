"""asyncio streams with the request written by hand: the floor that no client can go under."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """One connection per call in flight; only the text is looked for in the answer."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        url = urlsplit(base_url)
        self.host, self.port, self.path = url.hostname, url.port, f"{url.path}/chat/completions"
        self.free: list[Connection] = []

    async def send(self, prompt: str, streaming: bool) -> Connection:
        """Write a request on a free connection."""
        connection = self.free.pop() if self.free else await asyncio.open_connection(self.host, self.port)
        request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], "max_tokens": 256}
        body = json.dumps({**request, "stream": True} if streaming else request, separators=(",", ":")).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection[1].write(head.encode() + body)
        return connection

    async def complete(self, prompt: str) -> str:
        connection = await self.send(prompt, streaming=False)
        reader = connection[0]
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.rpartition(b"content-length: ")[2]))
        self.free.append(connection)
        return json.loads(body)["choices"][0]["message"]["content"]

    async def stream(self, prompt: str) -> int:
        connection = await self.send(prompt, streaming=True)
        reader = connection[0]
        await reader.readuntil(b"\r\n\r\n")
        length, rest, tail = 0, b"", b""
        while tail != b"\r\n0\r\n\r\n":
            block = await reader.read(262_144)
            tail = (tail + block)[-7:]
            whole, _, rest = (rest + block).rpartition(b"\n")
            length += sum(piece.index(b'"') for piece in whole.split(b'"delta":{"content":"')[1:])
        self.free.append(connection)
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        for _, writer in self.free:
            writer.close()
