"""LiteLLM: ``acompletion`` for the calls, its own ``trim_messages`` for the prompts (it ships its vocabulary)."""

from __future__ import annotations

import litellm
from litellm.utils import trim_messages

from benchmarks.histories import Turn


class Client:
    """LiteLLM keeps its clients itself."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        self.base_url = base_url

    async def complete(self, prompt: str) -> str:
        answer = await litellm.acompletion(
            model="openai/gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=256,
            api_base=self.base_url,
        )
        return answer.choices[0].message.content

    async def stream(self, prompt: str) -> int:
        length = 0
        chunks = await litellm.acompletion(
            model="openai/gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=256,
            api_base=self.base_url,
            stream=True,
        )
        async for chunk in chunks:
            if chunk.choices:
                length += len(chunk.choices[0].delta.content or "")
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        await litellm.close_litellm_async_clients()


def prepare(turns: list[Turn]) -> list[dict[str, str]]:
    """The history in the peer's own shape; not part of what is timed."""
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def append(messages: list[dict[str, str]], turns: list[Turn]) -> None:
    """The conversation goes on."""
    messages.extend(prepare(turns))


def turns(messages: list[dict[str, str]]) -> list[Turn]:
    """What was kept, in the benchmark's shape; not part of what is timed."""
    return [Turn(message["role"], message["content"]) for message in messages]


def plain(messages: list[dict[str, str]], budget: int) -> list[dict[str, str]]:
    """The budget is given as its `max_tokens`; the model chooses the vocabulary."""
    return trim_messages(messages, model="gpt-4o-mini", max_tokens=budget)


TRIMMERS = {"plain": plain}
