"""From the step's inputs to exactly what is sent: pure, without network, clock or store.

The newest message and the instructions are always whole. Every message of the input is either sent or listed as
dropped with a reason, and the same inputs give the same bytes. Who is who is told by `roles`, what fits by `window`,
how people are called by `speakers`; here it is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from chatstep.errors import DoesNotFit, InvalidInput
from chatstep.message import History, Message, clean_text
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.models import ModelFacts
from chatstep.modules.openai.roles import Newest, Roles, leading_system, newest_of
from chatstep.modules.openai.speakers import (
    LabelCosts,
    LabelMode,
    Speakers,
    author_key,
    label_mode,
    label_tokens,
    labels_for,
)
from chatstep.modules.openai.tail import Dropped, Kept, PromptMessage, read_tail
from chatstep.modules.openai.tokens import PER_MESSAGE, REPLY, ByteCounter, Counter
from chatstep.modules.openai.window import Window, fitting, in_order, start_with_user, steady

__all__ = ["Budget", "Dropped", "Prompt", "PromptMessage", "Speakers", "Wanted", "build"]

MARGIN = 16  # tokens kept free of the window, since a server may count a few more than we do


class Budget(Struct, frozen=True):
    """What bounds the prompt: ``total`` tokens (None: nothing known), and the part of it for history."""

    total: int | None
    history: int | None


class Prompt(Struct):
    """What is sent, and the report of how it came about.

    ``sources`` says for each message where it came from: a position in the history, -1 for the newest message, -2 for
    the instructions. ``each`` counts its tokens (an upper count where speakers stand in front of texts, and for merged
    messages). The other positions of the history are in ``dropped``, in ``merged`` (joined with the message after
    them, for a server that wants turns), are the first ``leading`` ones (system messages that serve as the
    instructions), or the one ``repeated``: the newest message itself, which is sent once.
    """

    messages: list[PromptMessage]
    sources: list[int]
    each: list[int]
    tokens: int
    exact: bool
    budget: Budget
    dropped: tuple[Dropped, ...] = ()
    speakers: Literal["off", "name", "prefix"] = "off"
    merged: tuple[int, ...] = ()
    leading: int = 0
    repeated: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def dropped_count(self) -> int:
        """How many history messages were left out."""
        return sum(item.count for item in self.dropped)

    def add(self, message: PromptMessage, source: int, tokens: int) -> None:
        """Put a message at the end."""
        self.messages.append(message)
        self.sources.append(source)
        self.each.append(tokens)


class Wanted(Struct, frozen=True, kw_only=True):
    """The inputs that shape a prompt."""

    instructions: str = ""
    message: str | Message = ""
    history: History | None = None
    speakers: Speakers = "auto"
    history_tokens: int | None = None
    window: Window = "steady"
    reply_tokens: int = 256


def build(wanted: Wanted, facts: ModelFacts, dialect: Dialect, counter: Counter | ByteCounter) -> Prompt:
    """Build the prompt; raises InvalidInput, or DoesNotFit when instructions and message alone are too long."""
    if (wanted.history is None or not wanted.history.messages) and isinstance(wanted.message, str):
        return _without_history(wanted, facts, dialect, counter)
    messages = wanted.history.messages if wanted.history else ()
    roles = Roles(wanted.history)
    newest = newest_of(wanted.message, messages, roles)
    end = len(messages) - (newest is not None and newest.repeated)
    lead = leading_system(messages, end)
    instructions = _instructions(wanted.instructions, messages[:lead])
    mode = label_mode(wanted.speakers, dialect)
    costs = LabelCosts(mode, counter, auto=wanted.speakers == "auto")
    fixed = REPLY + (counter[instructions] + PER_MESSAGE if instructions else 0)
    newest_tokens = 0
    if newest is not None:
        newest_tokens = counter[newest.text] + PER_MESSAGE + (costs.of(newest.author) if newest.author else 0)
        fixed += newest_tokens
    budget = _budget(wanted, facts, dialect, fixed)
    fit = fitting(read_tail(messages, (lead, end), roles, budget.history, counter), lead, budget.history, costs)
    if wanted.window == "steady" and wanted.history is not None:
        steady(fit, messages, _steady_budget(wanted, budget, newest_tokens), older_exist=wanted.history.older_exist)
    if fit.cut or dialect.alternate:
        start_with_user(fit)
    kept = fit.kept
    if not (instructions or newest or kept.at):
        raise _nothing_to_send()
    leading = lead if instructions and not _given(wanted.instructions) else 0
    if lead and not leading:
        fit.dropped.append(Dropped("system", 0, lead - 1))
    prompt = Prompt([], [], [], 0, counter.exact and facts.exact, budget, in_order(fit.dropped), leading=leading)
    prompt.repeated = end if end < len(messages) else None
    if None not in kept.speaker:
        prompt.warnings = roles.warnings(messages[at].author for at in kept.at)
    if instructions:
        prompt.add(
            PromptMessage(dialect.instructions_role, clean_text(instructions)), -2, counter[instructions] + PER_MESSAGE
        )
    labels = _labels(wanted.speakers, mode, messages, kept, newest)
    if labels and mode:
        prompt.speakers = mode
    _add_conversation(prompt, kept, newest, _Labelling(labels, mode, counter))
    if dialect.alternate:
        _merge_neighbours(prompt)
    prompt.exact = prompt.exact and prompt.speakers != "prefix" and not prompt.merged
    prompt.tokens = REPLY + sum(prompt.each)
    return prompt


def _without_history(wanted: Wanted, facts: ModelFacts, dialect: Dialect, counter: Counter | ByteCounter) -> Prompt:
    """The prompt of a single message: the same as the long way round gives, in a third of the time."""
    messages: list[PromptMessage] = []
    sources: list[int] = []
    each: list[int] = []
    if _given(wanted.instructions):
        messages.append(PromptMessage(dialect.instructions_role, clean_text(wanted.instructions)))
        sources.append(-2)
        each.append(counter[wanted.instructions] + PER_MESSAGE)
    if isinstance(wanted.message, str) and _given(wanted.message):
        messages.append(PromptMessage("user", clean_text(wanted.message)))
        sources.append(-1)
        each.append(counter[wanted.message] + PER_MESSAGE)
    if not messages:
        raise _nothing_to_send()
    tokens = REPLY + sum(each)
    return Prompt(
        messages, sources, each, tokens, counter.exact and facts.exact, _budget(wanted, facts, dialect, tokens)
    )


def _nothing_to_send() -> InvalidInput:
    return InvalidInput(
        "There is nothing to send: no message, no history and no instructions.", place="message", hint="Write one."
    )


def _given(text: str) -> bool:
    return bool(text) and not text.isspace()


def _instructions(given: str, system: Sequence[Message]) -> str:
    """What the system message says: the instructions, else the system messages that the history begins with."""
    return given if _given(given) else "\n\n".join(message.text for message in system if _given(message.text))


def _budget(wanted: Wanted, facts: ModelFacts, dialect: Dialect, fixed: int) -> Budget:
    limits = []
    if facts.window is not None:
        limits.append(facts.window - wanted.reply_tokens)
    if dialect.window is not None:
        limits.append(dialect.window - wanted.reply_tokens)
    if facts.max_input is not None:
        limits.append(facts.max_input)
    if not limits:
        return Budget(None, wanted.history_tokens)
    least = min(limits)
    total = least - (MARGIN if facts.exact else max(least // 8, MARGIN))
    if fixed > total:
        raise DoesNotFit(
            f"Instructions and message take {fixed:,} tokens; {max(total, 0):,} fit beside a reply of "
            f"{wanted.reply_tokens:,}.",
            place="message",
            hint="Shorten them, lower Max Tokens, or use a model with a larger window.",
            tokens=fixed,
            budget=total,
        )
    left = total - fixed
    return Budget(total, left if wanted.history_tokens is None else min(left, wanted.history_tokens))


def _steady_budget(wanted: Wanted, budget: Budget, newest_tokens: int) -> int | None:
    """The history's budget without what the newest message takes of it, which would change it at every turn."""
    if budget.total is None or budget.history is None or budget.history == wanted.history_tokens:
        return budget.history
    free = budget.history + newest_tokens
    return free if wanted.history_tokens is None else min(free, wanted.history_tokens)


