"""Random conversations, and a recount of prompts that shares no code with chatstep's own: for test_prompt.py."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from msgspec import Struct
from splintr import Tokenizer

from chatstep.message import Author, History, Message
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.models import ModelFacts
from chatstep.modules.openai.prompt import Prompt, PromptMessage, Wanted

PEOPLE = (
    Author("Ana", id="1"),
    Author("Ana", id="2"),
    Author("Ana_3c1f0a"),
    Author("José 🦊"),
    Author("a.b"),
    Author("a b"),
    Author("x" * 80, id="9"),
    Author("x" * 81),
    Author("李雷"),
    Author("Bo: the builder"),
    Author(""),
)
BOTS = (Author("Robo", id="77", bot=True), Author("Helper"), Author("assistant"))
TEXTS = (
    "yes",
    "tell me more",
    "When do you open tomorrow, and is there parking?",
    "Ana: not me",
    "  leading and trailing  ",
    "line\n\nline\n",
    "🦊" * 7,
    "Ελληνικά και 日本語",
    "half \ud83d of a pair",
    "a\x00b\u2028c",
    "<|endoftext|>",
    "",
    " \n\t ",
    "a long one, " * 25,
)


class Case(Struct):
    """What `build` is given."""

    wanted: Wanted
    facts: ModelFacts
    dialect: Dialect


def random_case(rnd: random.Random) -> Case:
    """One conversation with a model and a server, all of it small and odd."""
    people = rnd.sample(PEOPLE, rnd.choice((1, 1, 2, 3)))
    bots = rnd.sample(BOTS, rnd.choice((1, 1, 2)))
    by_role = rnd.random() < 0.25
    long = rnd.random() < 0.08
    count = rnd.randrange(60, 140) if long else rnd.randrange(0, 16)
    messages = [_message(rnd, people, bots, by_role=by_role) for _ in range(count)]
    who = () if by_role else tuple(rnd.choice((bot.name, bot.id or bot.name)) for bot in bots)
    wanted = Wanted(
        instructions=rnd.choice(("", "You help.", "Help, and be kind to everyone. " * rnd.randrange(1, 9), "\ud800 ")),
        message=_newest(rnd, people, messages),
        history=History(who, messages, older_exist=rnd.random() < 0.3) if messages or rnd.random() < 0.5 else None,
        speakers=rnd.choice(("auto", "auto", "off", "name", "prefix")),
        history_tokens=rnd.randrange(1024, 2400) if long else rnd.choice((None, None, 0, rnd.randrange(400))),
        window=rnd.choice(("steady", "steady", "newest")),
        reply_tokens=rnd.choice((1, 16, 256)),
    )
    window = rnd.choice((None, 400, 600, 1000, 100_000))
    facts = ModelFacts(name="m", known=True, window=window, max_input=rnd.choice((None, window)))
    dialect = Dialect(
        names=rnd.random() < 0.5,
        alternate=rnd.random() < 0.25,
        refused=frozenset(rnd.choice(((), ("name",)))),
        instructions_role=rnd.choice(("system", "developer")),
        window=rnd.choice((None, None, 300)),
    )
    return Case(wanted, facts, dialect)


def _message(rnd: random.Random, people: list[Author], bots: list[Author], *, by_role: bool) -> Message:
    text, id = rnd.choice(TEXTS), rnd.choice((None, str(rnd.randrange(6))))
    odd = rnd.random() < 0.1
    role: Any = rnd.choice(("system", "tool")) if odd else None
    if by_role and not odd:
        role = rnd.choice(("user", "assistant"))
        return Message(Author(role), text, id=id, role=role)
    return Message(rnd.choice(people + bots), text, id=id, role=role)


def _newest(rnd: random.Random, people: list[Author], messages: list[Message]) -> str | Message:
    text = messages[-1].text if messages and rnd.random() < 0.3 else rnd.choice(TEXTS)
    if rnd.random() < 0.5:
        return text
    if messages and rnd.random() < 0.2:
        return messages[-1]
    return Message(rnd.choice(people), text, id=rnd.choice((None, str(rnd.randrange(6)))))


@cache
def tokens_of(text: str) -> int:
    """The tokens of a text, asked of the tokenizer itself."""
    return len(_tokenizer().encode_ordinary(text))


@cache
def _tokenizer() -> Any:
    return Tokenizer.from_pretrained("o200k_base")


def recount(messages: list[PromptMessage]) -> int:
    """The tokens of messages by OpenAI's published rule: three each, role, text, name and one; without the reply's."""
    return sum(
        3
        + tokens_of(message.role)
        + tokens_of(message.content)
        + (1 + tokens_of(message.name) if message.name is not None else 0)
        for message in messages
    )


def as_sent(text: str) -> str:
    """The text as bytes can carry it."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


def is_assistant(message: Message, who: tuple[str, ...]) -> bool:
    """By the author where the history names some, else by the role."""
    if who and not (message.role and message.author.name == message.role):
        return bool({message.author.name, message.author.id, message.role} & set(who))
    return message.role == "assistant"


def places(prompt: Prompt) -> list[int]:
    """Every position of the history that the prompt accounts for, sorted."""
    found = [source for source in prompt.sources if source >= 0]
    found += [at for dropped in prompt.dropped for at in range(dropped.first, dropped.last + 1)]
    found += [at for at in prompt.merged if at >= 0]
    found += range(prompt.leading)
    found += [] if prompt.repeated is None else [prompt.repeated]
    return sorted(found)
