"""Text: steps that work on texts and ask nobody."""

from chatstep.modules.text.split import split
from chatstep.step import Module

__all__ = ["module"]

module = Module("text", "Text", steps=(split,))
