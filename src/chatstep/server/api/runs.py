"""The API: runs of flows, and their states as they change."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from chatstep.app import App
from chatstep.flows.engine import Wanted
from chatstep.flows.events import Event
from chatstep.flows.records import RunRecord, RunState, StepRecord, StepState, cost_of
from chatstep.message import Author
from chatstep.server.api.endpoints import Body, Query, get, post
from chatstep.server.api.feed import changes, states_of
from chatstep.server.api.shapes import Page, PageWanted, Time, cursor, first_ms, last_ms, position, time_of

__all__ = ["cancel", "events", "rerun", "resume", "run", "run_events", "runs", "start"]

Id = Annotated[str, Meta(min_length=1, max_length=200)]


class StepInRun(Struct, kw_only=True):
    """A step of a run that has been done. `id` has `[n]` behind it in a step with `each`."""

    id: str
    state: StepState


class Run(Struct, kw_only=True):
    """A run, without what it was given and gave. `cost` is dollars as text, or unknown; null where none is counted."""

    id: str
    flow: str
    version: str
    state: RunState
    created: Time
    ended: Time | None
    conversation: str | None
    steps: tuple[StepInRun, ...]
    prompt_tokens: int
    completion_tokens: int
    cost: str | None
    recovered: Annotated[int, Meta(description="How often it was taken up again after a crash.")]
    merged_into: Annotated[str | None, Meta(description="The run that answered its message with later ones.")]
    error: Annotated[dict[str, Any] | None, Meta(description="What it failed with: `error` is the code.")]


class StepDone(StepInRun, kw_only=True):
    """A step of a run with what it got, gave and took. What is sealed in a connection is not in it."""

    uses: str
    inputs: dict[str, Any]
    output: Any
    error: dict[str, Any] | None
    attempts: int
    began: Time | None
    ended: Time | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: str | None
    maybe_repeated: Annotated[bool, Meta(description="A crash came in an earlier attempt, which may have acted.")]


class RunDetails(Run, kw_only=True):
    """A run with all that is kept of it; without content, where its flow says so."""

    event: Event
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    steps: tuple[StepDone, ...]


class RunsWanted(PageWanted, kw_only=True):
    """Which runs are wanted."""

    flow: Annotated[str | UnsetType, Meta(description="Only runs of this flow.")] = UNSET
    state: Annotated[RunState | UnsetType, Meta(description="Only runs in this state.")] = UNSET
    conversation: Annotated[str | UnsetType, Meta(description="Only runs of this conversation.")] = UNSET
    since: Annotated[date | UnsetType, Meta(description="Only runs begun on this day (UTC) or later.")] = UNSET
    until: Annotated[date | UnsetType, Meta(description="Only runs begun on this day (UTC) or before.")] = UNSET


class RunGiven(Body, kw_only=True):
    """A run to be begun: what `trigger` is in the flow, and the values of its inputs."""

    flow: Id
    text: str = ""
    author: Id | None = None
    conversation: Id | None = None
    event_id: Annotated[Id | None, Meta(description="The same id again is the same run. Without it, a new one.")] = None
    data: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    wait: Annotated[float, Meta(ge=0, le=300, description="So many seconds to wait for its end.")] = 0


class Begun(Struct, kw_only=True):
    """A run that was begun; `new` is false where the same event had begun it before."""

    new: bool
    run: RunDetails


class Again(Body, kw_only=True):
    """How to run it again. What the steps before `from` gave is taken over, and the run begins with that step."""

    step: Id | None = field(default=None, name="from")


class EventsWanted(Query, kw_only=True):
    """Which runs are to be told of."""

    flow: Annotated[str | UnsetType, Meta(description="Only runs of this flow.")] = UNSET


@get("/api/runs")
async def runs(app: App, query: RunsWanted) -> Page[Run]:
    """Runs, the newest first."""
    after = position(query.cursor, tuple[int, str])
    wanted = Wanted(
        flow=query.flow or None,
        state=query.state or None,
        conversation=query.conversation or None,
        since=first_ms(query.since) if query.since else None,
        until=last_ms(query.until) if query.until else None,
    )
    page = await app.flows.page(wanted, query.limit, after)
    return Page([_shown(record) for record in page.runs], cursor(page.next) if page.next else None)


@post("/api/runs", status=201)
async def start(app: App, body: RunGiven) -> Begun:
    """Begin a run of a published flow. It is stored when the answer comes, and done whatever happens."""
    event = Event(
        type="manual",
        id=body.event_id or secrets.token_hex(8),
        text=body.text,
        author=Author(body.author) if body.author else None,
        conversation=body.conversation,
        time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        data=body.data,
    )
    started = await app.flows.start(body.flow, event, body.inputs)
    if body.wait:
        try:
            async with asyncio.timeout(body.wait):
                await app.flows.wait(started.id)
        except TimeoutError:
            pass  # it goes on, and its state says so
    return Begun(new=started.new, run=await run(app, started.id))


@get("/api/runs/events")
async def events(app: App, query: EventsWanted) -> AsyncIterator[Run | None]:
    """The state of every run, as it changes from now on: one event `run` for each change, until you go away."""
    async for each in changes(app.flows, query.flow or None, int(time.time() * 1000)):
        yield None if each is None else _shown(each)


@get("/api/runs/{run}")
async def run(app: App, run: str) -> RunDetails:
    """One run, by its id or the beginning of it."""
    return _details(await app.flows.show(run))


@get("/api/runs/{run}/events")
async def run_events(app: App, run: str) -> AsyncIterator[Run | None]:
    """The state of one run, now and as it changes: one event `run` for each change, until it has ended."""
    said: Run | None = None
    async for each in states_of(app.flows, run):
        shown = None if each is None else _shown(each)
        yield shown if shown != said else None
        said = shown or said


@post("/api/runs/{run}/cancel")
async def cancel(app: App, run: str) -> RunDetails:
    """Stop a run before its next step, or before it begins."""
    return _details(await app.flows.show(await app.flows.cancel(run)))


@post("/api/runs/{run}/resume")
async def resume(app: App, run: str) -> RunDetails:
    """Let a run go on that was cancelled or given up. Steps that are done are not run again."""
    return _details(await app.flows.show(await app.flows.resume(run)))


@post("/api/runs/{run}/rerun", status=201)
async def rerun(app: App, run: str, body: Again) -> RunDetails:
    """Begin a new run with the event and inputs of this one, on the version that is published now."""
    return _details(await app.flows.show(await app.flows.rerun(run, body.step)))


def _shown(record: RunRecord) -> Run:
    steps = tuple(StepInRun(id=step.id, state=step.state) for step in record.steps)
    return Run(steps=steps, **_common(record))


def _details(record: RunRecord) -> RunDetails:
    return RunDetails(
        event=record.event,
        inputs=record.inputs,
        outputs=record.outputs,
        steps=tuple(map(_step, record.steps)),
        **_common(record),
    )


def _common(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "flow": record.flow,
        "version": record.version,
        "state": record.state,
        "created": time_of(record.created),
        "ended": None if record.ended is None else time_of(record.ended),
        "conversation": record.conversation,
        "prompt_tokens": sum(step.prompt_tokens or 0 for step in record.steps),
        "completion_tokens": sum(step.completion_tokens or 0 for step in record.steps),
        "cost": cost_of(record.steps),
        "recovered": record.recovered,
        "merged_into": record.merged_into,
        "error": record.error,
    }


def _step(step: StepRecord) -> StepDone:
    return StepDone(
        id=step.id,
        state=step.state,
        uses=step.uses,
        inputs=step.inputs,
        output=step.output,
        error=step.error,
        attempts=step.attempts,
        began=time_of(step.began) if step.began else None,
        ended=time_of(step.ended) if step.ended else None,
        prompt_tokens=step.prompt_tokens,
        completion_tokens=step.completion_tokens,
        cost=step.cost,
        maybe_repeated=step.maybe_repeated,
    )
