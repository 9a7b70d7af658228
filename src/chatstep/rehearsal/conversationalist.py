"""Talks when no script says what to say, in the tradition of Joseph Weizenbaum's ELIZA (1966).

Keywords have ranks, the best one's pattern takes the sentence apart, pronouns are turned around, and what somebody said
about their own things is remembered for later. It keeps no state: everything is read from the request, so the same
request gets the same reply. Loads the standard library and its phrases only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from chatstep.rehearsal.phrases import (
    FALLBACKS,
    LABELS,
    MEMORIES,
    REFLECTIONS,
    RULES,
    STOP_WORDS,
    TRANSLATIONS,
)

__all__ = ["converse"]

_READ = 2_000
_TURNS = 30
_COUNTED = 8

_PREFIX = re.compile(r"\s*([^\W\d_][^:\n]{0,39}): (?=\S)")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_MY_NAME = re.compile(
    r"(?:\b(?:my name is|call me|i am called)|^(?:hello|hi|hey),? i(?:'m| am)(?= (?-i:[A-Z])[\w'-]*[.!]?$)) "
    r"([^\W\d_][\w'-]{0,30})",
    re.IGNORECASE | re.MULTILINE,
)
_WHO_AM_I = re.compile(r"\b(?:who am i|what(?:'s| is) my name|do you know (?:me|my name|who i am))\b", re.IGNORECASE)
_WHO_IS_HERE = re.compile(r"\bwho(?:'s| is| else is)(?: else)? (?:here|around|talking|with us)\b", re.IGNORECASE)
_WHAT_SAID = re.compile(r"\bwhat (?:did i|have i) (?:just )?(?:say|said|ask|asked|write|written)\b", re.IGNORECASE)
_MINE = re.compile(
    r"\bmy ([a-z][a-z' -]{2,40}?)(?= (?:is|was|are|were|has|does|did|keeps|and|but)\b|[,.!?]|$)", re.IGNORECASE
)
_SUMMARY = re.compile(r"\b(?:summari[sz]e|summary|sum up|tl;?dr|recap)\b", re.IGNORECASE)
_TRANSLATE = re.compile(r"\btranslate\b(.*?)\b(?:in|to|into) (\w+)\b:?(.*)", re.IGNORECASE | re.DOTALL)
_SUM = re.compile(r"(?<![\w.])(\d{1,9}) ?([-+*/x]|times|plus|minus) ?(\d{1,9})(?![\w.])", re.IGNORECASE)
_OWN_NAME = re.compile(r"\b[Yy]ou are (?:called |named )?([A-Z]\w{1,20})\b|\b[Yy]our name is (\w{1,20})")
_RULES = [(rank, re.compile(pattern, re.IGNORECASE), replies) for rank, pattern, replies in RULES]


class _Turn(NamedTuple):
    speaker: str | None
    text: str


class _Talk(NamedTuple):
    """What a request holds: the people's turns, oldest first, and the assistant's own name."""

    turns: list[_Turn]
    me: str

    @property
    def newest(self) -> _Turn:
        return self.turns[-1]

    def earlier(self) -> list[_Turn]:
        """Turns of the newest speaker before the newest one."""
        return [turn for turn in self.turns[:-1] if turn.speaker == self.newest.speaker]

    def speakers(self) -> list[str]:
        """Everybody who spoke, in order of appearance."""
        return list(dict.fromkeys(turn.speaker for turn in self.turns if turn.speaker))


def converse(messages: Sequence[Mapping[str, Any]], variant: int = 0) -> str:
    """The reply to a request's messages, one to three sentences. ``variant`` gives others for the same request."""
    talk = _listen(messages)
    if not talk.turns or not talk.newest.text.strip():
        return "Hello! I am here whenever you want to say something."
    for special in (_about_people, _said_before, _summary, _translation, _arithmetic):
        reply = special(talk)
        if reply:
            return reply
    found = _best(talk.newest.text)
    if found is None:
        return _addressed(_without_keyword(talk, variant), talk)
    rule, match = found
    used = sum(1 for turn in talk.earlier()[-_COUNTED:] if (before := _best(turn.text)) and before[0] == rule)
    replies = _RULES[rule][2]
    reply = _filled(replies[(used + variant) % len(replies)], match, talk)
    return reply if "{who}" in replies[(used + variant) % len(replies)] else _addressed(reply, talk)


def _listen(messages: Sequence[Mapping[str, Any]]) -> _Talk:
    said = [(message.get("name"), _text(message)) for message in messages if message.get("role") == "user"][-_TURNS:]
    prefixes = [_PREFIX.match(text) for _, text in said]
    labelled = bool(said) and all(match and _is_name(match[1]) for match in prefixes)
    turns = [
        _Turn(str(name).replace("_", " "), text)
        if name
        else _Turn(match[1].strip(), text[match.end() :])
        if labelled and match
        else _Turn(None, text)
        for (name, text), match in zip(said, prefixes, strict=True)
    ]
    instructions = " ".join(_text(item) for item in messages if item.get("role") in ("system", "developer"))
    own = _OWN_NAME.search(instructions)
    name = (own[1] or own[2]) if own else None
    return _Talk(turns, "the rehearsal" if name in (None, "A", "An", "The") else str(name))


def _is_name(words: str) -> bool:
    """Whether what stands before a colon may be somebody's name."""
    first, *rest = words.split()
    return len(rest) <= 3 and first.lower() not in LABELS


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return content[:_READ] if isinstance(content, str) else ""