def _labels(
    speakers: Speakers, mode: LabelMode | None, messages: Sequence[Message], kept: Kept, newest: Newest | None
) -> dict[str, str]:
    """The labels of the people who speak; none where `auto` finds fewer than two of them."""
    if mode is None:
        return {}
    last = dict(zip(kept.speaker, kept.at, strict=True))
    authors = {key: messages[at].author for key, at in last.items() if key is not None}
    if newest is not None and newest.author is not None:
        authors[author_key(newest.author)] = newest.author
    return {} if speakers == "auto" and len(authors) < 2 else labels_for(authors.values(), mode)


class _Labelling:
    """Gives a user's message its label, and says what that costs."""

    def __init__(self, labels: dict[str, str], mode: LabelMode | None, counter: Counter | ByteCounter) -> None:
        self.labels = labels
        self.as_name = mode == "name"
        self.cost = {key: label_tokens(label, mode, counter) for key, label in labels.items() if mode}
        self.counter = counter

    def user(self, text: str, key: str) -> tuple[PromptMessage, int]:
        """The message as it is sent, and what its label costs; ``key`` is the author's."""
        label = self.labels.get(key)
        if label is None:
            return PromptMessage("user", text), 0
        if self.as_name:
            return PromptMessage("user", text, label), self.cost[key]
        return PromptMessage("user", f"{label}: {text}"), self.cost[key]


def _add_conversation(prompt: Prompt, kept: Kept, newest: Newest | None, labelling: _Labelling) -> None:
    """Add the history's messages and the newest one."""
    prompt.sources.extend(kept.at)
    if not labelling.labels:
        prompt.messages.extend(kept.sent)
        prompt.each.extend(kept.tokens)
    else:
        for sent, tokens, speaker in zip(kept.sent, kept.tokens, kept.speaker, strict=True):
            message, more = (sent, 0) if speaker is None else labelling.user(sent.content, speaker)
            prompt.messages.append(message)
            prompt.each.append(tokens + more)
    if newest is not None:
        text, tokens = clean_text(newest.text), labelling.counter[newest.text] + PER_MESSAGE
        message, more = (
            labelling.user(text, author_key(newest.author)) if newest.author else (PromptMessage("user", text), 0)
        )
        prompt.add(message, -1, tokens + more)


def _merge_neighbours(prompt: Prompt) -> None:
    """Join messages of one role that follow each other, for servers whose templates want turns."""
    rows = list(zip(prompt.messages, prompt.sources, prompt.each, strict=True))
    prompt.messages, prompt.sources, prompt.each = [], [], []
    merged: list[int] = []
    for message, source, tokens in rows:
        last = prompt.messages[-1] if prompt.messages else None
        if last is not None and last.role == message.role:
            prompt.messages[-1] = PromptMessage(last.role, f"{last.content}\n\n{message.content}", last.name)
            merged.append(prompt.sources[-1])
            prompt.sources[-1] = source
            prompt.each[-1] += tokens
        else:
            prompt.add(message, source, tokens)
    prompt.merged = tuple(merged)
