"""Questions about chatstep, answered from its documentation by the step Make Chat Completion.

The best excerpts go to a model on the default connection. Where no connection can answer, or the documentation hardly
speaks of the matter, there are the excerpts alone. A model's answer is kept for a while, so that asking the same again
costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from chatstep.documentation.answers import Answer, Outcome, checked_question, read_reply, request_fields
from chatstep.documentation.excerpts import excerpts
from chatstep.documentation.pages import FRONT, library, moved_between
from chatstep.documentation.search import Index
from chatstep.errors import ChatstepError, InputError
from chatstep.modules.openai.make_chat_completion import make_chat_completion
from chatstep.modules.openai.models import facts

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.modules.openai.inputs import Completion, MakeChatCompletion
    from chatstep.step import Context

__all__ = ["Asking", "find"]

REHEARSAL = "rehearsal"
"""The kind of connections that only play a model."""

_SHOWN = 6  # excerpts that a model gets to read, and people where no model answers
_FRESH = 900.0  # seconds that an answer is kept
_MOST_KEPT = 500
_THOUGHTS = 2048  # tokens for a model that thinks before it answers
_PROBABLE = 0.4  # where excerpts cover less of a question than that, they probably do not answer it
_HOPELESS = 0.2  # and here no model need be asked
_CONNECT = (
    "Connect a model to have questions answered: set `OPENAI_API_KEY`, or run `chatstep connections add NAME`. Where "
    "there are several connections, `CHATSTEP_CONNECTION` says which one answers."
)


class Asking:
    """Answers questions; one for an App, as it remembers answers."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._under_way: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    async def answer(
        self,
        question: str,
        page: str = FRONT,
        *,
        context: Context | None = None,
        allows: Callable[[str], bool] = lambda model: True,
    ) -> Answer:
        """Answer a question about a page; raises InvalidInput for one that is none.

        ``context`` is that of whoever pays; ``allows`` tells whether CONNECTION/MODEL may be used for him.
        """
        found, covered = await asyncio.to_thread(_found, question, page)
        if covered < _HOPELESS:
            return found
        try:
            inputs = await self._inputs(found)
        except InputError as error:
            return replace(found, note=f"No model was asked. {error.message} {_CONNECT}")
        if inputs is None:
            return replace(found, note=f"No model was asked. The rehearsal provider knows nothing. {_CONNECT}")
        if not allows(f"{inputs.connection}/{inputs.model}"):
            return replace(found, note=f"This token may not use {inputs.connection}/{inputs.model}, which answers.")
        key = (found.question, page, inputs.connection, inputs.model)
        async with self._under_way.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or kept.until < time.monotonic():
                try:
                    kept = self._keep(key, await _asked(found, inputs, context or self._app.context))
                except ChatstepError as error:
                    return replace(found, note=f"The model did not answer. {error}", error=error)
            return kept.answer

    async def _inputs(self, found: Answer) -> MakeChatCompletion | None:
        """The step's inputs; None where the default connection only rehearses. Raises InputError where none is."""
        fields = request_fields(found.question, found.excerpts)
        inputs = await self._app.inputs("", fields)
        origin = await asyncio.to_thread(self._app.connections.find, inputs.connection)
        if origin.stored.kind == REHEARSAL:
            return None
        return replace(inputs, reasoning_room=_THOUGHTS) if facts(inputs.model).reasons else inputs

    def _keep(self, key: tuple[str, ...], answer: Answer) -> _Kept:
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(key, None)
        self._kept[key] = kept = _Kept(answer, time.monotonic() + _FRESH)
        return kept


class _Kept(Struct):
    answer: Answer
    until: float


async def _asked(found: Answer, inputs: MakeChatCompletion, context: Context) -> Answer:
    completion: Completion = await make_chat_completion.run(inputs, context)
    return read_reply(found, completion.message)


def find(question: str, page: str = FRONT, note: str = "") -> Answer:
    """What the documentation says that fits a question, with no model asked. Blocks; raises InvalidInput."""
    return replace(_found(question, page)[0], note=note)


def _found(question: str, page: str) -> tuple[Answer, float]:
    question = checked_question(question)
    found = _index().search(question, page, _SHOWN)
    fitting = tuple(
        replace(excerpt, text=moved_between(excerpt.text, excerpt.page, page)) for excerpt in found.excerpts
    )
    outcome: Outcome = "excerpts" if found.covered >= _PROBABLE else "unanswered"
    return Answer(question, outcome, "", fitting), found.covered


@cache
def _index() -> Index:
    return Index(excerpts(library().pages.values()))
