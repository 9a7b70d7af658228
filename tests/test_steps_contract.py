"""What every installed step must meet, whoever wrote it."""

from __future__ import annotations

import asyncio
import logging
import re
import typing
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Meta

from chatstep.app import App
from chatstep.errors import Busy, ChatstepError, CredentialsRefused, InputError, InvalidInput, RateLimited, Refused
from chatstep.flows.attempts import read_inputs
from chatstep.flows.checking import check
from chatstep.flows.fitting import connections_in
from chatstep.flows.reading import read_draft
from chatstep.registry import connection_kind, steps
from chatstep.secret import Secret
from chatstep.step import Step
from chatstep.store import StoredConnection
from raw_server import Exchange, RawServer

PAGES = Path(__file__).resolve().parent.parent / "docs" / "steps"
KEY = "sk-marker-that-nobody-may-see"
EXAMPLES: dict[str, dict[str, Any]] = {
    "conversation.add": {"author": "Ana", "text": "The beans are up."},
    "conversation.read": {},
    "flow.call": {"flow": "other", "inputs": {"x": 1}},
    "flow.set": {"values": {"a": [1, "x"]}},
    "flow.wait": {"seconds": 60},
    "http.request": {"connection": "c", "url": "/", "method": "POST", "body": {"text": "Hello"}, "tries": 1},
    "openai.make_chat_completion": {"connection": "c", "message": "Hello"},
    "text.split": {"text": "The beans are up. The slugs know it.", "limit": 20},
}
"""Inputs with which a step runs. A connection is called `c`."""

ALL = steps()
STEPS = pytest.mark.parametrize("step", ALL.values(), ids=lambda step: step.name)
CONNECTED = pytest.mark.parametrize(
    "step",
    [step for step in ALL.values() if list(connections_in(step, EXAMPLES[step.name]))],
    ids=lambda step: step.name,
)
WAITING = pytest.mark.parametrize(
    "step", [step for step in ALL.values() if step.effect == "run"], ids=lambda step: step.name
)
NONSENSE: list[Any] = [
    None, True, -1, 1e308, 10**30, "", "x", "\x00", [], {}, [[None]], {"a": {"b": []}}, "x" * 100_000,
]  # fmt: skip


class Run:
    """A run whose waits never end; `reached` says that one has begun."""

    def __init__(self) -> None:
        self.id, self.flow, self.key, self.conversation = "run-1", "shop", "run-1:step", "garden"
        self.reached = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.reached.set()
        await asyncio.Event().wait()

    async def call(self, flow: str, inputs: Mapping[str, Any]) -> Any:
        self.reached.set()
        await asyncio.Event().wait()


class InRun:
    """The App's context, in a run."""

    def __init__(self, app: App, run: Run) -> None:
        context = app.context
        self.run, self.conversations, self.emit = run, context.conversations, context.emit
        self.connection, self.send, self.stream = context.connection, context.send, context.stream
        self.listener = context.listener


async def connect(app: App, step: Step, server: RawServer) -> None:
    """Store the connection `c` to a server, of a kind that the step asks for, with a key."""
    ((_, _, wanted),) = connections_in(step, EXAMPLES[step.name])
    kind = connection_kind(wanted)
    settings = {"base_url": f"http://127.0.0.1:{server.port}/v1", "allow_private": "yes", "tries": "1"}
    settings = {field.name: settings[field.name] for field in kind.fields if field.name in settings}
    secrets = {field.name: Secret(KEY) for field in kind.fields if field.secret}
    stored = StoredConnection("c", ALL[step.name].name.partition(".")[0], wanted, settings)
    await asyncio.to_thread(app.store.connections.add, stored, secrets)


async def do(app: App, step: Step, inputs: Mapping[str, Any] | None = None) -> Any:
    given = EXAMPLES[step.name] if inputs is None else inputs
    return await step.run(read_inputs(step, given, "with"), InRun(app, Run()))


@STEPS
def test_it_says_what_it_is(step: Step) -> None:
    module, _, name = step.name.partition(".")
    assert module
    assert name
    assert step.title[:1].isupper()
    assert step.doc.endswith(".")
    assert step.effect in ("none", "outside", "run")


@STEPS
def test_every_field_has_a_title_and_a_sentence(step: Step) -> None:
    for struct in (step.inputs, step.output):
        for field, hint in typing.get_type_hints(struct, include_extras=True).items():
            if field.startswith("__"):
                continue
            meta = next(meta for meta in hint.__metadata__ if isinstance(meta, Meta))
            assert meta.title, field
            assert meta.description, field
            assert meta.description.endswith("."), field


@STEPS
def test_a_field_that_does_not_exist_is_refused(step: Step) -> None:
    """A mistyped name must not be passed over in silence."""
    assert step.inputs.__struct_config__.forbid_unknown_fields
    assert step.inputs.__struct_config__.frozen


