"""httpx with httpx-sse for streams, and nothing around them."""

from __future__ import annotations

import json

import httpx
from httpx_sse import aconnect_sse


class Client:
    """One client with the pool's limits lifted."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        self.url = f"{base_url}/chat/completions"
        self.http = httpx.AsyncClient(
            headers={"authorization": "Bearer sk-bench"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=60,
        )

    def body(self, prompt: str) -> dict[str, object]:
        """The request."""
        return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], "max_tokens": 256}

    async def complete(self, prompt: str) -> str:
        response = await self.http.post(self.url, json=self.body(prompt))
        return response.json()["choices"][0]["message"]["content"]

    async def stream(self, prompt: str) -> int:
        length = 0
        body = {**self.body(prompt), "stream": True}
        async with aconnect_sse(self.http, "POST", self.url, json=body) as source:
            async for event in source.aiter_sse():
                if event.data != "[DONE]":
                    length += len(json.loads(event.data)["choices"][0]["delta"].get("content") or "")
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        await self.http.aclose()
