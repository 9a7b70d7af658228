"""An engine's life: stopping and starting again, what is sealed, full disks, lost databases, clocks that go back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chatstep.app import App
from chatstep.errors import InvalidInput, StoreError
from chatstep.message import Author
from chatstep.settings import Settings
from flowing import Flowing, eventually

TWO = """
name: two
steps:
  - {id: first, uses: acme.ask, with: {text: "${{ trigger.text }}"}}
  - {id: second, uses: acme.ask, with: {text: "${{ steps.first.text }}!"}}
outputs: {said: "${{ steps.second.text }}"}
"""
TALK = TWO.replace("name: two", "name: talk\nconversation: {}")
Opening = Callable[[], Any]


@pytest.fixture
def opening(settings: Settings, store_url: str | None, acme: Any) -> Opening:
    """Opens an App on the same data each time."""

    @asynccontextmanager
    async def opened(**more: Any) -> AsyncIterator[Flowing]:
        async with App.open(Settings(home=settings.home, store=store_url, **more), {}) as app:
            yield Flowing(app)

    return opened


async def test_stopping_finishes_the_step_under_way_and_the_next_process_goes_on(opening: Opening, acme: Any) -> None:
    acme.gates["hi"] = asyncio.Event()
    async with opening() as flowing:
        await flowing.publish(TWO)
        id = await flowing.start("two", "hi")
        await eventually(lambda: ("ask", "hi") in acme.calls)
        asyncio.get_running_loop().call_later(0.3, acme.gates["hi"].set)
    assert acme.calls == [("ask", "hi")]
    async with opening() as flowing:
        assert [step.id for step in (await flowing.engine.show(id)).steps] == ["first"]
        await flowing.engine.launch()
        run = await flowing.ended(id)
    assert acme.calls == [("ask", "hi"), ("ask", "HI!")]
    assert (run.state, run.outputs, run.recovered) == ("done", {"said": "HI!"}, 0)
    assert [step.maybe_repeated for step in run.steps] == [False, False]


async def test_a_wait_goes_on_in_the_next_process_and_is_not_begun_anew(opening: Opening, acme: Any) -> None:
    async with opening() as flowing:
        await flowing.publish("name: waits\nsteps:\n  - {id: a, uses: acme.wait, with: {seconds: 4}}")
        id = await flowing.start("waits")
        await eventually(lambda: _is(flowing, id, "waiting"))
    async with opening() as flowing:
        await flowing.engine.launch()
        run = await flowing.ended(id)
    assert run.state == "done"
    assert 4 <= (run.ended or 0) - run.created < 8  # twice the wait, had it begun anew


async def test_a_called_flow_is_not_begun_a_second_time(opening: Opening, acme: Any) -> None:
    acme.gates["hi"] = asyncio.Event()
    async with opening() as flowing:
        await flowing.publish("name: sub\nsteps:\n  - {id: a, uses: acme.ask, with: {text: hi}}\noutputs: {a: 1}")
        await flowing.publish(
            "name: caller\nsteps:\n  - {id: one, uses: acme.ask, with: {text: one}}\n"
            "  - {id: sub, uses: acme.call, with: {flow: sub}}\n"
            "  - {id: two, uses: acme.ask, with: {text: two}}\n"
            "outputs: {sub: '${{ steps.sub.outputs.a }}'}"
        )
        id = await flowing.start("caller")
        await eventually(lambda: ("ask", "hi") in acme.calls)
        asyncio.get_running_loop().call_later(0.3, acme.gates["hi"].set)
    async with opening() as flowing:
        await flowing.engine.launch()
        run = await flowing.ended(id)
        assert len(await flowing.engine.runs(flow="sub")) == 1
    assert (run.state, run.outputs) == ("done", {"sub": 1})
    assert [text for _, text in acme.calls if text != "hi"] == ["one", "two"]


async def test_a_run_that_waits_in_a_conversation_survives(opening: Opening, acme: Any) -> None:
    acme.gates["a"] = asyncio.Event()
    async with opening() as flowing:
        await flowing.publish(TALK)
        ids = [await flowing.start("talk", text, conversation="c") for text in ("a", "b", "c")]
        await eventually(lambda: ("ask", "a") in acme.calls)
        asyncio.get_running_loop().call_later(0.2, acme.gates["a"].set)
    async with opening() as flowing:
        await flowing.engine.launch()
        runs = [await flowing.ended(id) for id in ids]
    assert [run.state for run in runs] == ["done"] * 3
    assert [text for _, text in acme.calls] == ["a", "A!", "b", "B!", "c", "C!"]


async def test_the_clock_does_not_decide_the_order_in_a_conversation(opening: Opening, acme: Any) -> None:
    acme.gates["0"] = asyncio.Event()
    async with opening() as flowing:
        await flowing.publish(TALK)
        ids = [await flowing.start("talk", str(n), conversation="c") for n in range(4)]
        await eventually(lambda: ("ask", "0") in acme.calls)
        # As if the clock had been set back an hour before each message.
        await database(flowing, "UPDATE {}workflow_status SET created_at = created_at - 3600000 * priority")
        acme.gates["0"].set()
        for id in ids:
            await flowing.ended(id)
    assert [text for _, text in acme.calls if len(text) == 1] == ["0", "1", "2", "3"]


async def database(flowing: Flowing, statement: str) -> None:
    """Do something to the engine's own tables."""
    engine: Any = flowing.engine._database

    def change() -> None:
        with engine.begin() as connection:
            schema = "" if engine.dialect.name == "sqlite" else "chatstep_runs."
            connection.execute(sa.text(statement.format(schema)))

    await asyncio.to_thread(change)


