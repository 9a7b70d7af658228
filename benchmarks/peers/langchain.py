"""LangChain: ``ChatOpenAI`` for the calls, ``trim_messages`` for the prompts, plain and tuned as documented."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately

from benchmarks.histories import TOKENS_PER_PROMPT, Turn, prompt_tokens

_KINDS: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
_ROLES = {"system": "system", "human": "user", "ai": "assistant"}


class Client:
    """One model object; imported here, so that trimming alone does not pay for it."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        from langchain_openai import ChatOpenAI

        self.model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, max_tokens=256)

    async def complete(self, prompt: str) -> object:
        return (await self.model.ainvoke([("user", prompt)])).content

    async def stream(self, prompt: str) -> int:
        length = 0
        async for chunk in self.model.astream([("user", prompt)]):
            length += len(chunk.content)
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        """It offers no way to close."""


def prepare(turns: list[Turn]) -> list[BaseMessage]:
    """The history in the peer's own objects; not part of what is timed."""
    return [_KINDS[turn.role](turn.text) for turn in turns]


def append(messages: list[BaseMessage], turns: list[Turn]) -> None:
    """The conversation goes on."""
    messages.extend(prepare(turns))


def turns(messages: list[BaseMessage]) -> list[Turn]:
    """What was kept, in the benchmark's shape; not part of what is timed."""
    return [Turn(_ROLES[message.type], str(message.content)) for message in messages]


def plain(messages: list[BaseMessage], budget: int) -> list[BaseMessage]:
    """Only what has no default is given: the budget, and the approximate counter."""
    return trim_messages(messages, max_tokens=budget, token_counter=count_tokens_approximately)


def _tuned(messages: list[BaseMessage], budget: int, counter: Callable[[list[BaseMessage]], int]) -> list[BaseMessage]:
    return trim_messages(
        messages, max_tokens=budget, token_counter=counter, strategy="last", start_on="human", include_system=True
    )


def tuned(messages: list[BaseMessage], budget: int) -> list[BaseMessage]:
    """As the documentation advises for chats, with the approximate counter."""
    return _tuned(messages, budget, count_tokens_approximately)


def exact(messages: list[BaseMessage], budget: int) -> list[BaseMessage]:
    """As `tuned`, with a true tokenizer for its counter.

    It counts instructions and the rest apart, so what a prompt costs once is taken off the budget instead.
    """
    return _tuned(messages, budget - TOKENS_PER_PROMPT, _additive)


def _additive(messages: list[BaseMessage]) -> int:
    return prompt_tokens(str(message.content) for message in messages) - TOKENS_PER_PROMPT


TRIMMERS = {"plain": plain, "tuned": tuned, "exact": exact}
