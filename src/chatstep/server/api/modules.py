"""The API: the modules and steps that are installed, with the JSON Schemas of what steps take and give."""

from __future__ import annotations

import asyncio
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import Struct

from chatstep.app import App
from chatstep.registry import modules as all_modules
from chatstep.registry import step_named, unknown
from chatstep.registry import steps as all_steps
from chatstep.server.api.endpoints import get
from chatstep.server.api.shapes import Page, PageWanted, paged
from chatstep.step import Effect, Field
from chatstep.step import Module as AnyModule
from chatstep.step import Step as AnyStep

__all__ = ["module", "modules", "step", "steps"]

Schema = dict[str, Any]


class Step(Struct, kw_only=True):
    """A step. `effect` says what it touches: nothing, the outside world, or the run itself."""

    name: str
    title: str
    doc: str
    effect: Effect


class StepSchemas(Step, kw_only=True):
    """A step with the JSON Schemas (2020-12) of what it takes and gives."""

    inputs: Schema
    output: Schema


class Kind(Struct, kw_only=True):
    """A kind of connection, the settings it has, and the word for what it serves."""

    name: str
    title: str
    serves: str
    fields: tuple[Field, ...]


class Module(Struct, kw_only=True):
    """A module: steps, kinds of connections, and formats of transcripts."""

    name: str
    title: str
    steps: tuple[str, ...]
    connection_kinds: tuple[Kind, ...]
    transcript_formats: tuple[str, ...]


@get("/api/steps")
async def steps(app: App, query: PageWanted) -> Page[Step]:
    """The steps that are installed, by name."""
    found = await asyncio.to_thread(all_steps)
    return paged(found.values(), lambda step: step.name, _step, query)


@get("/api/steps/{step}")
async def step(app: App, step: str) -> StepSchemas:
    """One step, with the JSON Schemas of its inputs and its output."""
    found = await asyncio.to_thread(step_named, step)
    plain = msgspec.structs.asdict(_step(found))
    return StepSchemas(**plain, inputs=msgspec.json.schema(found.inputs), output=msgspec.json.schema(found.output))


@get("/api/modules")
async def modules(app: App, query: PageWanted) -> Page[Module]:
    """The modules that are installed, by name."""
    found = await asyncio.to_thread(all_modules)
    return paged(found, lambda module: module.name, _module, query)


@get("/api/modules/{module}")
async def module(app: App, module: str) -> Module:
    """One module, with the settings that its connections have."""
    known = {each.name: each for each in await asyncio.to_thread(all_modules)}
    if module not in known:
        raise unknown("module", module[:80], known, place="module")
    return _module(known[module])


def _step(step: AnyStep) -> Step:
    return Step(name=step.name, title=step.title, doc=cleandoc(step.doc), effect=step.effect)


def _module(module: AnyModule) -> Module:
    kinds = [
        Kind(name=kind.name, title=kind.title, serves=kind.serves or kind.name, fields=kind.fields)
        for kind in module.connection_kinds
    ]
    return Module(
        name=module.name,
        title=module.title,
        steps=tuple(step.name for step in module.steps),
        connection_kinds=tuple(kinds),
        transcript_formats=tuple(each.name for each in module.transcript_formats),
    )
