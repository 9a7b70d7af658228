"""Once: requests that bear an Idempotency-Key. The same key gives the same answer, and one request to the provider.

The request goes on when its client leaves, since that client will come again with the same key. Whoever comes with it
meanwhile follows the same answer from its beginning; whoever comes later, within a day, gets the kept one. An answer
that failed is not kept, and the next one asks anew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from chatstep.errors import ChatstepError, StoreError
from chatstep.server.envelope import NotServed
from chatstep.server.under_way import UnderWay
from chatstep.store import KeptAnswer

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.modules.openai.forward import Forward

__all__ = ["Asking", "Once", "check_key"]

_log = logging.getLogger("chatstep.server")

LONGEST_KEY = 255
LARGEST = 16_000_000  # bytes of an answer that is kept
_RENEW = 5.0  # seconds


class Asking:
    """One answer on its way, for all who wait for it. It has what the door needs of a `Forward`."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.replayed = False
        self._blocks: list[bytes] = []
        self._error: ChatstepError | None = None
        self._begun = self.ended = False
        self._news = asyncio.Condition()

    @classmethod
    def of(cls, kept: KeptAnswer) -> Asking:
        """One that came before."""
        asking = cls()
        asking.headers, asking._blocks = {**kept.headers}, [kept.body]
        asking._begun = asking.ended = asking.replayed = True
        return asking

    async def ask(self, forward: Forward, *, stream: bool) -> None:
        """Ask the provider, once."""
        try:
            if stream:
                async with AsyncExitStack() as stack:
                    blocks = await forward.stream(stack)
                    if forward.request_id:
                        self.headers["x-request-id"] = forward.request_id
                    await self._tell(begun=True)
                    async for block in blocks:
                        await self._tell(block)
            else:
                reply = await forward.whole()
                self.headers |= forward.passed_on(reply)
                await self._tell(reply.body, begun=True)
        except ChatstepError as error:
            self._error = error
        except BaseException as error:  # whoever waits hears of it, too
            self._error = ChatstepError("The request was not finished; the server's log says why.")
            if not isinstance(error, asyncio.CancelledError):
                _log.exception("A request with an Idempotency-Key failed.")
            raise
        finally:
            self.ended = True
            await self._tell()

    @property
    def answer(self) -> KeptAnswer | None:
        """The whole answer, where it came to its end and is worth keeping."""
        whole = self.ended and self._error is None and sum(map(len, self._blocks)) <= LARGEST
        return KeptAnswer(b"".join(self._blocks), self.headers) if whole else None

    async def whole(self) -> bytes:
        """The answer in one piece; raises what the provider raised."""
        return b"".join([block async for block in self._follow()])

    async def stream(self, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        """The answer's blocks from the first one; raises what came instead of it."""
        async with self._news:
            await self._news.wait_for(lambda: self._begun or self.ended)
        if self._error is not None and not self._begun:
            raise self._error
        return self._follow()

    @property
    def all_headers(self) -> dict[str, str]:
        """The provider's that are passed on, and whether the answer was kept."""
        return {**self.headers, **({"idempotent-replayed": "true"} if self.replayed else {})}

    @property
    def request_id(self) -> str | None:
        """The provider's."""
        return self.headers.get("x-request-id")

    async def _follow(self) -> AsyncIterator[bytes]:
        at = 0
        while True:
            async with self._news:
                await self._news.wait_for(lambda: self.ended or len(self._blocks) > at)  # noqa: B023 - awaited at once
                blocks = self._blocks[at:]
            for block in blocks:
                yield block
            at += len(blocks)
            if self.ended and at == len(self._blocks):
                break
        if self._error is not None:
            raise self._error

    async def _tell(self, *blocks: bytes, begun: bool = False) -> None:
        async with self._news:
            self._blocks += blocks
            self._begun = self._begun or begun
            self._news.notify_all()


class Once:
    """The requests with keys of one server."""

    def __init__(self, app: App, under_way: UnderWay) -> None:
        self._app, self._under_way = app, under_way
        self._owner = secrets.token_hex(8)
        self._asking: dict[str, tuple[bytes, Asking, asyncio.Task[None]]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, who: tuple[str, str], body: bytes, forward: Forward, *, stream: bool) -> Asking:
        """The answer for this client and key: kept, under way, or asked for now."""
        client, key = who
        check_key(key)
        name = f"{client}\0{key}"
        async with self._turns.setdefault(name, asyncio.Lock()):
            return await self._found(name, body, forward, stream=stream)

    async def _found(self, name: str, body: bytes, forward: Forward, *, stream: bool) -> Asking:
        known = self._asking.get(name)
        if known is not None and known[1].ended:
            if known[0] == body and (answer := known[1].answer) is not None:
                return Asking.of(answer)
            await asyncio.wait([known[2]])  # it failed; its claim is on the way back
        if name not in self._asking:
            found = await asyncio.to_thread(self._app.store.answers.claim, name, self._owner, body)
            if isinstance(found, KeptAnswer):
                return Asking.of(found)
            if found == "another body":
                raise _reused()
            if found == "yours":
                asking = Asking()
                task = asyncio.create_task(self._ask(name, asking, forward, stream=stream))
                self._asking[name] = (body, asking, task)
        if name not in self._asking:
            raise NotServed(
                409,
                "A request with this Idempotency-Key is under way in another process.",
                code="idempotency_key_in_use",
                headers={"retry-after": "1", "x-should-retry": "true"},
            )
        asked, asking, _ = self._asking[name]
        if asked != body:
            raise _reused()
        return asking

    async def _ask(self, name: str, asking: Asking, forward: Forward, *, stream: bool) -> None:
        answers = self._app.store.answers
        renewing = asyncio.create_task(self._renew(name))
        try:
            with self._under_way:
                await asking.ask(forward, stream=stream)
        finally:
            renewing.cancel()
            # What cannot be kept was answered all the same; the claim runs out by itself.
            with suppress(StoreError):
                answer = asking.answer
                if answer is None:
                    await asyncio.to_thread(answers.release, name, self._owner)
                else:
                    await asyncio.to_thread(answers.keep, name, self._owner, answer)
            del self._asking[name]

    async def _renew(self, name: str) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            with suppress(StoreError):
                await asyncio.to_thread(self._app.store.answers.renew, name, self._owner)


def check_key(key: str) -> None:
    """Raise NotServed for what is no key."""
    if not 0 < len(key) <= LONGEST_KEY:
        raise NotServed(400, f"An Idempotency-Key has 1 to {LONGEST_KEY} characters.", code="invalid_value")


def _reused() -> NotServed:
    return NotServed(
        422,
        "This Idempotency-Key came before with another request. A key names one request.",
        code="idempotency_key_reused",
    )
