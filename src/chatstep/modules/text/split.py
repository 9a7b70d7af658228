"""Split Text: in parts that a platform takes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from chatstep.parts import split_text
from chatstep.step import Context, step

__all__ = ["LIMITS", "Parts", "SplitText", "split"]

LIMITS = {"discord": 2_000, "telegram": 4_096, "slack": 40_000}
"""The most characters of one message, by the platforms' own documentation."""


class SplitText(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step."""

    text: Annotated[str, Meta(title="Text", description="The text to split.")]
    limit: Annotated[
        Annotated[int, Meta(ge=20)] | Literal["discord", "telegram", "slack"],
        Meta(
            title="Limit",
            description="The most characters of a part, or a platform: discord (2000), telegram (4096), slack (40000).",
        ),
    ] = "discord"


class Parts(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    parts: Annotated[tuple[str, ...], Meta(title="Parts", description="The parts in order; a blank text has none.")]
    count: Annotated[int, Meta(title="Count", description="How many parts there are.")]


@step("text.split", title="Split Text", inputs=SplitText, output=Parts, effect="none")
async def split(inputs: SplitText, ctx: Context) -> Parts:
    """Split a text for a platform's limit, at the ends of paragraphs, sentences and code blocks."""
    limit = inputs.limit if isinstance(inputs.limit, int) else LIMITS[inputs.limit]
    parts = split_text(inputs.text, limit)
    return Parts(parts=parts, count=len(parts))
