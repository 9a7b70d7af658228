"""Telegram: the transcripts that Telegram Desktop exports as JSON."""

from __future__ import annotations

from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "telegram",
    "Telegram",
    transcript_formats=(
        TranscriptFormat("telegram", "Telegram Desktop (result.json)", "chatstep.modules.telegram.transcript"),
    ),
)
