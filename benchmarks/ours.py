"""chatstep as one of the measured: everything on that is on for a user (checks, ledger, learning, retries).

The application is opened before the clock starts and closed while it runs, so that whatever it put off, such as writing
the ledger, is counted.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from benchmarks.histories import Turn

MODEL = "gpt-4o-mini"


class Client:
    """One App, found by the environment alone: OPENAI_API_KEY, OPENAI_BASE_URL, CHATSTEP_HOME."""

    async def open(self, base_url: str, connections: int = 0) -> None:
        import chatstep

        os.environ["OPENAI_BASE_URL"] = base_url
        self.opened = chatstep.App.open()
        self.app = await self.opened.__aenter__()

    async def complete(self, prompt: str) -> str:
        return (await self.app.complete(prompt, model=MODEL)).message

    async def stream(self, prompt: str) -> int:
        length = 0
        async with self.app.stream(prompt, model=MODEL) as stream:
            async for text in stream:
                length += len(text)
        return length

    async def settle(self) -> None:
        await self.opened.__aexit__(None, None, None)

    async def close(self) -> None:
        """Done by `settle`."""


class Chat(NamedTuple):
    """A conversation as the step takes it, apart from its newest message: instructions and the earlier messages."""

    instructions: str
    messages: list
    newest: list[str]


def prepare(turns: list[Turn]) -> Chat:
    """The history in our own objects; not part of what is timed."""
    chat = Chat(turns[0].text if turns[0].role == "system" else "", [], [])
    append(chat, turns[1:] if chat.instructions else turns)
    return chat


def append(chat: Chat, turns: list[Turn]) -> None:
    """The conversation goes on; the last turn is the newest message."""
    from chatstep.message import Message

    if chat.newest:
        chat.messages.append(Message("user", chat.newest.pop(), role="user"))
    chat.messages.extend(Message(turn.role, turn.text, role=turn.role) for turn in turns[:-1])
    chat.newest.append(turns[-1].text)


def build(chat: Chat, budget: int) -> object:
    """The prompt within a budget of tokens, for a model whose window is just that much larger."""
    from chatstep.message import History
    from chatstep.modules.openai.dialect import Dialect
    from chatstep.modules.openai.models import facts
    from chatstep.modules.openai.prompt import MARGIN, Wanted, build
    from chatstep.modules.openai.tokens import counter_for

    wanted = Wanted(
        instructions=chat.instructions,
        message=chat.newest[0],
        history=History(messages=chat.messages),
        reply_tokens=1,
    )
    return build(wanted, facts(MODEL), Dialect(window=budget + MARGIN + 1), counter_for("o200k_base"))


def turns(prompt: object) -> list[Turn]:
    """What was kept, in the benchmark's shape; not part of what is timed."""
    return [Turn(message.role, message.content) for message in prompt.messages]


TRIMMERS = {"plain": build}
