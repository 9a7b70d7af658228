"""Somebody else's request, passed on to a connection with the step's care: the gateway's part of the work.

The body stays as its client wrote it, but for the model's name, the name of the token limit, and fields that the
server is known to refuse. What comes back is passed on as it came; a look at it tells whether it is an answer, and what
it took. For the server's door.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from chatstep.errors import AnswerUnreadable, ChatstepError, Refused, TimedOut, Unreachable
from chatstep.http.values import Patience, Reply, Request, Timeouts
from chatstep.modules.openai.answer import read_completion, usage_from
from chatstep.modules.openai.charging import Charging, uncharged
from chatstep.modules.openai.connection import endpoint_of
from chatstep.modules.openai.dialect import Dialect, learn
from chatstep.modules.openai.models import facts
from chatstep.modules.openai.prices import Usage, nanodollars
from chatstep.modules.openai.refusals import read_refusal, refusal_in
from chatstep.modules.openai.tokens import counter_for
from chatstep.modules.openai.usage_tap import UsageTap
from chatstep.modules.openai.wanted import Wanted, adapted, most_tokens, values_of
from chatstep.modules.openai.wire import CompletionUsage, decode_completion, encode
from chatstep.step import Connection, Context
from chatstep.store.ledger import Entry

__all__ = ["Forward"]

CORRECTIONS = 2
_PASSED_ON = ("x-request-id", "openai-processing-ms", "openai-version")
_TIMEOUTS = Timeouts(total=600.0)
_PATIENCE = Patience()


class _SeenMessage(Struct):
    """That there is one is enough."""


class _SeenChoice(Struct):
    finish_reason: str | None = None
    message: _SeenMessage | None = None


class _Seen(Struct):
    """The part of an answer that the gateway looks at."""

    choices: list[_SeenChoice] | None = None
    usage: CompletionUsage | None = None
    model: str | None = None
    error: Any = None


_seen = msgspec.json.Decoder(_Seen).decode


class Forward:
    """One request on its way: made ready, corrected when a server refuses a field, judged, and recorded."""

    def __init__(self, wanted: Wanted, connection: Connection, model: str, ctx: Context) -> None:
        self.request_id: str | None = None
        self._wanted = wanted
        self._connection = connection
        self._endpoint = endpoint_of(connection)
        self._model = model
        self._ctx = ctx
        self._charging = Charging(connection, model, wanted.tier)
        self._dialect = self._endpoint.dialect.with_traits(connection.traits(model))
        self._fields: dict[str, Raw] = {}
        self._started = time.perf_counter()
        self._attempts = 0
        self._corrections = 0
        self._sent = self._settled = False

    async def whole(self) -> Reply:
        """The answer in one piece, as the server sent it. Raises the errors of the step."""
        try:
            while True:
                request = await self._prepare()
                try:
                    reply, seen = await self._ctx.send(
                        request, self._judge, timeouts=_TIMEOUTS, patience=self._patience
                    )
                except ChatstepError as error:
                    await self._correct(error)
                else:
                    reason = seen.choices[0].finish_reason if seen.choices else None
                    await self._succeed(usage_from(seen.usage), seen.model, reason)
                    return reply  # type: ignore[no-any-return]
        except ChatstepError as error:
            await self._fail(error)
            raise
        finally:
            self._abandon()

    async def stream(self, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        """Open the answer's stream on ``stack`` and give its blocks, to be passed on as they come.

        Errors before its first byte are raised here. One in its middle is raised by the iterator, whose last block
        then was the last that came; what a client sees of it is the door's business.
        """
        open = False
        try:
            while True:
                request = await self._prepare()
                try:
                    opened = self._ctx.stream(request, self._judge, timeouts=_TIMEOUTS, patience=self._patience)
                    body = await stack.enter_async_context(opened)
                except ChatstepError as error:
                    await self._correct(error)
                else:
                    stack.callback(self._abandon)
                    open = True
                    self.request_id = self._keyless(body.headers.get("x-request-id"))
                    return self._blocks(body)
        except ChatstepError as error:
            await self._fail(error)
            raise
        finally:
            if not open:
                self._abandon()  # its client left before the head of the answer came

    async def _blocks(self, body: Any) -> AsyncIterator[bytes]:
        self._attempts += body.attempt
        tap = UsageTap(hide_usage=not self._wanted.include_usage)
        try:
            if not body.headers.get("content-type", "").startswith("text/event-stream"):
                answered = await body.read()
                read_completion(answered)
                raise AnswerUnreadable("The server answered in one piece although a stream was asked for.")
            async with aclosing(_until_broken(body, tap)) as blocks:
                async for block in blocks:
                    if passed := tap.feed(block):
                        yield passed
            end = tap.finish()
        except ChatstepError as error:
            await self._fail(error.with_details(usage=tap.usage), begun=True)
            raise
        await self._succeed(tap.usage, tap.model, tap.finish_reason)
        yield end

    async def _prepare(self) -> Request:
        self._fields = adapted(self._wanted, self._model, self._dialect)
        await self._charging.prepare(self._worst)
        self._sent = True
        url, body = self._endpoint.chat_url(self._model), encode(self._fields)
        return Request("POST", url, self._endpoint.headers(), body, turn=self._connection.turn)

    def _worst(self) -> tuple[int, int] | None:
        """The most tokens of prompt and reply; None where they cannot be known, as of pictures and sound."""
        known = facts(self._model)
        limit = self._wanted.limit if self._wanted.limit is not None else known.max_output
        prompt = most_tokens(self._fields, counter_for(known.encoding))
        return None if limit is None or prompt is None else (prompt, limit * self._wanted.choices)

    @property
    def _patience(self) -> Patience:
        if self._endpoint.tries is None and not self._connection.limited:
            return _PATIENCE
        return Patience(tries=self._endpoint.tries or _PATIENCE.tries, resend=not self._connection.limited)

    def _judge(self, reply: Reply) -> tuple[Reply, _Seen]:
        """The reply where it is an answer; raises what it is instead."""
        self.request_id = self._keyless(reply.headers.get("x-request-id"))
        if not 200 <= reply.status < 300:
            raise read_refusal(reply.status, reply.headers, reply.body)
        try:
            seen = _seen(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            seen = _Seen()
        if seen.error or not seen.choices or seen.choices[0].message is None:
            answer = read_completion(reply.body)  # raises what is wrong, unless it reads what we were too strict for
            seen = _Seen([_SeenChoice(answer.finish_reason)], decode_completion(reply.body).usage, answer.model)
        self._attempts += reply.attempt
        return reply, seen

    def passed_on(self, reply: Reply) -> dict[str, str]:
        """The headers of an answer that its client gets."""
        return {name: self._keyless(reply.headers[name]) or "" for name in _PASSED_ON if name in reply.headers}

    def _keyless(self, said: str | None) -> str | None:
        """What a server says of itself, without the key: it goes to the client and into the ledger."""
        key = self._endpoint.key
        return said if said is None or key is None else key.hidden(said)

    async def _correct(self, error: ChatstepError) -> None:
        """Learn from a refusal that names a field; raises the error where it teaches nothing."""
        self._attempts += error.details.get("attempts", 1)
        learnt: Dialect | None = None
        if self._corrections < CORRECTIONS and isinstance(error, Refused):
            learnt = learn(refusal_in(error), self._dialect, values_of(self._fields))
        if learnt is None:
            raise error
        self._corrections += 1
        traits = learnt.traits_from(self._endpoint.dialect)
        traits.pop("window", None)
        self._dialect = learnt
        await self._connection.learn(self._model, traits)

    async def _succeed(self, usage: Usage | None, answered: str | None, reason: str | None) -> None:
        model = self._keyless(answered) or self._model
        cost = await self._charging.cost(usage or Usage(), model)
        amount = nanodollars(cost.amount) if cost is not None else None
        self._record("truncated" if reason == "length" else "ok", usage, amount, model)

    async def _fail(self, error: ChatstepError, *, begun: bool = False) -> None:
        if self._settled:
            return
        if self._endpoint.key is not None:
            self._endpoint.key.keep_out_of(error)
        error.details["attempts"] = self._attempts
        error.with_details(connection=self._connection.name, model=self._model, request_id=self.request_id)
        usage = error.details.pop("usage", None)
        amount = None
        if isinstance(usage, Usage):
            cost = await self._charging.cost(usage, self._model)
            amount = nanodollars(cost.amount) if cost is not None else None
        elif not begun and uncharged(error):
            amount = 0
        if self._attempts or self._charging.reservation is not None:
            self._record(error.code, usage if isinstance(usage, Usage) else None, amount, "")
        self._settled = True

    def _abandon(self) -> None:
        """Record a request that its client gave up; what it took is unknown, so a reservation stays."""
        self._charging.close()
        if self._sent and not self._settled:
            self._record("interrupted", None, nanodollars(Decimal(0)) if self._endpoint.free else None, "")

    def _record(self, outcome: str, usage: Usage | None, amount: int | None, answered: str) -> None:
        self._settled = True
        self._ctx.emit(
            Entry(
                time=time.time_ns() // 1_000_000,
                connection=self._connection.name,
                model=self._model,
                answered=answered,
                prompt=usage.prompt if usage else None,
                cached=usage.cached if usage else None,
                completion=usage.completion if usage else None,
                reasoning=usage.reasoning if usage else None,
                cost=amount,
                attempts=max(self._attempts, 1),
                outcome=outcome,
                duration_ms=int((time.perf_counter() - self._started) * 1000),
                request_id=self.request_id or "",
                reservation=self._charging.reservation,
            )
        )


async def _until_broken(body: Any, tap: UsageTap) -> AsyncGenerator[bytes, None]:
    """The blocks of a stream; one that breaks after its finish reason was whole, but for its token counts."""
    try:
        async for block in body:
            yield block
    except (Unreachable, TimedOut):
        if not tap.said_its_end:
            raise
