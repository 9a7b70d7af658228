"""The official SDK, asynchronous, as its README shows it; its pool is enlarged for ten thousand calls in flight."""

from __future__ import annotations

from typing import Any

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient


class Client:
    """One client; the key comes from the environment."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        more: dict[str, Any] = {}
        if connections:
            limits = openai.DEFAULT_CONNECTION_LIMITS.__class__(
                max_connections=connections, max_keepalive_connections=connections
            )
            more["http_client"] = DefaultAsyncHttpxClient(limits=limits, timeout=600)
        self.client = AsyncOpenAI(base_url=base_url, **more)

    def request(self, prompt: str) -> dict[str, Any]:
        """What both calls send."""
        return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], "max_tokens": 256}

    async def complete(self, prompt: str) -> str | None:
        answer = await self.client.chat.completions.create(**self.request(prompt))
        return answer.choices[0].message.content

    async def stream(self, prompt: str) -> int:
        length = 0
        async for chunk in await self.client.chat.completions.create(**self.request(prompt), stream=True):
            if chunk.choices:
                length += len(chunk.choices[0].delta.content or "")
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        await self.client.close()
