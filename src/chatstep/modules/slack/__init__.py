"""Slack: the transcripts of a workspace export."""

from __future__ import annotations

from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "slack",
    "Slack",
    transcript_formats=(
        TranscriptFormat("slack", "Slack export (zip or folder)", "chatstep.modules.slack.transcript"),
    ),
)
