"""One completion, with everything opened and closed around it: `acomplete`, and `complete` for synchronous code."""

from __future__ import annotations

import asyncio
import logging
from typing import Unpack

from msgspec.structs import replace

from chatstep.app import App
from chatstep.errors import StoreError
from chatstep.message import Message
from chatstep.modules.openai.inputs import Completion, CompletionFields, MakeChatCompletion

__all__ = ["acomplete", "complete"]


async def acomplete(
    message: str | Message | MakeChatCompletion = "", /, **fields: Unpack[CompletionFields]
) -> Completion:
    """Ask for the next message of a conversation; raises the errors of `chatstep.errors`.

    For many calls, open an `App` once and use its `complete`: it keeps connections open.
    """
    completion: Completion | None = None
    try:
        async with App.open() as app:
            completion = await app.complete(message, **fields)
    except StoreError as error:
        if completion is None:
            raise
        # The reply is here and paid for; that its record could not be written must not take it away.
        logging.getLogger("chatstep").error("%s", error)
        completion = replace(completion, warnings=(*completion.warnings, str(error)))
    return completion


def complete(message: str | Message | MakeChatCompletion = "", /, **fields: Unpack[CompletionFields]) -> Completion:
    """`acomplete` for synchronous code; raises RuntimeError inside a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(acomplete(message, **fields))
    raise RuntimeError("complete() cannot wait inside an event loop: write `await chatstep.acomplete(...)` there.")
