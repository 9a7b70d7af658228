"""What the engine promises while nothing crashes, on SQLite and on Postgres; one engine for the whole file."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from chatstep.errors import InvalidInput, UnknownName
from chatstep.flows.records import RunRecord, StepRecord
from chatstep.message import Author
from flowing import Flowing, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TWO = """
name: two
inputs: {tone: {type: text, default: kind}}
steps:
  - {id: first, uses: acme.ask, with: {text: "${{ trigger.text }}"}}
  - {id: second, uses: acme.ask, with: {text: "${{ steps.first.text }} ${{ inputs.tone }}"}}
outputs: {said: "${{ steps.second.text }}"}
"""
TALK = """
name: talk
conversation: {id: "${{ trigger.conversation }}", assistant: Robin}
steps:
  - {id: first, uses: acme.ask, with: {text: "${{ trigger.text }}"}}
  - {id: second, uses: acme.think, with: {text: "saw ${{ conversation.messages | length }}"}}
outputs: {message: "${{ steps.first.text }}", seen: "${{ conversation.messages }}"}
"""


async def test_a_run_is_done_and_kept_with_all_its_steps(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    told: list[tuple[str, StepRecord | RunRecord]] = []
    flowing.engine.listeners.append(lambda id, record: told.append((id, record)))
    run = await flowing.run("two", "hi", author=Author("Ada"), inputs={"tone": "cold"})
    assert (run.state, run.outputs, run.error) == ("done", {"said": "HI COLD"}, None)
    assert [(step.id, step.state, step.inputs, step.maybe_repeated) for step in run.steps] == [
        ("first", "done", {"text": "hi"}, False),
        ("second", "done", {"text": "HI cold"}, False),
    ]
    assert run.steps[0].output == {"text": "HI", "key": f"{run.id}:first"}
    assert run.event.author == Author("Ada")
    assert run.inputs == {"tone": "cold"}
    assert run.recovered == 0
    assert run.created <= run.steps[0].began <= (run.ended or 0)
    assert await flowing.engine.show(run.id) == run
    assert [record.id for _, record in told] == ["first", "second", run.id]
    assert {id for id, _ in told} == {run.id}


async def test_a_failed_run_is_kept_with_its_error(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    acme.failures["hi"] = [InvalidInput("No.", hint="Ask for less.")]
    run = await flowing.run("two", "hi")
    assert run.state == "failed"
    assert run.error == {"error": "invalid_input", "message": "No.", "hint": "Ask for less.", "step": "first"}
    assert [step.state for step in run.steps] == ["failed"]
    assert await flowing.engine.show(run.id) == run


async def test_the_same_event_five_times_at_once_is_one_run(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    await flowing.publish(TALK)
    for name, conversation in (("two", None), ("talk", "redelivered")):
        acme.calls.clear()
        ids = await asyncio.gather(
            *(flowing.start(name, "hi", id="delivery-1", type="webhook", conversation=conversation) for _ in range(5))
        )
        assert len(set(ids)) == 1
        await flowing.ended(ids[0])
        again = await flowing.start(name, "hi", id="delivery-1", type="webhook", conversation=conversation)
        assert again == ids[0]
        assert [call for call in acme.calls if call == ("ask", "hi")] == [("ask", "hi")]
    messages = await asyncio.to_thread(flowing.app.store.conversations.read, "redelivered")
    assert [message.text for message in messages] == ["hi", "HI"]


async def test_whether_a_run_is_new_is_said(flowing: Flowing, acme: Any) -> None:
    from chatstep.flows.events import Event

    await flowing.publish(TWO)
    event = Event(type="webhook", id="told", text="hi")
    first = await flowing.engine.start("two", event)
    again = await flowing.engine.start("two", event)
    assert (first.new, again.new, first.id == again.id) == (True, False, True)
    other = await flowing.engine.start("two", Event(type="chat", id="told", text="hi"))
    assert other.new
    assert other.id != first.id
    for started in (first, other):
        await flowing.ended(started.id)


async def test_runs_of_one_conversation_follow_each_other(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TALK)
    acme.gates["0"] = asyncio.Event()
    ids = [await flowing.start("talk", str(n), conversation="ordered") for n in range(6)]
    await eventually(lambda: ("ask", "0") in acme.calls)
    await asyncio.sleep(0.2)
    assert [text for kind, text in acme.calls if kind == "ask"] == ["0"]
    assert (await flowing.engine.show(ids[3])).state == "queued"
    acme.gates["0"].set()
    runs = [await flowing.ended(id) for id in ids]
    assert [text for kind, text in acme.calls if kind == "ask"] == ["0", "1", "2", "3", "4", "5"]
    for earlier, later in pairwise(runs):
        assert earlier.steps[-1].ended <= later.steps[0].began
    seen = [[message["text"] for message in run.outputs["seen"]] for run in runs]
    assert seen == [[str(n // 2) for n in range(2 * k)] for k in range(6)]


async def test_different_conversations_run_side_by_side(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TALK)
    acme.gates["a"], acme.gates["b"] = asyncio.Event(), asyncio.Event()
    first = await flowing.start("talk", "a", conversation="left")
    second = await flowing.start("talk", "b", conversation="right")
    await eventually(lambda: {("ask", "a"), ("ask", "b")} <= set(acme.calls))
    acme.gates["b"].set()
    assert (await flowing.ended(second)).state == "done"
    acme.gates["a"].set()
    assert (await flowing.ended(first)).state == "done"


async def test_a_conversation_holds_each_message_and_reply_once(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TALK)
    for text in ("one", "two"):
        await flowing.run("talk", text, conversation="kept", id=f"m-{text}", author=Author("Ada"))
    messages = await asyncio.to_thread(flowing.app.store.conversations.read, "kept")
    assert [(message.author.name, message.text, message.reply_to) for message in messages] == [
        ("Ada", "one", None),
        ("Robin", "ONE", "m-one"),
        ("Ada", "two", None),
        ("Robin", "TWO", "m-two"),
    ]
    assert (await asyncio.to_thread(flowing.app.store.conversations.get, "kept")).assistant == Author("Robin")


async def test_an_event_without_a_conversation_is_run_outside_of_any(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TALK)
    run = await flowing.run("talk", "hi")
    assert (run.state, run.conversation, run.outputs["seen"]) == ("done", None, [])


async def test_a_burst_of_messages_is_answered_once(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TALK.replace("assistant: Robin", "assistant: Robin, debounce: 1").replace("talk", "burst"))
    ids = [await flowing.start("burst", text, conversation="burst") for text in ("a", "b", "c")]
    assert (await flowing.engine.show(ids[0])).state == "waiting"
    runs = [await flowing.ended(id) for id in ids]
    assert [run.state for run in runs] == ["merged", "merged", "done"]
    assert [run.merged_into for run in runs] == [ids[2], ids[2], None]
    assert [text for kind, text in acme.calls if kind == "ask"] == ["c"]
    assert [message["text"] for message in runs[2].outputs["seen"]] == ["a", "b"]


async def test_a_run_ends_on_the_version_it_began_with(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    acme.gates["hi"] = asyncio.Event()
    old = await flowing.start("two", "hi")
    await eventually(lambda: ("ask", "hi") in acme.calls)
    changed = TWO.replace("${{ steps.first.text }} ${{ inputs.tone }}", "changed")
    await flowing.publish(changed)
    new = await flowing.run("two", "other")
    acme.gates["hi"].set()
    assert (await flowing.ended(old)).outputs == {"said": "HI KIND"}
    assert new.outputs == {"said": "CHANGED"}
    assert (await flowing.engine.show(old)).version != new.version
    await flowing.publish(TWO)
    assert (await flowing.run("two", "back")).outputs == {"said": "BACK KIND"}


async def test_a_cancelled_run_begins_no_further_step_and_can_be_resumed(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    acme.gates["hi"] = asyncio.Event()
    id = await flowing.start("two", "hi")
    await eventually(lambda: ("ask", "hi") in acme.calls)
    assert await flowing.engine.cancel(id[:12]) == id
    acme.gates["hi"].set()
    run = await flowing.ended(id)
    assert (run.state, run.steps) == ("cancelled", ())
    assert acme.calls == [("ask", "hi")]
    with pytest.raises(InvalidInput, match="ended already"):
        await flowing.engine.cancel(id)
    await flowing.engine.resume(id)
    run = await flowing.ended(id)
    assert (run.state, run.outputs) == ("done", {"said": "HI KIND"})
    assert [step.maybe_repeated for step in run.steps] == [True, False]
    with pytest.raises(InvalidInput, match="cancelled or given up"):
        await flowing.engine.resume(id)


async def test_a_cancelled_run_makes_way_for_the_next_of_its_conversation(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TALK)
    acme.gates["stuck"] = asyncio.Event()
    stuck = await flowing.start("talk", "stuck", conversation="way")
    waits = await flowing.start("talk", "waits", conversation="way")
    after = await flowing.start("talk", "after", conversation="way")
    await eventually(lambda: ("ask", "stuck") in acme.calls)
    await flowing.engine.cancel(waits)
    await flowing.engine.cancel(stuck)
    assert (await flowing.ended(after)).state == "done"
    assert ("ask", "waits") not in acme.calls
    acme.gates["stuck"].set()
    await flowing.engine.resume(waits)
    assert (await flowing.ended(waits)).state == "done"


async def test_a_run_can_be_run_again_in_whole_or_from_a_step(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    acme.failures["HI kind"] = [InvalidInput("Not today.")]
    old = await flowing.run("two", "hi")
    assert old.state == "failed"
    acme.calls.clear()
    part = await flowing.ended(await flowing.engine.rerun(old.id, "second"))
    assert (part.state, part.outputs) == ("done", {"said": "HI KIND"})
    assert acme.calls == [("ask", "HI kind")]
    assert part.steps[0] == old.steps[0]
    whole = await flowing.ended(await flowing.engine.rerun(old.id))
    assert (whole.state, whole.event, whole.inputs) == ("done", old.event, old.inputs)
    assert acme.calls[1:] == [("ask", "hi"), ("ask", "HI kind")]
    with pytest.raises(UnknownName, match="step 'sec'"):
        await flowing.engine.rerun(old.id, "sec")


async def test_a_flow_may_call_another_once(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    await flowing.publish("""
name: caller
steps:
  - {id: sub, uses: acme.call, with: {flow: two, inputs: {tone: "${{ trigger.text }}"}}}
