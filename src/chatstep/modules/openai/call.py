"""One run of the step: prepare, correct what a server refuses, judge, record. Plain and streamed runs share it.

The order of things is the promise: the spend limit is reserved before anything is sent, and whatever happens then is
recorded, a failure as well as an answer, so that money which was spent is counted.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

from chatstep.errors import (
    BadAnswer,
    ChatstepError,
    ContextTooLong,
    Refused,
    RequestRefused,
)
from chatstep.http.values import Patience, Reply, Request, Timeouts
from chatstep.modules.openai import prices
from chatstep.modules.openai.answer import Answer
from chatstep.modules.openai.charging import Charging, uncharged
from chatstep.modules.openai.connection import Endpoint, endpoint_of
from chatstep.modules.openai.dialect import Dialect, learn
from chatstep.modules.openai.drafting import draft_for, takes_long
from chatstep.modules.openai.inputs import Completion, Cost, MakeChatCompletion
from chatstep.modules.openai.prices import Usage
from chatstep.modules.openai.refusals import read_refusal, refusal_in
from chatstep.modules.openai.request import Draft
from chatstep.modules.openai.tokens import PER_MESSAGE, REPLY, counter_for, message_tokens
from chatstep.modules.openai.wire import encode
from chatstep.parts import split_text
from chatstep.step import Connection, Context
from chatstep.store.ledger import Entry

__all__ = ["Call"]

CORRECTIONS = 2  # how often one call may be asked again in other words
LONG_REPLY = 4096  # tokens above which a reply may take ten minutes instead of two
_PATIENCE = Patience()
_TIMEOUTS, _LONG_TIMEOUTS = Timeouts(total=120.0), Timeouts(total=600.0)


class Call:
    """The state of one run, from inputs to a Completion or an error."""

    connection: Connection
    endpoint: Endpoint
    charging: Charging
    draft: Draft
    request_id: str | None = None
    _sent = 0
    _before = 0
    _corrections = 0
    _window: int | None = None
    _asked = False
    _answering = False
    _settled = False

    def __init__(self, inputs: MakeChatCompletion, ctx: Context) -> None:
        self.inputs = inputs
        self.ctx = ctx
        self._started = time.perf_counter()

    async def prepare(self, *, stream: bool) -> Request:
        """Build the request and set its worst case aside; called again after a correction."""
        inputs = self.inputs
        if self._corrections == 0:
            self.connection = await self.ctx.connection(inputs.connection)
            self.endpoint = endpoint_of(self.connection)
            self.charging = Charging(self.connection, inputs.model, (inputs.extra or {}).get("service_tier"))
        if takes_long(inputs, self.connection, roughly=not self.connection.limited):
            draft = await asyncio.to_thread(self._draft, stream)
        else:
            draft = self._draft(stream)
        self.draft = draft
        body = draft.encoded()
        await self.charging.prepare(self._most)
        self._asked = self._answering = True
        return Request(
            "POST", self.endpoint.chat_url(inputs.model), self.endpoint.headers(), body, turn=self.connection.turn
        )

    def _draft(self, stream: bool) -> Draft:
        connection = self.connection
        return draft_for(self.inputs, connection, stream=stream, roughly=not connection.limited, window=self._window)

    def _most(self) -> tuple[int, int]:
        """The most tokens that the request can take, of prompt and of reply."""
        prompt, body = self.draft.prompt, self.draft.body
        tokens = prompt.tokens
        if not prompt.exact:
            tokens += tokens // 2 + PER_MESSAGE * len(prompt.messages)
        beside = {name: body[name] for name in ("response_format", *(self.inputs.extra or ())) if name in body}
        if beside:
            tokens += len(encode(beside))  # schemas and tools are read as well; bytes outnumber tokens
        return tokens, self.draft.limit

    @property
    def timeouts(self) -> Timeouts:
        """How long one request may take: two minutes, ten for long replies, or what the connection says."""
        total = self.endpoint.total
        if total is None:
            return _TIMEOUTS if self.draft.limit <= LONG_REPLY else _LONG_TIMEOUTS
        return Timeouts(total=total, between=min(60.0, total))

    @property
    def patience(self) -> Patience:
        """How often a busy provider is asked again; under a limit, not where an attempt may have been charged."""
        if self.endpoint.tries is None and not self.connection.limited:
            return _PATIENCE
        return Patience(tries=self.endpoint.tries or _PATIENCE.tries, resend=not self.connection.limited)

    def judge(self, reply: Reply) -> bytes:
        """The body of a reply that is an answer; raises what it is instead."""
        self._sent = self._before + reply.attempt
        self.request_id = self._keyless(reply.headers.get("x-request-id"))
        if 200 <= reply.status < 300:
            return reply.body
        raise self._too_large(reply) or read_refusal(reply.status, reply.headers, reply.body)

    def _too_large(self, reply: Reply) -> RequestRefused | None:
        """A 429 that waiting does not help: the request alone asks for more tokens than a whole minute allows."""
        allowed = reply.headers.get("x-ratelimit-limit-tokens", "") if reply.status == 429 else ""
        # The draft's own count is never below the true one by much, so that most replies need no counting anew.
        limit = int(allowed) if allowed.isdecimal() and len(allowed) < 20 else 0
        if not 0 < limit < self.draft.prompt.tokens + self.draft.limit:
            return None
        if limit >= self._count_prompt() + self.draft.limit:
            return None
        return RequestRefused(
            f"The request asks for {self._count_prompt() + self.draft.limit:,} tokens at once; the account's limit is "
            f"{limit:,} a minute.",
            hint="Send less history (history_tokens), lower Max Tokens, or ask the provider for a higher limit.",
            status=429,
        )

    def opened(self, attempt: int, request_id: str | None) -> None:
        """Note the head of a stream: it counts as the last of ``attempt`` requests."""
        self._sent = self._before + attempt
        self.request_id = self._keyless(request_id)

    def _keyless(self, said: str | None) -> str | None:
        """What a server says of itself, without the key: it goes into results and the ledger."""
        key = self.endpoint.key
        return said if said is None or key is None else key.hidden(said)

    async def correct(self, error: ChatstepError) -> bool:
        """Learn from a refusal; True when asking again in other words is worth it. At most twice a call."""
        if self._corrections >= CORRECTIONS or not isinstance(error, Refused):
            return False
        if isinstance(error, ContextTooLong):
            learnt = self._shorter(error)
        else:
            dialect = learn(refusal_in(error), self.draft.dialect, self.draft.body)
            learnt = self._lesson(dialect) if dialect is not None else None
        if learnt is None:
            return False
        self._corrections += 1
        self._answering = False
        self._before += error.details.get("attempts", 1)
        if learnt:
            await self.connection.learn(self.inputs.model, learnt)
        return True

    def _lesson(self, dialect: Dialect) -> dict[str, Any]:
        """What to remember of this dialect, beside what other calls have learnt meanwhile."""
        base = self.endpoint.dialect
        learnt = dialect.traits_from(base)
        learnt.pop("window", None)  # this call's may be a guess, and one that a server named is remembered already
        if "refused" in learnt:
            known = base.with_traits(self.connection.traits(self.inputs.model)).refused
            learnt["refused"] = sorted((dialect.refused | known) - base.refused)
        return learnt

    def _shorter(self, error: ContextTooLong) -> dict[str, Any] | None:
        """What to learn from a prompt that was too long; None when it cannot be made shorter, or was already.

        A window that the server names is remembered. Where it names none, or one that our count stays below, a
        quarter is left out of this call alone.
        """
        prompt = self.draft.prompt
        if self._window is not None or not any(source >= 0 for source in prompt.sources):
            return None
        ours = self._count_prompt() + self.draft.limit
        named = error.details.get("limit")
        if named is not None and named <= self.draft.limit:
            named = None  # no window is that small: it was read amiss, and remembered it would let nothing pass again
        self._window = named if named is not None and named < ours else ours * 3 // 4
        return {"window": named} if named is not None else {}

    async def succeed(self, answer: Answer) -> Completion:
        """Record the answer and make it the step's output."""
        usage, truncated = answer.usage, answer.finish_reason == "length"
        warnings = self.draft.warnings
        if usage is None:
            usage = await asyncio.to_thread(self._estimated, answer.text)
            warnings.append("The provider gave no token counts; these are chatstep's own.")
        if truncated:
            warnings.append(f"The reply was cut by Max Tokens ({self.draft.limit:,}); raise it for a whole one.")
        if not answer.text.strip():
            warnings.append("The model answered with no text.")
        if usage.completion > self.draft.limit + 16:
            warnings.append(f"The server wrote {usage.completion:,} tokens; it does not keep to Max Tokens.")
        model = self._keyless(answer.model) or self.inputs.model
        cost = await self.charging.cost(usage, model)
        duration = time.perf_counter() - self._started
        self._record("truncated" if truncated else "ok", usage, cost, model)
        return Completion(
            message=answer.text,
            finish_reason=answer.finish_reason or "stop",
            truncated=truncated,
            refusal=answer.refusal or None,
            model=model,
            usage=usage,
            cost=cost if cost is not None else "unknown",
            dropped=self.draft.prompt.dropped,
            message_parts=split_text(answer.text, self.inputs.part_length) if self.inputs.part_length else (),
            request_id=self.request_id,
            attempts=max(self._sent, 1),
            duration=duration,
            warnings=tuple(warnings),
        )

    async def fail(self, error: ChatstepError, *, begun: bool = False) -> None:
        """Record what a failed run took, and add to the error what is known of it.

        ``begun`` says that a part of the answer had come: then it was not refused, and may be charged.
        """
        if not hasattr(self, "draft") or self._settled:
            return
        if self.endpoint.key is not None:
            self.endpoint.key.keep_out_of(error)
        self._sent = attempts = max(self._sent, self._before + error.details.get("attempts", 0))
        error.details["attempts"] = attempts
        error.with_details(connection=self.connection.name, model=self.inputs.model, request_id=self.request_id)
        usage = error.details.get("usage")
        cost = None
        if isinstance(usage, Usage):
            cost = await self.charging.cost(usage, self.inputs.model)
            error.details["usage"] = {name: getattr(usage, name) for name in usage.__struct_fields__}
        elif not self._answering or not attempts or (uncharged(error) and not begun):
            cost = Cost(Decimal(0))
        if isinstance(error, BadAnswer) and cost is not None:
            error.with_details(cost=str(cost.amount))
        if attempts or self.charging.reservation is not None:
            self._record(error.code, usage if isinstance(usage, Usage) else None, cost, "")
        self._settled = True

    def abandon(self) -> None:
        """Record a run that was given up in the middle; what it took is unknown, so a reservation stays."""
        if hasattr(self, "charging"):
            self.charging.close()
        if self._asked and not self._settled:
            unknown = self._answering and not self.endpoint.free
            self._record("interrupted", None, None if unknown else Cost(Decimal(0)), "")

    def _estimated(self, text: str) -> Usage:
        prompt, completion = self._count_prompt(), counter_for(self.draft.facts.encoding)[text]
        return Usage(prompt=prompt, completion=completion, total=prompt + completion)

    def _count_prompt(self) -> int:
        counter = counter_for(self.draft.facts.encoding)
        messages = self.draft.prompt.messages
        return REPLY + sum(message_tokens(counter, message.content, message.name) for message in messages)

    def _record(self, outcome: str, usage: Usage | None, cost: Cost | None, answered: str) -> None:
        self._settled = True
        self.ctx.emit(
            Entry(
                time=time.time_ns() // 1_000_000,
                connection=self.connection.name,
                model=self.inputs.model,
                answered=answered,
                prompt=usage.prompt if usage else None,
                cached=usage.cached if usage else None,
                completion=usage.completion if usage else None,
                reasoning=usage.reasoning if usage else None,
                cost=prices.nanodollars(cost.amount) if cost is not None else None,
                attempts=max(self._sent, 1),
                outcome=outcome,
                duration_ms=int((time.perf_counter() - self._started) * 1000),
                request_id=self.request_id or "",
                reservation=self.charging.reservation,
            )
        )
