"""Make Chat Completion: ask a model for the next message of a conversation.

The step in one piece (`make_chat_completion`) and as a stream (`CompletionStream`), on the same Call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from chatstep.errors import AnswerCut, AnswerUnreadable, ChatstepError, TimedOut, Unreachable
from chatstep.modules.openai.answer import OPENING, Answer, Thoughts, conclude, read_completion, read_stream, usage_from
from chatstep.modules.openai.call import Call
from chatstep.modules.openai.inputs import Completion, MakeChatCompletion, make_inputs
from chatstep.modules.openai.stream import StreamReader
from chatstep.step import Context, Listener, step

__all__ = ["CompletionStream", "make_chat_completion"]

_AFTER_DONE = 0.05  # seconds that a finished stream is given to end its bytes, so that the connection can be kept


@step(
    "openai.make_chat_completion",
    title="Make Chat Completion",
    inputs=MakeChatCompletion,
    output=Completion,
    read=lambda values: make_inputs("", values),
    spoken="message",
)
async def make_chat_completion(inputs: MakeChatCompletion, ctx: Context) -> Completion:
    """Ask a model for the next message of a conversation."""
    if ctx.listener is not None:
        return await _spoken(inputs, ctx, ctx.listener)
    call = Call(inputs, ctx)
    try:
        while True:
            request = await call.prepare(stream=False)
            try:
                answer = await ctx.send(
                    request,
                    lambda reply: conclude(_without_thoughts(read_completion(call.judge(reply))), call.draft.limit),
                    timeouts=call.timeouts,
                    patience=call.patience,
                )
            except ChatstepError as error:
                if not await call.correct(error):
                    raise
            else:
                return await call.succeed(answer)
    except ChatstepError as error:
        await call.fail(error)
        raise
    finally:
        call.abandon()  # does nothing once the run is recorded


async def _spoken(inputs: MakeChatCompletion, ctx: Context, listener: Listener) -> Completion:
    async with CompletionStream(inputs, ctx, or_whole=True) as stream:
        async for piece in stream:
            listener(piece)
        return stream.completion


class CompletionStream:
    """The reply as it is written: iterate for pieces of text, then read `completion`.

    Used as ``async with app.stream(...) as stream: async for text in stream: ...``. Leaving early closes the socket.
    Errors are those of the step; one in the middle carries the text so far as ``partial``. With ``or_whole``, an answer
    that comes in one piece although a stream was asked for is a stream of that piece; otherwise it is an error.
    """

    def __init__(self, inputs: MakeChatCompletion, ctx: Context, *, or_whole: bool = False) -> None:
        self._call = Call(inputs, ctx)
        self._ctx = ctx
        self._or_whole = or_whole
        self._stack = AsyncExitStack()
        self._body: Any = None
        self._pieces: AsyncGenerator[str, None] | None = None
        self._completion: Completion | None = None

    @property
    def completion(self) -> Completion:
        """The step's output, once the stream was read to its end."""
        if self._completion is None:
            raise RuntimeError("The stream was not read to its end, so there is no completion.")
        return self._completion

    async def __aenter__(self) -> Self:
        call = self._call
        try:
            while self._body is None:
                request = await call.prepare(stream=True)
                try:
                    how = {"timeouts": call.timeouts, "patience": call.patience}
                    stream = self._ctx.stream(request, call.judge, **how)
                    self._body = await self._stack.enter_async_context(stream)
                except ChatstepError as error:
                    if not await call.correct(error):
                        raise
        except ChatstepError as error:
            await call.fail(error)
            raise
        finally:
            if self._body is None:
                call.abandon()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stack.aclose()
            if self._pieces is not None:
                with suppress(RuntimeError):  # another task reads still; closing the body has woken it up
                    await self._pieces.aclose()
        finally:
            self._call.abandon()

    def __aiter__(self) -> AsyncIterator[str]:
        """The pieces of text; a second loop goes on where the first one stopped."""
        if self._pieces is None:
            self._pieces = self._read()
        return self._pieces

    async def _read(self) -> AsyncGenerator[str, None]:
        call, reader, pieces = self._call, StreamReader(), list[str]()
        thoughts = Thoughts()
        call.opened(self._body.attempt, self._body.headers.get("x-request-id"))
        try:
            if not _is_event_stream(self._body.headers):
                whole = self._whole(await self._body.read())
                yield whole.text
                self._completion = await call.succeed(whole)
                return
            async with aclosing(self._blocks(reader)) as blocks:
                async for block in blocks:
                    text = thoughts.feed(reader.feed(block))
                    if text:
                        pieces.append(text)
                        yield text
            if text := thoughts.feed(reader.finish()) + thoughts.finish():
                pieces.append(text)
                yield text
            answer = conclude(read_stream(reader, "".join(pieces)), call.draft.limit)
        except ChatstepError as error:
            told = _in_the_middle(error, "".join(pieces), reader)
            await call.fail(told, begun=bool(pieces) or reader.events > 1)
            raise told from None
        self._completion = await call.succeed(answer)

    def _whole(self, body: bytes) -> Answer:
        """The answer of a body that should have been a stream; raises its own error, or that it is none."""
        answer = read_completion(body)
        if self._or_whole:
            return conclude(_without_thoughts(answer), self._call.draft.limit)
        raise AnswerUnreadable(
            "The server answered in one piece although a stream was asked for.",
            hint="Ask without streaming: --no-stream, or `complete` instead of `stream`.",
            partial=answer.text or None,
            usage=answer.usage,
        )

    async def _blocks(self, reader: StreamReader) -> AsyncGenerator[bytes, None]:
        """The blocks of the body; after `[DONE]` its end is waited for a moment, and no longer."""
        try:
            async for block in self._body:
                yield block
                if reader.done:
                    break
            else:
                return
        except (Unreachable, TimedOut):
            if reader.finish_reason is None:
                raise
            return  # the answer was whole; what broke off is its token counts at most
        try:
            async with asyncio.timeout(_AFTER_DONE):
                async for _ in self._body:
                    pass
        except (TimeoutError, ChatstepError):
            pass


def _is_event_stream(headers: Any) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind not in ("application/json", "text/html")


def _in_the_middle(error: ChatstepError, partial: str, reader: StreamReader) -> ChatstepError:
    """The error with what came before it; a connection that broke in the middle of an answer cut that answer."""
    if isinstance(error, Unreachable) and reader.events:
        error = AnswerCut(
            "The answer was cut off: the connection broke in the middle.",
            hint="Ask again; the partial text was not passed on as an answer.",
            attempts=error.details.get("attempts"),
        )
    return error.with_details(partial=partial or None, usage=usage_from(reader.usage))


def _without_thoughts(answer: Answer) -> Answer:
    if OPENING not in answer.text:
        return answer
    thoughts = Thoughts()
    return replace(answer, text=thoughts.feed(answer.text) + thoughts.finish())
