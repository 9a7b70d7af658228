"""The picture of a prompt as data: each message as the model will see it, what was left out, what it costs.

Made from the very Draft that a real run sends; `drawing` draws it, and programs get it as JSON. Positions in a history
count from 0 here, as everywhere in data; people are shown numbers from 1.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from chatstep.modules.openai import prices
from chatstep.modules.openai.prices import Usage
from chatstep.modules.openai.tail import Dropped
from chatstep.modules.openai.window import STEADY_FROM

if TYPE_CHECKING:
    from chatstep.cli.preview import Preview
    from chatstep.message import Author

__all__ = ["Cache", "Picture", "Row", "Voice", "picture_of"]

_CACHE_STEP = 128  # tokens; providers find beginnings of prompts in such steps


class Row(Struct, frozen=True):
    """One message of the prompt. ``at`` is its position in the history, None for one that is not from there.

    ``speaker`` is the label under which it is sent: a name beside it, or what stands in front of ``text``.
    """

    source: Literal["instructions", "history", "newest"]
    at: int | None
    role: str
    speaker: str | None
    tokens: int
    text: str


class Voice(Struct):
    """What one author has in the prompt: the role, the label, how many messages and tokens."""

    author: str
    role: str
    speaker: str | None
    messages: int = 0
    tokens: int = 0


class Cache(Struct, frozen=True):
    """What the provider's cache of prompts would save at the next turn, in dollars: an estimate.

    ``tokens`` is the beginning that stays as it is.
    """

    tokens: int
    first: Decimal
    next: Decimal


class Picture(Struct):
    """All that a drawing shows. ``budget`` and ``history_budget`` are in tokens, None where nothing is known or set.

    ``cost`` is that of the empty and of the longest reply, in dollars; None where it is unknown or nothing is paid.
    """

    model: str
    connection: str
    kind: str
    free: bool
    speakers: Literal["off", "name", "prefix"]
    voices: list[Voice]
    rows: list[Row]
    tokens: int
    exact: bool
    budget: int | None
    history_tokens: int
    history_budget: int | None
    reply: int
    limit_field: str
    dropped: tuple[Dropped, ...]
    merged: tuple[int, ...]
    leading: int
    repeated: int | None
    cost: tuple[Decimal, Decimal] | None
    cache: Cache | None
    warnings: list[str]


def picture_of(found: Preview) -> Picture:
    """The picture of this draft. Blocks: looking up a price may take 0.2 s."""
    draft, prompt = found.draft, found.draft.prompt
    rows = _rows(found)
    return Picture(
        model=found.inputs.model,
        connection=found.connection,
        kind=found.endpoint.kind,
        free=found.endpoint.free,
        speakers=prompt.speakers,
        voices=_voices(found, rows),
        rows=rows,
        tokens=prompt.tokens,
        exact=prompt.exact,
        budget=prompt.budget.total,
        history_tokens=sum(row.tokens for row in rows if row.source == "history"),
        history_budget=prompt.budget.history if found.inputs.history_tokens is not None else None,
        reply=draft.limit,
        limit_field=draft.dialect.limit_field,
        dropped=prompt.dropped,
        merged=prompt.merged,
        leading=prompt.leading,
        repeated=prompt.repeated,
        cost=_cost(found),
        cache=_cache(found),
        warnings=draft.warnings,
    )


def _rows(found: Preview) -> list[Row]:
    prompt = found.draft.prompt
    rows = []
    for message, source, tokens in zip(prompt.messages, prompt.sources, prompt.each, strict=True):
        speaker, text = message.name, message.content
        if prompt.speakers == "prefix" and message.role == "user" and _author(found, source) is not None:
            speaker, _, text = message.content.partition(": ")
        kind: Literal["instructions", "history", "newest"] = (
            "history" if source >= 0 else "newest" if source == -1 else "instructions"
        )
        rows.append(Row(kind, source if source >= 0 else None, message.role, speaker, tokens, text))
    return rows


def _voices(found: Preview, rows: list[Row]) -> list[Voice]:
    voices: dict[tuple[str, str, str | None], Voice] = {}
    for row, source in zip(rows, found.draft.prompt.sources, strict=True):
        author = _author(found, source)
        name = f"({row.source if source == -2 else 'message'})" if author is None else author.name
        voice = voices.setdefault((name, row.role, row.speaker), Voice(name, row.role, row.speaker))
        voice.messages += 1
        voice.tokens += row.tokens
    return list(voices.values())


def _author(found: Preview, source: int) -> Author | None:
    """Who wrote the message, where that is known."""
    if source >= 0 and found.inputs.history is not None:
        return found.inputs.history.messages[source].author
    message = found.inputs.message
    if source == -2:
        return None
    if not isinstance(message, str):
        return message.author
    repeated = found.draft.prompt.repeated
    if repeated is not None and found.inputs.history is not None:
        return found.inputs.history.messages[repeated].author
    return None


def _cost(found: Preview) -> tuple[Decimal, Decimal] | None:
    if found.endpoint.free:
        return None
    model, url, prompt = found.inputs.model, found.endpoint.priced_at, found.draft.prompt.tokens
    least = prices.cost(Usage(prompt=prompt), model, base_url=url)
    most = prices.worst_case(prompt, found.draft.limit, model, base_url=url)
    return None if least is None or most is None else (least, most)


def _cache(found: Preview) -> Cache | None:
    """None where prices are unknown, or hardly any of the prompt is the same at the next turn."""
    prompt, model, url = found.draft.prompt, found.inputs.model, found.endpoint.priced_at
    moves = found.inputs.window == "newest" and any(dropped.reason == "budget" for dropped in prompt.dropped)
    stays = prompt.each[:-1] if not moves else prompt.each[:1] if -2 in prompt.sources else []
    same = sum(stays) // _CACHE_STEP * _CACHE_STEP
    if same < STEADY_FROM or found.endpoint.free:
        return None
    # Some models take more for what they write into the cache; where they do not, writing costs what reading does.
    first = prices.cost(Usage(prompt=prompt.tokens, cache_write=prompt.tokens), model, base_url=url)
    written = prompt.tokens - same
    again = prices.cost(Usage(prompt=prompt.tokens, cached=same, cache_write=written), model, base_url=url)
    return Cache(same, first, again) if first is not None and again is not None and again < first else None
