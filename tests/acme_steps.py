"""A plugin's steps for tests of flows, installed by the fixture `acme`. `calls` notes what each was called with."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from chatstep.errors import InvalidInput, ProviderDown
from chatstep.step import Context, Module, step

calls: list[tuple[str, Any]] = []
gates: dict[str, asyncio.Event] = {}
"""A step `acme.ask` whose text is in here waits for it."""
failures: dict[str, list[Exception]] = {}
"""What `acme.ask` raises for a text, one after the other, before it answers."""


class Text(Struct, kw_only=True, forbid_unknown_fields=True):
    text: str


class Number(Struct, kw_only=True, forbid_unknown_fields=True):
    number: int


class Wait(Struct, kw_only=True):
    seconds: float


class CallFlow(Struct, kw_only=True):
    flow: str
    inputs: dict[str, Any] = {}


class Delivery(Struct, kw_only=True):
    url: str
    text: str


class Delivered(Struct):
    status: int


class Answer(Struct):
    text: str
    key: str | None = None


class Answers(Struct):
    outputs: dict[str, Any]


class Nothing(Struct):
    pass


@step("acme.ask", title="Ask", inputs=Text, output=Answer)
async def ask(inputs: Text, ctx: Context) -> Answer:
    """Ask the world something."""
    calls.append(("ask", inputs.text))
    if inputs.text in gates:
        await gates[inputs.text].wait()
    if failures.get(inputs.text):
        raise failures[inputs.text].pop(0)
    return Answer(inputs.text.upper(), ctx.run.key if ctx.run else None)


@step("acme.deliver", title="Deliver", inputs=Delivery, output=Delivered)
async def deliver(inputs: Delivery, ctx: Context) -> Delivered:
    """Post a text, with the key by which a second delivery is known."""
    from chatstep.http import Request

    assert ctx.run is not None
    headers = {"Idempotency-Key": ctx.run.key}
    request = Request("POST", inputs.url, headers, inputs.text.encode())
    return await ctx.send(request, lambda reply: Delivered(reply.status))  # type: ignore[no-any-return]


@step("acme.think", title="Think", inputs=Text, output=Answer, effect="none")
async def think(inputs: Text, ctx: Context) -> Answer:
    """Turn a text around."""
    calls.append(("think", inputs.text))
    return Answer(inputs.text[::-1])


@step("acme.fill", title="Fill", inputs=Number, output=Answer)
async def fill(inputs: Number, ctx: Context) -> Answer:
    """Give a text of so many letters."""
    return Answer("x" * inputs.number)


@step("acme.wait", title="Wait", inputs=Wait, output=Nothing, effect="run")
async def wait(inputs: Wait, ctx: Context) -> Nothing:
    """Wait for a while."""
    assert ctx.run is not None
    await ctx.run.sleep(inputs.seconds)
    return Nothing()


@step("acme.call", title="Call", inputs=CallFlow, output=Answers, effect="run")
async def call(inputs: CallFlow, ctx: Context) -> Answers:
    """Call another flow."""
    assert ctx.run is not None
    return Answers(await ctx.run.call(inputs.flow, inputs.inputs))


@step("acme.break", title="Break", inputs=Text, output=Nothing)
async def break_(inputs: Text, ctx: Context) -> Nothing:
    """Break, as a plugin with a defect does."""
    raise ZeroDivisionError(inputs.text)


@step("acme.refuse", title="Refuse", inputs=Text, output=Nothing)
async def refuse(inputs: Text, ctx: Context) -> Nothing:
    """Refuse what was given."""
    raise InvalidInput("That will not do.", place="text")


def busy(times: int, retry_after: float | None = None) -> list[Exception]:
    """Failures that may pass, to be put into `failures`."""
    return [ProviderDown("The provider is down.", retry_after=retry_after) for _ in range(times)]


module = Module("acme", "Acme", steps=(ask, deliver, think, fill, wait, call, break_, refuse))
