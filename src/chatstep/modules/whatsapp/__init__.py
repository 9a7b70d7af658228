"""WhatsApp: the transcripts that its "Export chat" writes on iOS and Android."""

from __future__ import annotations

from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "whatsapp",
    "WhatsApp",
    transcript_formats=(
        TranscriptFormat("whatsapp", "WhatsApp (Export chat, text or zip)", "chatstep.modules.whatsapp.transcript"),
    ),
)
