"""The API: flows, their versions, and what is wrong with one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from msgspec import Meta, Struct

from chatstep.app import App
from chatstep.errors import ChatstepError, InvalidInput
from chatstep.flows.definition import Flow as AnyFlow
from chatstep.flows.definition import InputPart
from chatstep.flows.problems import Problem
from chatstep.flows.publishing import beside, judged
from chatstep.flows.publishing import publish as publish_text
from chatstep.flows.reading import LARGEST, read_draft, read_flow
from chatstep.flows.schema import flow_schema
from chatstep.server.api.endpoints import Body, delete, get, post
from chatstep.server.api.shapes import Page, PageWanted, Time, paged, time_of
from chatstep.store import PublishedFlow

__all__ = ["check", "flow", "flows", "publish", "publish_version", "schema", "unpublish", "version", "versions"]

Text = Annotated[str, Meta(min_length=1, max_length=LARGEST, description="The flow's YAML.")]


class Flow(Struct, kw_only=True):
    """A published flow. `on` names the types of its triggers, `steps` the ids of its steps."""

    name: str
    version: str
    published: Time
    description: str
    on: tuple[str, ...]
    steps: tuple[str, ...]


class FlowText(Flow, kw_only=True):
    """One version of a flow with its text, its inputs, and the paths below /hooks/ at which it is reached."""

    current: bool
    inputs: dict[str, InputPart]
    hooks: tuple[str, ...]
    text: str


class FlowVersion(Struct, kw_only=True):
    """A version by itself; `published` says when it first was."""

    version: str
    published: Time
    current: bool


class FlowGiven(Body, kw_only=True):
    """A flow to be published."""

    text: Text


class FlowChecked(Body, kw_only=True):
    """A flow to be looked at."""

    text: Text
    any_connection: Annotated[bool, Meta(description="Do not look whether its connections exist here.")] = False


class Checked(Struct, kw_only=True):
    """What is wrong with a flow. `name` is null where it has none."""

    ok: bool
    name: str | None
    problems: tuple[Problem, ...]


class Published(Struct, kw_only=True):
    """A flow as it was published; `new` says whether another version, or none, was published before."""

    new: bool
    flow: FlowText


@get("/api/flow-schema")
async def schema(app: App) -> dict[str, Any]:
    """The JSON Schema of flows, with the steps that are installed here, for editors."""
    return await asyncio.to_thread(flow_schema)


@get("/api/flows")
async def flows(app: App, query: PageWanted) -> Page[Flow]:
    """The published flows, by name."""
    found = await asyncio.to_thread(app.store.flows.all)
    return await asyncio.to_thread(paged, found, lambda each: each.name, _shown, query)


@post("/api/flows")
async def publish(app: App, body: FlowGiven) -> Published:
    """Publish a flow: new runs take this version. One with problems is refused, and all problems are in the answer."""
    flow, new = await publish_text(_lines(body.text), app.flows, app.connections)
    return Published(new=new, flow=await _version(app, flow.name, flow.version))


@post("/api/flow-check")
async def check(app: App, body: FlowChecked) -> Checked:
    """Say everything that is wrong with a flow: line, place and what to do. Nothing is stored."""
    try:
        draft = await asyncio.to_thread(read_draft, _lines(body.text))
    except ChatstepError as error:
        return Checked(ok=False, name=None, problems=(Problem(message=error.message, hint=error.hint),))
    around = await asyncio.to_thread(beside, app.connections, app.store)
    if body.any_connection:
        around = around._replace(connections=None)
    problems = await asyncio.to_thread(judged, draft, around)
    return Checked(ok=not problems, name=draft.flow.name or None, problems=tuple(problems))


@get("/api/flows/{flow}")
async def flow(app: App, flow: str) -> FlowText:
    """The published version of a flow, with its text."""
    current = await asyncio.to_thread(app.store.flows.current, flow)
    return await _version(app, flow, current.version)


@delete("/api/flows/{flow}")
async def unpublish(app: App, flow: str) -> None:
    """Take a flow back: nothing starts it any more. Runs under way go on, and its versions stay."""
    await asyncio.to_thread(app.store.flows.unpublish, flow)


@get("/api/flows/{flow}/versions")
async def versions(app: App, flow: str, query: PageWanted) -> Page[FlowVersion]:
    """Every version of a flow that was ever published, the one published last first."""
    found = await asyncio.to_thread(app.store.flows.versions, flow)
    return paged(
        found,
        lambda each: f"{2**53 - each.published:016}{each.version}",
        lambda each: FlowVersion(version=each.version, published=time_of(each.published / 1000), current=each.current),
        query,
    )


@get("/api/flows/{flow}/versions/{version}")
async def version(app: App, flow: str, version: str) -> FlowText:
    """One version of a flow, with its text."""
    return await _version(app, flow, version)


@post("/api/flows/{flow}/versions/{version}/publish")
async def publish_version(app: App, flow: str, version: str) -> Published:
    """Publish an earlier version again."""
    text = await asyncio.to_thread(app.store.flows.text, flow, version)
    made, new = await publish_text(_lines(text), app.flows, app.connections)
    return Published(new=new, flow=await _version(app, made.name, made.version))


def _lines(text: str) -> str:
    """A text that no reader takes for the name of a file."""
    return text if "\n" in text else f"{text}\n"


async def _version(app: App, name: str, version: str) -> FlowText:
    def found() -> FlowText:
        store = app.store.flows
        known = {each.version: each for each in store.versions(name)}
        text = store.text(name, version)
        made = read_flow(_lines(text))
        return FlowText(
            **_parts(made),
            name=name,
            version=version,
            published=time_of(known[version].published / 1000),
            current=known[version].current,
            inputs=made.inputs,
            hooks=tuple(trigger.path for trigger in made.on if trigger.path is not None),
            text=text,
        )

    return await asyncio.to_thread(found)


def _shown(each: PublishedFlow) -> Flow:
    try:
        made = read_flow(_lines(each.text))
    except InvalidInput:  # an older chatstep took it
        made = AnyFlow(name=each.name, description="It cannot be read any more: ask for what is wrong with it.", on=())
    return Flow(name=each.name, version=each.version, published=time_of(each.changed / 1000), **_parts(made))


def _parts(made: AnyFlow) -> dict[str, Any]:
    return {
        "description": made.description,
        "on": tuple(dict.fromkeys(trigger.type for trigger in made.on)),
        "steps": tuple(part.id for part in made.steps),
    }
