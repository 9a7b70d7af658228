"""OpenAI's chat completions, and every server that speaks them: connection kinds, and the step Make Chat Completion."""

from __future__ import annotations

from chatstep.modules.openai.connection import KINDS
from chatstep.modules.openai.make_chat_completion import make_chat_completion
from chatstep.step import Module
from chatstep.transcript import TranscriptFormat

__all__ = ["module"]

module = Module(
    "openai",
    "OpenAI",
    steps=(make_chat_completion,),
    connection_kinds=KINDS,
    transcript_formats=(
        TranscriptFormat("chatgpt", "ChatGPT data export", "chatstep.modules.openai.chatgpt_export"),
        TranscriptFormat("sharegpt", "ShareGPT conversations (JSON or JSON Lines)", "chatstep.modules.openai.sharegpt"),
        TranscriptFormat(
            "openai-jsonl", "OpenAI fine-tuning or batch file (JSON Lines)", "chatstep.modules.openai.fine_tuning"
        ),
    ),
)
