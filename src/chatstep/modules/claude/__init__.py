"""Claude: the conversations of its data export."""

from __future__ import annotations

from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "claude",
    "Claude",
    transcript_formats=(
        TranscriptFormat("claude", "Claude data export (conversations.json)", "chatstep.modules.claude.transcript"),
    ),
)
