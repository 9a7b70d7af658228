"""Discord: the transcripts that DiscordChatExporter writes as JSON."""

from __future__ import annotations

from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "discord",
    "Discord",
    transcript_formats=(
        TranscriptFormat("discord", "Discord (DiscordChatExporter, JSON)", "chatstep.modules.discord.transcript"),
    ),
)