def _best(text: str) -> tuple[int, re.Match[str]] | None:
    """The rule of the highest rank that any sentence matches; of equal ones the later sentence."""
    best: tuple[int, int, re.Match[str]] | None = None
    for sentence in _SENTENCE.findall(text):
        for at, (rank, pattern, _) in enumerate(_RULES):
            if (best is None or rank >= best[0]) and (match := pattern.search(sentence.strip())):
                best = (rank, at, match)
    return best and (best[1], best[2])


def _reflected(text: str) -> str:
    """The text seen from the other side: my -> your, you -> me at its end, else I."""
    words = text.strip(" .,!?;:\"'").split()
    turned = [REFLECTIONS.get(word.lower(), word) for word in words]
    if words and words[-1].lower() == "you":
        turned[-1] = "me"
    said = " ".join(turned)
    for wrong, right in (("I are", "I am"), ("I were", "I was"), ("you was", "you were")):
        said = re.sub(rf"\b{wrong}\b", right, said)
    return said


def _filled(reply: str, match: re.Match[str], talk: _Talk) -> str:
    raw = (match[1] if match.re.groups else "") or ""
    if not talk.newest.speaker:
        reply = re.sub(r",? ?\{who\}", "", reply)
    return reply.format(_reflected(raw), raw=raw, me=talk.me, who=talk.newest.speaker)


def _addressed(reply: str, talk: _Talk) -> str:
    """With several people present, say whom the reply is for."""
    name = talk.newest.speaker
    if not name or len(talk.speakers()) < 2:
        return reply
    first = reply.split(maxsplit=1)[0]
    keeps = first in ("I", "I'm", "I'll", "I'd") or first.rstrip(",") == name or "'" in first[:1]
    return f"{name}, {reply if keeps else reply[0].lower() + reply[1:]}"


def _without_keyword(talk: _Talk, variant: int) -> str:
    number = len(talk.turns) + variant
    mine = [found for turn in talk.earlier() if (found := _MINE.search(turn.text))]
    if mine and number % 2 == 0:
        thing = mine[number // 2 % len(mine)][1]
        return MEMORIES[number // 2 % len(MEMORIES)].format(_reflected(thing))
    words = re.findall(r"[^\W\d_]{4,24}", talk.newest.text)
    topics = [word for word in words if word.lower() not in STOP_WORDS]
    topic = max(topics, key=len, default="that")
    return FALLBACKS[number % len(FALLBACKS)].format(topic=topic)


def _about_people(talk: _Talk) -> str | None:
    if _WHO_IS_HERE.search(talk.newest.text):
        people = talk.speakers()
        return f"So far I have heard {_listing(people)}." if people else "So far it is the two of us."
    if not _WHO_AM_I.search(talk.newest.text):
        return None
    if talk.newest.speaker:
        return f"You are {talk.newest.speaker}: that is the name on your message. What can I do for you?"
    named = [found[1] for turn in talk.turns if (found := _MY_NAME.search(turn.text))]
    if named:
        return f"You are {named[-1]}, as you told me yourself."
    return "You have not told me your name yet. What shall I call you?"


def _said_before(talk: _Talk) -> str | None:
    earlier = talk.earlier()
    if _WHAT_SAID.search(talk.newest.text):
        return f'You wrote: "{_short(earlier[-1].text)}"' if earlier else "This is the first I hear from you."
    words = talk.newest.text.split()
    if len(words) > 2 and earlier and earlier[-1].text.split() == words:
        return _addressed("You said that just now. Is there something that I missed?", talk)
    return None


def _summary(talk: _Talk) -> str | None:
    match = _SUMMARY.search(talk.newest.text)
    if not match:
        return None
    rest = talk.newest.text[match.end() :].partition(":")[2].strip()
    if rest:
        return f"In short: {_short(_SENTENCE.findall(rest)[0].strip(), 160)}" if _SENTENCE.findall(rest) else None
    earlier = [turn for turn in talk.turns[:-1] if turn.text.strip()]
    if not earlier:
        return "There is nothing to sum up yet. Tell me more first."
    people = list(dict.fromkeys(turn.speaker for turn in earlier if turn.speaker))
    count = "1 message" if len(earlier) == 1 else f"{len(earlier)} messages"
    opening = f"{count} so far" + (f", from {_listing(people)}" if people else "")
    points = "; ".join(
        f'{turn.speaker + " " if turn.speaker else ""}"{_short(turn.text, 60)}"' for turn in earlier[-3:]
    )
    return f"{opening}. The latest: {points}."


def _translation(talk: _Talk) -> str | None:
    match = _TRANSLATE.search(talk.newest.text)
    if not match:
        return None
    language = match[2]
    text = (match[3].strip() or match[1]).strip(" :\"'.!?")
    words = TRANSLATIONS.get(language.lower())
    if words and text.lower() in words:
        word = words[text.lower()]
        return word[0].upper() + word[1:]
    return f'My {language.capitalize()} is only rehearsed, so I leave it as it is: "{_short(text, 200)}"'


def _arithmetic(talk: _Talk) -> str | None:
    match = _SUM.search(talk.newest.text)
    if not match or "?" not in talk.newest.text:
        return None
    one, other, sign = int(match[1]), int(match[3]), match[2].lower()
    if sign == "/":
        if other == 0:
            return "Nobody has divided by zero yet, and I will not be the first."
        result = f"{one / other:g}"
    else:
        whole = {"+": one + other, "plus": one + other, "-": one - other, "minus": one - other}
        result = str(whole.get(sign, one * other))
    return _addressed(f"That makes {result}.", talk)


def _listing(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _short(text: str, longest: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0] + " ..."
