"""Plain files of author and text that anybody can write: JSON, JSON Lines, and tables (CSV)."""

from __future__ import annotations

from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "plain",
    "Plain files",
    transcript_formats=(
        TranscriptFormat("json", "Plain JSON or JSON Lines of author and text", "chatstep.modules.plain.transcript"),
        TranscriptFormat("csv", "Table of author and text (CSV)", "chatstep.modules.plain.table"),
    ),
)
