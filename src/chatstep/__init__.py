"""chatstep: one dependable step from a conversation to its next message.

    >>> import chatstep
    >>> chatstep.complete("Hello", connection="rehearsal").message  # doctest: +SKIP

`complete` and `acomplete` make one completion; an `App` makes many over the same connections, and streams. What is not
listed here may change. Importing this loads neither the network nor a database.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chatstep.errors import ChatstepError

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.calls import acomplete, complete
    from chatstep.message import Attachment, Author, History, Message
    from chatstep.modules.openai.inputs import Completion, MakeChatCompletion
    from chatstep.modules.openai.make_chat_completion import CompletionStream

__all__ = [
    "App",
    "Attachment",
    "Author",
    "ChatstepError",
    "Completion",
    "CompletionStream",
    "History",
    "MakeChatCompletion",
    "Message",
    "acomplete",
    "complete",
]

_LATER = {
    "App": "chatstep.app",
    "Attachment": "chatstep.message",
    "Author": "chatstep.message",
    "Completion": "chatstep.modules.openai.inputs",
    "CompletionStream": "chatstep.modules.openai.make_chat_completion",
    "History": "chatstep.message",
    "MakeChatCompletion": "chatstep.modules.openai.inputs",
    "Message": "chatstep.message",
    "acomplete": "chatstep.calls",
    "complete": "chatstep.calls",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
