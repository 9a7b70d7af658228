"""What a flow's run answers, in the protocol's shapes: in one piece, or as a stream while its step writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from chatstep.errors import AnswerCut, InvalidInput, from_data
from chatstep.modules.openai.wire import (
    DONE,
    ChatCompletion,
    Choice,
    Chunk,
    ChunkChoice,
    CompletionUsage,
    Delta,
    ReplyMessage,
    encode,
    encode_event,
)
from chatstep.step import Listener

if TYPE_CHECKING:
    from chatstep.flows.records import RunRecord

__all__ = ["FlowAnswer", "FlowStream"]


class FlowAnswer:
    """What a run gave; raises what it failed with."""

    def __init__(self, record: RunRecord, model: str) -> None:
        self.run = record.id
        self.text = _message_of(record)
        self.created = int(record.created)
        self.finish = next((step.output["finish_reason"] for step in reversed(record.steps) if _ended(step)), "stop")
        prompt = sum(step.prompt_tokens or 0 for step in record.steps)
        completion = sum(step.completion_tokens or 0 for step in record.steps)
        self.usage = CompletionUsage(prompt, completion, prompt + completion)
        self._model = model

    def whole(self) -> bytes:
        """The answer in one piece."""
        choice = Choice(message=ReplyMessage(content=self.text), finish_reason=self.finish)
        answer = ChatCompletion(
            id=self.run, created=self.created, model=self._model, choices=[choice], usage=self.usage
        )
        return encode(answer)


class FlowStream:
    """A run's answer as a stream: in pieces while the flow's last step writes them, or else in one at its end.

    ``run`` does the run and lets the listener hear it; it is left alone when the client goes away.
    """

    def __init__(
        self, id: str, model: str, run: Callable[[Listener], Awaitable[RunRecord]], *, include_usage: bool
    ) -> None:
        self.request_id = id
        self._model, self._run, self._include_usage = model, run, include_usage
        self._created = int(time.time())
        self._said: list[str] = []
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._listener = Listener(self._heard.put_nowait)

    async def stream(self, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        """Wait for the first piece or the run's end, and give the blocks. Raises what came before the first piece."""
        running = asyncio.ensure_future(self._answer())
        running.add_done_callback(self._ended)
        stack.callback(running.cancel)  # stops the waiting alone
        first = await self._heard.get()
        if first is None:
            await running
        return self._blocks(first, running)

    def _ended(self, running: asyncio.Future[FlowAnswer]) -> None:
        self._heard.put_nowait(None)
        if not running.cancelled():
            running.exception()  # looked at, since a client that left does not ask for it

    async def _answer(self) -> FlowAnswer:
        return FlowAnswer(await self._run(self._listener), self._model)

    async def _blocks(self, piece: str | None, running: asyncio.Future[FlowAnswer]) -> AsyncIterator[bytes]:
        while piece is not None:
            if piece:
                yield self._event(piece)
            piece = await self._heard.get()
        yield self._end(await running)

    def _event(self, text: str) -> bytes:
        delta = Delta(content=text) if self._said else Delta(role="assistant", content=text)
        self._said.append(text)
        return self._chunk([ChunkChoice(delta=delta)])

    def _end(self, answer: FlowAnswer) -> bytes:
        """What was not said yet, why it ended, and what it took."""
        said = "".join(self._said)
        if not answer.text.startswith(said):
            raise AnswerCut(
                "The run was taken over by another worker, which wrote another answer than what was sent so far.",
                hint="Ask again with the same Idempotency-Key for the whole answer.",
            )
        blocks = [self._event(answer.text[len(said) :])] if len(said) < len(answer.text) or not said else []
        blocks.append(self._chunk([ChunkChoice(delta=Delta(), finish_reason=answer.finish)]))
        if self._include_usage:
            blocks.append(self._chunk([], answer.usage))
        return b"".join((*blocks, DONE))

    def _chunk(self, choices: list[ChunkChoice], usage: CompletionUsage | None = None) -> bytes:
        made = Chunk(id=self.request_id, created=self._created, model=self._model, choices=choices)
        if usage is not None:
            made.usage = usage
        return encode_event(made)


def _message_of(record: RunRecord) -> str:
    """The flow's output `message`; raises what the run failed with, or that it has none."""
    if record.error is not None:
        raise from_data(record.error).with_details(run=record.id)
    message = record.outputs.get("message")
    if not isinstance(message, str):
        raise InvalidInput(
            f"The flow {record.flow!r} gave no output `message`, so there is nothing to answer with.",
            place="model",
            hint="Give it one under `outputs:`.",
            run=record.id,
        )
    return message


def _ended(step: Any) -> bool:
    return isinstance(step.output, dict) and isinstance(step.output.get("finish_reason"), str)