@STEPS
def test_inputs_and_output_have_a_json_schema(step: Step) -> None:
    """Forms, editors and the API read it."""
    for struct in (step.inputs, step.output):
        schema = msgspec.json.schema(struct)
        properties = schema["$defs"][struct.__name__]["properties"]
        assert set(properties) == {field.encode_name for field in msgspec.structs.fields(struct)}


@STEPS
def test_its_output_survives_a_database(step: Step) -> None:
    """What a run keeps is plain data; the fields of the output must be such."""
    fields = {field.name: field.type for field in msgspec.structs.fields(step.output)}
    assert fields
    assert not any("Secret" in str(kind) for kind in fields.values())


@STEPS
def test_the_flows_on_its_page_are_right(step: Step) -> None:
    page = (PAGES / f"{step.name}.md").read_text("utf-8")
    flows = [block for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S) if block.startswith("steps:")]
    assert any(f"uses: {step.name}" in flow for flow in flows)
    for flow in flows:
        draft = read_draft(f"name: example\nconversation: {{}}\n{flow}")
        assert [*draft.problems, *check(draft.flow)] == []


@STEPS
async def test_wrong_inputs_are_errors_of_ours(app: App, step: Step) -> None:
    """Whatever a flow gives: it is taken, or refused with the place; where it is taken, nothing breaks."""
    places = []
    for field in msgspec.structs.fields(step.inputs):
        for nonsense in NONSENSE:
            try:
                inputs = read_inputs(step, {**EXAMPLES[step.name], field.name: nonsense}, "with")
            except InputError as error:
                places.append(error.place or "")
                continue
            with suppress(ChatstepError, asyncio.CancelledError):
                assert msgspec.json.encode(msgspec.to_builtins(await given_up(step, inputs, app)))
    assert places
    assert all(place.startswith("with") for place in places)


async def given_up(step: Step, inputs: Any, app: App) -> Any:
    """What the step gives; one that waits is cancelled."""
    run = Run()
    doing = asyncio.create_task(step.run(inputs, InRun(app, run)))
    reached = asyncio.create_task(run.reached.wait())
    await asyncio.wait({doing, reached}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    if not doing.done():
        doing.cancel()
    return await doing


@CONNECTED
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (401, CredentialsRefused),
        (404, Refused),
        (429, RateLimited),
        (500, Busy),
        (503, Busy),
        (0, Busy),
    ],
)
async def test_failures_are_told_apart(app: App, step: Step, status: int, error: type[ChatstepError]) -> None:
    async def answer(exchange: Exchange) -> None:
        if not status:
            exchange.abort()
        else:
            await exchange.reply(status, b"because")

    async with RawServer(answer) as server:
        await connect(app, step, server)
        with pytest.raises(error):
            await do(app, step)


@CONNECTED
@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_a_key_is_never_shown(app: App, step: Step, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Also not where the server repeats all that it got."""

    async def answer(exchange: Exchange) -> None:
        said = {"error": {"message": f"You sent {exchange.headers}"}, "choices": [exchange.headers], KEY: KEY}
        told = " ".join(exchange.headers.values())
        await exchange.reply(status, msgspec.json.encode(said), content_type="application/json", x_request_id=told)

    async with RawServer(answer) as server:
        await connect(app, step, server)
        with caplog.at_level(logging.DEBUG):
            try:
                shown = msgspec.json.encode(msgspec.to_builtins(await do(app, step))).decode()
            except ChatstepError as error:
                shown = f"{error!r} {error} {error.to_data()}"
        assert KEY in str(server.requests[0].headers)
    assert KEY not in shown
    assert KEY not in caplog.text


@CONNECTED
async def test_who_cancels_it_ends_its_request(app: App, step: Step) -> None:
    asked = asyncio.Event()

    async def never(exchange: Exchange) -> None:
        asked.set()
        await exchange.until_gone()
        server.gone.set()

    async with RawServer(never) as server:
        await connect(app, step, server)
        before = asyncio.all_tasks()
        doing = asyncio.create_task(do(app, step))
        await asked.wait()
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        await server.gone.wait()
        assert asyncio.all_tasks() - before == set()


@WAITING
async def test_who_cancels_it_ends_its_wait(app: App, step: Step) -> None:
    run = Run()
    doing = asyncio.create_task(step.run(read_inputs(step, EXAMPLES[step.name], "with"), InRun(app, run)))
    await run.reached.wait()
    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing


@WAITING
async def test_without_a_run_it_says_what_it_needs(app: App, step: Step) -> None:
    with pytest.raises(InvalidInput) as caught:
        await step.run(read_inputs(step, EXAMPLES[step.name], "with"), app.context)
    assert caught.value.hint


@STEPS
async def test_it_gives_what_it_declares(app: App, step: Step) -> None:
    if step.effect == "run" or list(connections_in(step, EXAMPLES[step.name])):
        return  # these need somebody to answer, and have tests of their own
    first, again = await do(app, step), await do(app, step)
    assert type(first) is step.output
    if step.effect == "none":
        assert first == again