outputs: {said: "${{ steps.sub.outputs.said }}"}
""")
    acme.failures[""] = []
    run = await flowing.run("caller", "odd")
    assert (run.state, run.outputs) == ("done", {"said": " ODD"})
    called = [each for each in await flowing.engine.runs(flow="two") if each.event.type == "call"]
    assert [each.event.id for each in called] == [f"{run.id}:sub"]


async def test_a_failure_of_a_called_flow_fails_the_step(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    await flowing.publish("name: caller\nsteps:\n  - {id: sub, uses: acme.call, with: {flow: two}}")
    acme.failures[""] = [InvalidInput("No.")]
    run = await flowing.run("caller")
    assert run.state == "failed"
    assert run.error is not None
    assert (run.error["message"], run.error["step"]) == ("No.", "sub")


async def test_flows_that_call_each_other_without_end_are_stopped(flowing: Flowing, acme: Any) -> None:
    await flowing.publish("name: ping\nsteps:\n  - {id: a, uses: acme.call, with: {flow: pong}}")
    await flowing.publish("name: pong\nsteps:\n  - {id: a, uses: acme.call, with: {flow: ping}}")
    run = await flowing.run("ping")
    assert run.state == "failed"
    assert run.error is not None
    assert "more than 10 deep" in run.error["message"]


async def test_a_wait_is_waited(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(
        "name: waits\nsteps:\n  - {id: a, uses: acme.wait, with: {seconds: 0.5}}\n"
        "  - {id: b, uses: acme.ask, with: {text: b}}"
    )
    id = await flowing.start("waits")
    await eventually(lambda: _is(flowing, id, "waiting"))
    run = await flowing.ended(id)
    assert run.state == "done"
    assert run.steps[0].ended - run.steps[0].began >= 0.5


async def _is(flowing: Flowing, id: str, state: str) -> bool:
    return (await flowing.engine.show(id)).state == state


async def test_runs_are_listed_by_flow_and_state(flowing: Flowing, acme: Any) -> None:
    for name in ("lists", "lists-more"):
        await flowing.publish(TWO.replace("name: two", f"name: {name}"))
    acme.failures["bad"] = [InvalidInput("No.")]
    good = [(await flowing.run("lists", f"good {n}")).id for n in range(3)]
    bad = (await flowing.run("lists", "bad")).id
    await flowing.run("lists-more", "other")
    engine = flowing.engine
    assert {run.id for run in await engine.runs(flow="lists")} == {*good, bad}
    assert [run.id for run in await engine.runs(flow="lists", state="failed")] == [bad]
    assert {run.id for run in await engine.runs(flow="lists", state="done")} == set(good)
    assert len(await engine.runs(flow="lists", state="done", limit=2)) == 2
    assert await engine.runs(flow="lists", state="running") == []
    assert await engine.runs(flow="nothing") == []
    with pytest.raises(UnknownName, match="state 'dun'"):
        await engine.runs(state="dun")
    with pytest.raises(InvalidInput, match="Several runs begin so"):
        await engine.show("lists.")
    for unknown in ("lists.0000", "nothing", ""):
        with pytest.raises(UnknownName, match="no run"):
            await engine.show(unknown)


async def test_what_cannot_be_started_is_refused_before_anything_is_stored(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO)
    with pytest.raises(UnknownName, match="twoo"):
        await flowing.start("twoo")
    with pytest.raises(UnknownName, match="input 'ton'"):
        await flowing.start("two", inputs={"ton": "a"})
    with pytest.raises(InvalidInput, match="larger than 10 MB"):
        await flowing.start("two", "x" * 50_000_000, id="huge")
    assert acme.calls == []


async def test_finished_runs_are_forgotten_after_a_while(flowing: Flowing, acme: Any) -> None:
    await flowing.publish(TWO.replace("name: two", "name: old"))
    ids = [(await flowing.run("old", str(n))).id for n in range(3)]
    acme.gates["busy"] = asyncio.Event()
    busy = await flowing.start("old", "busy")
    assert await flowing.engine.forget(1) == 0
    assert await flowing.engine.forget(-1) >= 3
    for id in ids:
        with pytest.raises(UnknownName):
            await flowing.engine.show(id)
    acme.gates["busy"].set()
    assert (await flowing.ended(busy)).state == "done"


async def test_a_defect_of_the_engine_fails_the_run_and_is_no_riddle(
    flowing: Flowing, acme: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the result of a step stands there already; nothing hangs."""
    await flowing.publish(TWO)
    acme.gates["defect"] = asyncio.Event()
    id = await flowing.start("two", "defect")
    await eventually(lambda: ("ask", "defect") in acme.calls)
    rows = flowing.engine.process.rows
    await asyncio.to_thread(rows.record, id, 1, "first", '{"id": "first", "uses": "acme.ask"}', 0.0)
    acme.gates["defect"].set()
    run = await flowing.ended(id)
    assert run.state == "failed"
    assert run.error is not None
    assert "the engine failed" in run.error["message"]
    assert "DBOSStepNondeterminismError" in caplog.text
    assert (await flowing.run("two", "ho")).state == "done"
