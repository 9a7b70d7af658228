"""Conversation: read and write the conversations that chatstep keeps."""

from chatstep.modules.conversation.add import add
from chatstep.modules.conversation.read import read
from chatstep.step import Module

__all__ = ["module"]

module = Module("conversation", "Conversation", steps=(add, read))
