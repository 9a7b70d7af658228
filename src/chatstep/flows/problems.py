"""Problem: one thing that is wrong with a flow's file, with its line, its place and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, to_builtins

from chatstep.errors import InvalidInput

__all__ = ["Problem", "refusal"]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong, and where. ``line`` counts from 1; 0: it is about the whole file."""

    line: int = 0
    place: str = ""
    """The path of the key, such as ``steps[1].with.message``."""
    message: str
    hint: str | None = None


def refusal(problems: Sequence[Problem], source: str) -> InvalidInput:
    """The error for a flow with problems: it says the first and holds all, as plain data in ``problems``."""
    first = problems[0]
    more = len(problems) - 1
    rest = f" ({more} more problem{'s' if more > 1 else ''}; `chatstep flow check` lists all.)" if more else ""
    at = f"{source} line {first.line}" if first.line else source
    return InvalidInput(
        f"{first.message}{rest}",
        place=f"{at}, {first.place}" if first.place else at,
        hint=first.hint,
        problems=to_builtins(problems),
    )
