"""The bare aiohttp client, reading its stream as most code does: one await per line."""

from __future__ import annotations

from benchmarks.peers import bare_aiohttp


class Client(bare_aiohttp.Client):
    """As `bare_aiohttp`, but for the stream."""

    async def stream(self, prompt: str) -> int:
        length = 0
        async with self.session.post(self.url, data=self.body(prompt, streaming=True)) as response:
            async for line in response.content:
                length += self.piece(line)
        return length
