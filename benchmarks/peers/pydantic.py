"""pydantic-ai: one agent, run and streamed."""

from __future__ import annotations

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Client:
    """One agent without tools."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        provider = OpenAIProvider(base_url=base_url, api_key="sk-bench")
        self.agent = Agent(OpenAIChatModel("gpt-4o-mini", provider=provider), model_settings={"max_tokens": 256})

    async def complete(self, prompt: str) -> str:
        return (await self.agent.run(prompt)).output

    async def stream(self, prompt: str) -> int:
        length = 0
        async with self.agent.run_stream(prompt) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                length += len(text)
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        """It offers no way to close."""
