"""Runs of flows that say ``durable: false``: done in their process, stored when they have ended, seen as any other."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chatstep.app import App
from chatstep.errors import Busy
from chatstep.flows.checking import check
from chatstep.flows.engine import run_id
from chatstep.flows.engine.ends import EndedRun
from chatstep.flows.engine.job import Job
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow
from chatstep.flows.records import RunRecord
from chatstep.flows.walk import Interrupted
from chatstep.settings import Settings
from flowing import Flowing, eventually, new_database

pytestmark = pytest.mark.asyncio(loop_scope="module")

_names = count(1)


def saved_flow(more: str = "", text: str = "${{ trigger.text }}") -> str:
    return f"""
name: saved-{next(_names)}
durable: false
{more}
steps:
  - id: turn
    uses: acme.think
    with: {{text: "{text}"}}
  - id: ask
    uses: acme.ask
    with: {{text: "{text}"}}
outputs: {{message: "${{{{ steps.ask.text }}}}"}}
"""


def manual(id: str, text: str = "hi") -> Event:
    return Event(type="manual", id=id, text=text)


async def test_it_is_seen_as_any_other_run(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow())
    before = time.time()
    started = await flowing.engine.start(name, manual("1"))
    assert started.new
    assert started.record is not None
    record = await flowing.engine.wait(started.id)
    assert record == started.record == await flowing.engine.show(started.id)
    assert (record.state, record.outputs) == ("done", {"message": "HI"})
    assert [step.id for step in record.steps] == ["turn", "ask"]
    assert record.steps[1].output["key"] == f"{started.id}:ask"
    assert before <= record.created <= record.steps[0].began
    assert record.ended is not None
    assert record.steps[1].ended <= record.ended
    assert await flowing.engine.runs(flow=name) == [record]
    assert await flowing.engine.runs(flow=name, state="done") == [record]


async def test_a_failed_step_fails_it(flowing: Flowing, acme: Any) -> None:
    text = f"name: saved-{next(_names)}\ndurable: false\nsteps: [{{id: no, uses: acme.refuse, with: {{text: x}}}}]\n"
    record = await flowing.run(await flowing.publish(text))
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["step"] == "no"


async def test_the_same_event_is_done_once(flowing: Flowing, acme: Any) -> None:
    """Also while the first is under way, and after somebody stopped waiting for it."""
    acme.gates["slow"] = asyncio.Event()
    name = await flowing.publish(saved_flow())
    many = [asyncio.create_task(flowing.engine.start(name, manual("1", "slow"))) for _ in range(5)]
    await eventually(lambda: ("ask", "slow") in acme.calls)
    many[0].cancel()
    acme.gates["slow"].set()
    _, *others = await asyncio.gather(*many, return_exceptions=True)
    again = await flowing.engine.start(name, manual("1", "slow"))
    assert [one.record for one in others] == [again.record] * 4  # type: ignore[union-attr]
    assert not again.new
    assert [call for call in acme.calls if call[0] == "ask"] == [("ask", "slow")]
    assert len(await flowing.engine.runs(flow=name)) == 1


async def test_it_is_told_of_when_it_is_stored(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow())
    heard: list[Any] = []
    flowing.engine.listeners.append(lambda id, record: heard.append((id, record)))
    try:
        started = await flowing.engine.start(name, manual("1"))
    finally:
        flowing.engine.listeners.pop()
    assert [getattr(record, "uses", None) for _, record in heard] == ["acme.think", "acme.ask", None]
    assert heard[-1] == (started.id, started.record)


async def test_many_at_once_are_stored_before_they_are_told_of_and_together(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow())
    tasks = [asyncio.create_task(flowing.engine.start(name, manual(str(at)))) for at in range(100)]
    for task in asyncio.as_completed(tasks):
        found = await asyncio.to_thread(flowing.engine.process.rows.find, (await task).id, content=False)
        assert found is not None
    assert await asyncio.to_thread(_batches, flowing, name) < 50


def _batches(flowing: Flowing, name: str) -> int:
    sysdb = flowing.engine.process.rows._sysdb
    table = sysdb.tables.workflow_status
    with sysdb.engine.connect() as connection:
        ours = table.c.workflow_uuid.startswith(f"{name}.")
        return len(set(connection.scalars(sa.select(table.c.creator_xid).where(ours))))


async def test_a_text_that_cannot_be_kept_fails_its_run_alone(flowing: Flowing, acme: Any) -> None:
    half = f"""
