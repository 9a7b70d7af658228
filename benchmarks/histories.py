"""Conversations made by chance from a seed, and how many tokens a prompt of them has. Equal for every peer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

TOKENS_PER_MESSAGE = 4
"""What the protocol adds to each text: its frame and its role."""
TOKENS_PER_PROMPT = 3
"""What opens the reply."""


def _words(text: str) -> list[str]:
    return text.split()


WORDS = _words(
    "the a and to of in is it that we you was for on are with as at be this have from or had by not but what all were "
    "when can there an your which their said if do will each about how up out them then she many some so these would "
    "other into has more her two like him see time could no make than first been its who now people my made over did "
    "down only way find use may water long little very after words called just where most know garden saturday meeting "
    "printer invoice deploy server release kitchen library volunteer schedule budget photograph neighbour bicycle "
    "repair workshop translation"
)
CYRILLIC = _words("привет сегодня встреча перенесена на вечер кто сможет прийти принести чай ключи лежат внизу спасибо")
CJK = _words("今日の会議は午後三時からです よろしくお願いします 请把会议记录发给大家 谢谢 안녕하세요 내일 만나요")
EMOJI = _words("🙂 👩\u200d👩\u200d👧 🚲 ☕ 🎉 👍🏽 🇵🇹 ❤️")
CODE = _words("def return { } ( ) => != == 0x1f self.items[i] += 1; // if(x){ } async await -> None:")
KINDS = (WORDS, WORDS, WORDS, CYRILLIC, CJK, EMOJI, CODE)


class Turn(NamedTuple):
    """One message as every peer can express it; role is system, user or assistant."""

    role: str
    text: str


@cache
def _encoder() -> Callable[[str], list[int]]:
    from splintr import Tokenizer

    return Tokenizer.from_pretrained("o200k_base").encode_ordinary


def prompt_tokens(texts: Iterable[str]) -> int:
    """Tokens of a prompt with these texts, counted as the provider counts (vocabulary o200k_base)."""
    encode = _encoder()
    return TOKENS_PER_PROMPT + sum(TOKENS_PER_MESSAGE + len(encode(text)) for text in texts)


def long_chat(messages: int, seed: int) -> list[Turn]:
    """Instructions, that many messages of 5 to 35 words, the last one a user's."""
    chance = random.Random(seed)
    turns = [
        Turn("system", "You are the caretaker of a small library. Answer briefly, and say so when you do not know.")
    ]
    for at in range(messages):
        text = " ".join(chance.choices(WORDS, k=chance.randint(5, 35)))
        turns.append(Turn("assistant" if at % 2 == messages % 2 else "user", text))
    return turns


def next_turn(seed: int) -> list[Turn]:
    """How a long chat goes on: the reply, and the next message."""
    chance = random.Random(-seed)
    return [Turn(role, " ".join(chance.choices(WORDS, k=20))) for role in ("assistant", "user")]


def random_chat(seed: int) -> tuple[list[Turn], int]:
    """A short chat in several scripts, and a budget into which its instructions and newest message fit."""
    chance = random.Random(seed)
    turns = [Turn("system", _text(chance, 5, 40))] if chance.random() < 0.8 else []
    turns += [
        Turn(chance.choice(("user", "user", "assistant")), _text(chance, 1, 60)) for _ in range(chance.randint(0, 60))
    ]
    newest = Turn("user", _text(chance, 1, 60))
    needed = prompt_tokens(turn.text for turn in (*turns[:1], newest) if turn.role == "system" or turn is newest)
    turns.append(newest)
    everything = prompt_tokens(turn.text for turn in turns)
    return turns, chance.randint(needed, max(needed, int(everything * 1.1)))


def _text(chance: random.Random, shortest: int, longest: int) -> str:
    kind = chance.choice(KINDS)
    words = chance.choices(kind, k=chance.randint(shortest, longest))
    # A number makes every text of a chat its own, so that a kept one can be told from its neighbours.
    return f"{chance.randint(0, 10**9)} {' '.join(words)}"