SECRET = """
name: secret
keep_content: false
inputs: {pass: text}
steps:
  - {id: first, uses: acme.ask, with: {text: "${{ trigger.text }} ${{ inputs.pass }}"}}
  - {id: second, uses: acme.ask, with: {text: "${{ steps.first.text }}"}}
  - {id: wait, uses: acme.wait, with: {seconds: 1}}
  - {id: third, uses: acme.ask, with: {text: "${{ steps.second.text }} again"}}
outputs: {said: "${{ steps.third.text }}"}
"""


TABLES = (
    "SELECT table_schema || '.' || table_name FROM information_schema.tables"
    " WHERE table_schema IN ('public', 'chatstep_runs')"
)


async def test_content_that_is_not_kept_is_in_no_file(opening: Opening, acme: Any, settings: Settings) -> None:
    async with opening() as flowing:
        if flowing.app.settings.store is not None:
            return await _content_is_in_no_table(flowing, acme)
        run = await _secret_run(flowing)
        content = b"".join(file.read_bytes() for file in settings.home.iterdir())
        assert b"chatstep_run" in content  # else it was not looked at where runs are
        for marker in (b"MARKER", b"marker-text", b"marker-input", b"marker-author", b"marker-data"):
            assert marker not in content
        await flowing.engine.rerun(run.id)
    return None


async def _content_is_in_no_table(flowing: Flowing, acme: Any) -> None:
    await _secret_run(flowing)
    engine: Any = flowing.engine._database

    def content() -> str:
        with engine.connect() as connection:
            tables = connection.execute(sa.text(TABLES)).scalars().all()
            return "".join(str(connection.execute(sa.text(f"SELECT * FROM {table}")).all()) for table in tables)

    found = (await asyncio.to_thread(content)).lower()
    assert "chatstep_run" in found
    assert "marker" not in found


async def _secret_run(flowing: Flowing) -> Any:
    await flowing.publish(SECRET)
    given = {"inputs": {"pass": "marker-input"}, "author": Author("marker-author"), "data": {"a": "marker-data"}}
    id = await flowing.start("secret", "marker-text", **given)
    await eventually(lambda: _is(flowing, id, "waiting"))
    halfway = (await flowing.engine.show(id)).steps
    assert [(step.id, step.output, step.inputs) for step in halfway] == [("first", None, {}), ("second", None, {})]
    run = await flowing.ended(id)
    assert run.outputs == {"said": "MARKER-TEXT MARKER-INPUT AGAIN"}
    shown = await flowing.engine.show(id)
    assert (shown.state, shown.outputs, shown.inputs, shown.event.text) == ("done", {}, {}, "")
    assert [(step.id, step.state) for step in shown.steps] == [
        ("first", "done"),
        ("second", "done"),
        ("wait", "done"),
        ("third", "done"),
    ]
    return run


async def test_content_that_is_not_kept_survives_a_stop(opening: Opening, acme: Any) -> None:
    async with opening() as flowing:
        await flowing.publish(SECRET)
        id = await flowing.start("secret", "text", inputs={"pass": "word"})
        await eventually(lambda: _is(flowing, id, "waiting"))
    async with opening() as flowing:
        await flowing.engine.launch()
        assert (await flowing.ended(id)).outputs == {"said": "TEXT WORD AGAIN"}
        await flowing.ended(await flowing.engine.rerun(id, "third"))
    assert acme.calls[-1] == ("ask", "TEXT WORD again")


async def test_errors_of_runs_without_content_hold_none(opening: Opening, acme: Any) -> None:
    acme.failures["hi word"] = [InvalidInput("No.", partial="marker", hint="Less.")]
    async with opening() as flowing:
        await flowing.publish(SECRET)
        run = await flowing.run("secret", "hi", inputs={"pass": "word"})
        assert run.error is not None
        assert run.error["partial"] == "marker"
        shown = await flowing.engine.show(run.id)
    assert shown.error == {"error": "invalid_input", "message": "No.", "hint": "Less.", "step": "first"}
    assert shown.steps[0].error == {"error": "invalid_input", "message": "No.", "hint": "Less."}


async def test_runs_are_forgotten_when_the_setting_says_so(opening: Opening, acme: Any) -> None:
    async with opening() as flowing:
        await flowing.publish(TWO)
        old = (await flowing.run("two", "hi")).id
        new = (await flowing.run("two", "ho")).id
        await database(
            flowing,
            f"UPDATE {{}}workflow_status SET completed_at = completed_at - 172800000 WHERE workflow_uuid = '{old}'",
        )
    async with opening(retention_days=1) as flowing:
        await flowing.engine.launch()
        await eventually(lambda: _ids(flowing, [new]))