name: saved-{next(_names)}
durable: false
steps: [{{id: turn, uses: acme.think, with: {{text: hi}}}}]
outputs: {{message: "\\ud83d"}}
"""
    names = [await flowing.publish(text) for text in (half, saved_flow())]
    broken, whole = await asyncio.gather(*(flowing.engine.start(name, manual("1")) for name in names))
    assert broken.record is not None
    assert broken.record.error is not None
    assert (broken.record.state, broken.record.error["place"]) == ("failed", "outputs")
    assert whole.record is not None
    assert whole.record.state == "done"


async def test_it_may_be_run_again(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow())
    first = await flowing.engine.start(name, manual("1"))
    acme.calls.clear()
    again = await flowing.ended(await flowing.engine.rerun(first.id, "ask"))
    assert again.outputs == {"message": "HI"}
    assert again.id != first.id
    assert acme.calls == [("ask", "hi")]


async def test_texts_are_sealed_where_the_flow_says_so(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow("keep_content: false"))
    started = await flowing.engine.start(name, manual("1", "a secret"))
    assert started.record is not None
    assert started.record.outputs == {"message": "A SECRET"}
    assert await flowing.ended(started.id) == started.record
    shown = await flowing.engine.show(started.id)
    assert (shown.outputs, shown.event.text, shown.steps[1].output) == ({}, "", None)
    row = await asyncio.to_thread(flowing.engine.process.rows.find, started.id)
    assert "secret" not in repr((row.input, row.output)).lower()  # type: ignore[union-attr]
    again = await flowing.ended(await flowing.engine.rerun(started.id))
    assert again.outputs == {"message": "A SECRET"}


async def test_old_ones_are_forgotten(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow())
    await flowing.engine.start(name, manual("1"))
    await flowing.engine.forget(0)
    assert await flowing.engine.runs(flow=name) == []
    assert (await flowing.engine.start(name, manual("1"))).new


async def test_another_process_may_be_faster(flowing: Flowing, acme: Any) -> None:
    """Both do it; the one whose end is stored first counts, for both."""
    acme.gates["race"] = asyncio.Event()
    name = await flowing.publish(saved_flow())
    event = manual("1", "race")
    ours = asyncio.create_task(flowing.engine.start(name, event))
    await eventually(lambda: ("ask", "race") in acme.calls)
    flow = await flowing.engine.current(name)
    theirs = RunRecord(
        id=run_id(flow, event),
        flow=name,
        version=flow.version,
        state="done",
        event=event,
        outputs={"message": "theirs"},
        created=time.time(),
    )
    job = Job(flow=name, version=flow.version, event=event, inputs={}).stored(None)
    end = EndedRun.of(theirs.id, theirs.created, job, {"run": theirs})
    assert await asyncio.to_thread(flowing.engine.process.rows.keep, [end]) == set()
    acme.gates["race"].set()
    started = await ours
    assert not started.new
    assert started.record == theirs


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = new_database(request.getfixturevalue("postgres_server")) if request.param == "postgres" else None
    return Settings(home=tmp_path / "home", store=url)


async def test_a_process_that_stops_lets_it_finish(settings: Settings, acme: Any) -> None:
    """And begins no other. DBOS is not launched for it."""
    acme.gates["slow"] = asyncio.Event()
    flow = read_flow(saved_flow())
    async with App.open(settings, {}) as app:
        await app.flows.publish(flow)
        running = asyncio.create_task(app.flows.start(flow.name, manual("1", "slow")))
        await eventually(lambda: ("ask", "slow") in acme.calls)
        assert app.flows.under_way == 1
        closing = asyncio.create_task(app.flows.close())
        await eventually(app.flows.process.closing.is_set)
        with pytest.raises(Interrupted):
            await app.flows.start(flow, manual("2"))
        acme.gates["slow"].set()
        await closing
        record = (await running).record
        assert not app.flows.process.launched
    async with App.open(settings, {}) as app:
        assert record is not None
        assert await app.flows.show(record.id) == record


async def test_one_that_does_not_finish_in_time_is_given_up(settings: Settings, acme: Any) -> None:
    acme.gates["never"] = asyncio.Event()
    flow = read_flow(saved_flow())
    async with App.open(settings, {}) as app:
        await app.flows.publish(flow)
        app.flows.process.grace = 0.05
        running = asyncio.create_task(app.flows.start(flow.name, manual("1", "never")))
        await eventually(lambda: ("ask", "never") in acme.calls)
        await app.flows.close()
        with pytest.raises(Busy, match="stopped"):
            await running
    async with App.open(settings, {}) as app:
        assert await app.flows.runs() == []


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("on: [{webhook: {path: x}}]", "on[0].webhook"),
        ("on: [chat, {schedule: {cron: '0 9 * * *'}}]", "on[1].schedule"),
        ("conversation: {debounce: 3}", "conversation"),
    ],
)
async def test_what_needs_to_survive_a_crash_is_refused(acme: Any, more: str, place: str) -> None:
    problems = check(read_flow(saved_flow(more)))
    assert [problem.place for problem in problems] == [place]
    assert "crash" in problems[0].message
    assert "durable" in (problems[0].hint or "")


@pytest.mark.parametrize("step", ["uses: flow.wait, with: {seconds: 1}", "uses: flow.call, with: {flow: other}"])
async def test_steps_that_hold_a_run_up_are_refused(acme: Any, step: str) -> None:
    problems = check(read_flow(f"name: x\ndurable: false\nsteps: [{{id: hold, {step}}}]\n"))
    assert [problem.place for problem in problems] == ["steps[0].uses"]


async def test_unchecked_such_a_flow_is_durable(flowing: Flowing, acme: Any) -> None:
    name = f"saved-{next(_names)}"
    text = f"name: {name}\ndurable: false\nsteps: [{{id: hold, uses: flow.wait, with: {{seconds: 0}}}}]\n"
    await flowing.publish(text)
    started = await flowing.engine.start(name, manual("1"))
    assert started.record is None
    assert (await flowing.ended(started.id)).state == "done"


async def test_called_by_another_flow_it_is_as_durable_as_that(flowing: Flowing, acme: Any) -> None:
    name = await flowing.publish(saved_flow(text="hi"))
    caller = f"name: caller-{next(_names)}\nsteps: [{{id: call, uses: flow.call, with: {{flow: {name}}}}}]\n"
    record = await flowing.run(await flowing.publish(caller))
    assert record.steps[0].output == {"outputs": {"message": "HI"}}
