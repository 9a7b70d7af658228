"""Scripts: what the rehearsal provider answers to whom.

A script is a list of rules and some settings. The first rule that matches a request answers it; a `Script` remembers
how often each rule was used. script_reader.py makes them from YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from chatstep.rehearsal.habits import Habits
from chatstep.rehearsal.models import Model
from chatstep.rehearsal.received import Received

__all__ = ["Rule", "Script", "When"]

_COMPLETIONS = re.compile(r"/chat/completions$")


class When(Struct, frozen=True, kw_only=True):
    """The conditions of a rule; all that are given must hold."""

    text: re.Pattern[str] | None = None
    model: re.Pattern[str] | None = None
    stream: bool | None = None
    header: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    nth: int | None = None
    path: re.Pattern[str] | None = None

    def mismatch(self, request: Received) -> str | None:
        """Why the rule does not fit this request, or None when it does."""
        if not (self.path or _COMPLETIONS).search(request.path):
            return "another path"
        if self.model and not self.model.search(request.model):
            return "another model"
        if self.stream is not None and self.stream != request.stream:
            return "a stream" if request.stream else "no stream"
        if self.nth is not None and self.nth != request.number:
            return f"only for request {self.nth}"
        for name, pattern in self.header.items():
            if not pattern.search(request.headers.get(name, "")):
                return f"another header {name}"
        if self.text and not self.text.search(request.newest_text):
            return "another text"
        return None


class Rule(Struct, frozen=True, kw_only=True):
    """One rule. Without `reply` the conversationalist speaks; ``line`` is where it stands in the script."""

    line: int
    when: When = field(default_factory=When)
    times: int | None = None
    reply: str | None = None
    finish_reason: str | None = None
    refusal: str | None = None
    filter: Literal["reply", "prompt"] | None = None
    reasoning: int = 0
    chunks: list[str] | int | None = None
    delay: float = 0.0
    between: float = 0.0
    usage: dict[str, Any] | UnsetType | None = UNSET
    model: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: tuple[str, Mapping[str, Any]] | None = None

    def text_for(self, request: Received) -> str | None:
        """The reply with what the pattern's groups matched filled in."""
        if self.reply is None or self.when.text is None:
            return self.reply
        match = self.when.text.search(request.newest_text)
        return self.reply if match is None else _fill(self.reply, match)


class Script(Struct, kw_only=True):
    """Rules and settings. ``otherwise`` says what happens when no rule matches: `fail` or `converse`."""

    rules: list[Rule] = field(default_factory=list)
    otherwise: Literal["fail", "converse"] = "converse"
    habits: Habits = field(default_factory=Habits)
    key: str | None = None
    models: list[Model] | None = None
    used: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.used = [0] * len(self.rules)

    def choose(self, request: Received) -> Rule | None:
        """The first rule that matches and is not used up; it counts as used."""
        for at, rule in enumerate(self.rules):
            if rule.times is not None and self.used[at] >= rule.times:
                continue
            if rule.when.mismatch(request) is None:
                self.used[at] += 1
                return rule
        return None

    def why_not(self, request: Received) -> str:
        """For a request that no rule matched: each rule with the reason."""
        reasons = []
        for at, rule in enumerate(self.rules):
            spent = rule.times is not None and self.used[at] >= rule.times
            reason = f"used up ({rule.times} of {rule.times})" if spent else rule.when.mismatch(request)
            reasons.append(f"rules[{at}] (line {rule.line}): {reason}")
        return "; ".join(reasons)

    def reset(self) -> None:
        """Begin again: no rule was used."""
        self.used = [0] * len(self.rules)


def _fill(reply: str, match: re.Match[str]) -> str:
    r"""Put groups in place of `\1` and `\g<name>`; a group that the pattern does not have stays as it is written."""

    def group(found: re.Match[str]) -> str:
        try:
            return match[int(found[1]) if found[1] else found[2]] or ""
        except (IndexError, KeyError):
            return found[0]

    return re.sub(r"\\(\d{1,2})|\\g<(\w+)>", group, reply)