async def _ids(flowing: Flowing, wanted: list[str]) -> bool:
    return [run.id for run in await flowing.engine.runs()] == wanted


async def _is(flowing: Flowing, id: str, state: str) -> bool:
    return (await flowing.engine.show(id)).state == state


async def test_a_process_runs_flows_in_one_app(settings: Settings, tmp_path: Path, acme: Any) -> None:
    async with App.open(settings, {}) as first:
        await first.flows.launch()
        async with App.open(Settings(home=tmp_path / "other"), {}) as second:
            with pytest.raises(RuntimeError, match="one App per process"):
                await second.flows.launch()
            assert await second.flows.runs() == []
        await Flowing(first).publish(TWO)
        assert (await Flowing(first).run("two", "hi")).state == "done"


async def test_a_full_disk_holds_runs_up_and_loses_nothing(settings: Settings, acme: Any) -> None:
    """SQLite alone: what a step gave is held while it cannot be written, and events are refused."""
    acme.gates["hi"] = asyncio.Event()
    async with App.open(settings, {}) as app:
        flowing = Flowing(app)
        await flowing.publish(
            "name: big\nsteps:\n  - {id: a, uses: acme.ask, with: {text: hi}}\n"
            "  - {id: b, uses: acme.fill, with: {number: 300000}}\n  - {id: c, uses: acme.ask, with: {text: c}}\n"
        )
        id = await flowing.start("big")
        await eventually(lambda: ("ask", "hi") in acme.calls)
        await _pages(flowing, "(SELECT 1)")
        acme.gates["hi"].set()
        await asyncio.sleep(1)
        assert (await flowing.engine.show(id)).state == "running"
        assert acme.calls == [("ask", "hi")]
        with pytest.raises(StoreError, match="disk is full"):
            await flowing.start("big", "x" * 100_000, id="refused")
        await _pages(flowing, "1000000")
        run = await flowing.ended(id)
        assert (run.state, run.recovered) == ("done", 0)
        assert acme.calls == [("ask", "hi"), ("ask", "c")]
        assert (await flowing.run("big", "x" * 100_000, id="refused")).state == "done"


async def _pages(flowing: Flowing, most: str) -> None:
    """Let the database file have so many pages; fewer than it has means no more than it has."""
    engine: Any = flowing.engine._database

    def limit() -> None:
        with engine.connect() as connection:
            connection.execute(sa.text(f"PRAGMA max_page_count = {most if most.isdigit() else 1}"))

    await asyncio.to_thread(limit)


async def test_a_damaged_database_is_one_clear_error(settings: Settings, acme: Any) -> None:
    settings.home.mkdir()
    (settings.home / "runs.db").write_bytes(b"not a database at all" * 100)
    async with App.open(settings, {}) as app:
        with pytest.raises(StoreError, match="database of runs refused") as caught:
            await app.flows.runs()
        assert caught.value.place == "runs.db"
        with pytest.raises(StoreError, match="database of runs refused"):
            await app.flows.launch()
    assert (settings.home / "runs.db").read_bytes() == b"not a database at all" * 100


async def test_nothing_blocks_the_loop(settings: Settings, acme: Any, no_stalls: None) -> None:
    async with App.open(settings, {}) as app:
        flowing = Flowing(app)
        await flowing.publish(TALK)
        run = await flowing.run("talk", "hi", conversation="c")
        assert run.state == "done"
        await flowing.engine.show(run.id)


async def test_of_two_runs_that_were_let_in_at_once_the_later_one_steps_back(opening: Opening, acme: Any) -> None:
    """As when two processes take from a conversation's queue in the same moment."""
    from dbos._core import execute_dequeued_workflow

    acme.gates["a"] = asyncio.Event()
    async with opening() as flowing:
        await flowing.publish(TALK)
        first = await flowing.start("talk", "a", conversation="c")
        await eventually(lambda: ("ask", "a") in acme.calls)
        second = await flowing.start("talk", "b", conversation="c")
        process: Any = flowing.engine.process
        await database(
            flowing,
            f"UPDATE {{}}workflow_status SET status = 'PENDING', owner_xid = 'other', recovery_attempts = 1,"
            f" executor_id = '{process.executor}' WHERE workflow_uuid = '{second}'",
        )

        def let_in() -> None:
            (status,) = process._dbos._sys_db.get_workflow_statuses([second])
            execute_dequeued_workflow(process._dbos, status, "other")

        await asyncio.to_thread(let_in)
        await eventually(lambda: _is(flowing, second, "queued"))
        assert acme.calls == [("ask", "a")]
        acme.gates["a"].set()
        runs = [await flowing.ended(id) for id in (first, second)]
    assert [(run.state, run.recovered) for run in runs] == [("done", 0)] * 2
    assert [text for _, text in acme.calls] == ["a", "A!", "b", "B!"]
    assert not any(step.maybe_repeated for run in runs for step in run.steps)
