"""The walk through a flow's steps, without an engine: what each step gets, what is kept, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatstep.errors import InvalidInput, UnknownName
from chatstep.flows.definition import Flow
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow
from chatstep.flows.records import StepRecord
from chatstep.flows.walk import Begun, Walked, Work, inputs_of, walk
from chatstep.message import Author
from chatstep.step import Context


class Direct:
    """Calls each step at once, or gives what an earlier walk recorded."""

    def __init__(self, recorded: dict[str, StepRecord] | None = None) -> None:
        self.recorded = recorded or {}
        self.works: list[Work] = []

    async def __call__(self, work: Work) -> StepRecord:
        self.works.append(work)
        if work.name not in self.recorded or work.effect != "outside":
            self.recorded[work.name] = await work.do()
        return self.recorded[work.name]


class Alone:
    """What a step may ask for where there is no run."""

    run = listener = None


async def walked(flow: Flow | str, text: str = "hi", *, call: Direct | None = None, **names: Any) -> Walked:
    flow = read_flow(flow) if isinstance(flow, str) else flow
    event = Event(type="manual", id="1", text=text, author=Author("Ada", id="7"))
    given = names.pop("inputs", {})
    conversation = names.pop("conversation", {"id": None, "assistant": None, "messages": []})
    context: Any = Alone()

    def context_for(name: str) -> Context:
        return context  # type: ignore[no-any-return]

    return await walk(flow, Begun("run-1", event, inputs_of(flow, given), conversation), context_for, call or Direct())


def flow(steps: str, more: str = "") -> str:
    return f"name: shop\n{more}\nsteps:\n{steps}"


TWO = flow(
    """
  - id: first
    uses: acme.ask
    with: {text: "${{ trigger.text }} from ${{ trigger.author.name }}"}
  - id: second
    uses: acme.ask
    with: {text: "${{ steps.first.text }}!"}
""",
    'outputs: {said: "${{ steps.second.text }}", run: "${{ run.id }}"}',
)


async def test_each_step_is_fed_from_what_came_before(acme: Any) -> None:
    ended = await walked(TWO)
    assert acme.calls == [("ask", "hi from Ada"), ("ask", "HI FROM ADA!")]
    assert ended.outputs == {"said": "HI FROM ADA!", "run": "run-1"}
    assert ended.error is None
    first = ended.steps[0]
    assert (first.id, first.uses, first.state, first.attempts) == ("first", "acme.ask", "done", 1)
    assert first.inputs == {"text": "hi from Ada"}
    assert first.output == {"text": "HI FROM ADA", "key": None}
    assert first.began <= first.ended


async def test_a_walk_begun_anew_takes_the_same_way_and_asks_nothing_again(acme: Any) -> None:
    first = Direct()
    ended = await walked(TWO, call=first)
    acme.calls.clear()
    again = await walked(TWO, call=Direct(first.recorded))
    assert acme.calls == []
    assert again == ended


async def test_the_last_step_that_touches_the_world_is_told_apart(acme: Any) -> None:
    call = Direct()
    await walked(
        flow("""
  - {id: a, uses: acme.ask, with: {text: a}}
  - {id: b, uses: acme.ask, with: {text: "${{ item }}"}, each: "${{ ['x', 'y'] }}"}
  - {id: c, uses: acme.think, with: {text: c}}
"""),
        call=call,
    )
    assert [(work.name, work.effect, work.last) for work in call.works] == [
        ("a", "outside", False),
        ("b[0]", "outside", False),
        ("b[1]", "outside", True),
        ("c", "none", False),
    ]


async def test_a_step_that_is_not_wanted_is_skipped_and_says_so(acme: Any) -> None:
    ended = await walked(
        flow(
            """
  - {id: a, uses: acme.ask, with: {text: a}, when: "${{ trigger.text == 'other' }}"}
  - {id: b, uses: acme.ask, with: {text: b}, when: "${{ steps.a.skipped and not steps.a.failed }}"}
""",
            'outputs: {skipped: "${{ steps.a.skipped }}"}',
        )
    )
    assert [record.state for record in ended.steps] == ["skipped", "done"]
    assert ended.outputs == {"skipped": True}
    assert acme.calls == [("ask", "b")]


async def test_a_step_runs_once_per_item_in_order(acme: Any) -> None:
    ended = await walked(
        flow(
            """
  - id: each
    uses: acme.ask
    each: ${{ inputs.parts }}
    when: ${{ item != "skip" }}
    with: {text: "${{ index }} ${{ item }}"}
""",
            "inputs: {parts: list}\n"
            'outputs: {results: "${{ steps.each.results }}", failed: "${{ steps.each.failed }}"}',
        ),
        inputs={"parts": ["a", "skip", "b"]},
    )
    assert [(record.id, record.state) for record in ended.steps] == [
        ("each[0]", "done"),
        ("each[1]", "skipped"),
        ("each[2]", "done"),
    ]
    assert [(result.get("text"), result["skipped"]) for result in ended.outputs["results"]] == [
        ("0 A", False),
        (None, True),
        ("2 B", False),
    ]
    assert ended.outputs["failed"] is False


@pytest.mark.parametrize(
    ("items", "message"),
    [('"${{ trigger.text }}"', "Expected a list, got str"), ('"${{ inputs.many }}"', "has 10,001 items")],
)
async def test_what_cannot_be_gone_through_is_refused(acme: Any, items: str, message: str) -> None:
    ended = await walked(
        flow(f"  - {{id: a, uses: acme.ask, with: {{text: a}}, each: {items}}}", "inputs: {many: list}"),
        inputs={"many": [1] * 10_001},
    )
    assert ended.error is not None
    assert message in ended.error["message"]
    assert ended.error["place"] == "steps.a.each"
    assert acme.calls == []


async def test_a_failed_step_ends_the_walk_with_its_error(acme: Any) -> None:
    ended = await walked(
        flow("  - {id: a, uses: acme.refuse, with: {text: a}}\n  - {id: b, uses: acme.ask, with: {text: b}}")
    )
    assert ended.error is not None
    assert ended.error["error"] == "invalid_input"
    assert ended.error["step"] == "a"
    assert [record.state for record in ended.steps] == ["failed"]
    assert acme.calls == []


async def test_a_failed_step_may_be_passed_over(acme: Any) -> None:
    ended = await walked(
        flow(
            "  - {id: a, uses: acme.refuse, with: {text: a}, on_error: continue}\n"
            "  - {id: b, uses: acme.ask, with: {text: '${{ steps.a.error.message }}'}, when: '${{ steps.a.failed }}'}"
        )
    )
    assert ended.error is None
    assert acme.calls == [("ask", "That will not do.")]


async def test_items_that_fail_may_be_passed_over(acme: Any) -> None:
    acme.failures["y"] = acme.busy(1)
    steps = "  - {id: a, uses: acme.ask, with: {text: '${{ item }}'}, each: \"${{ ['x', 'y', 'z'] }}\"%s}"
    ended = await walked(
        flow(
            steps % ", on_error: continue", "outputs: {r: '${{ steps.a.results }}', e: '${{ steps.a.error.message }}'}"
        )
    )
    assert [result["failed"] for result in ended.outputs["r"]] == [False, True, False]
    assert ended.outputs["e"] == "The provider is down."
    acme.failures["y"] = acme.busy(1)
    ended = await walked(flow(steps % ""))
    assert ended.error is not None
    assert ended.error["step"] == "a[1]"
    assert [record.state for record in ended.steps] == ["done", "failed"]


async def test_what_may_pass_is_tried_again(acme: Any) -> None:
    acme.failures["a"] = acme.busy(2)
    ended = await walked(flow("  - {id: a, uses: acme.ask, with: {text: a}, retry: {attempts: 3, wait: 0}}"))
    assert ended.error is None
    assert ended.steps[0].attempts == 3
    acme.failures["a"] = acme.busy(2)
    ended = await walked(flow("  - {id: a, uses: acme.ask, with: {text: a}, retry: {attempts: 2, wait: 0}}"))
    assert ended.error is not None
    assert ended.steps[0].attempts == 2


async def test_what_would_fail_again_is_not_tried_again(acme: Any) -> None:
    acme.failures["a"] = [InvalidInput("No.")]
    ended = await walked(flow("  - {id: a, uses: acme.ask, with: {text: a}, retry: {attempts: 3, wait: 0}}"))
    assert ended.error is not None
    assert ended.steps[0].attempts == 1


async def test_a_step_that_takes_too_long_is_stopped(acme: Any) -> None:
    acme.gates["a"] = asyncio.Event()
    ended = await walked(flow("  - {id: a, uses: acme.ask, with: {text: a}, timeout: 0.1}"))
    assert ended.error is not None
    assert ended.error["error"] == "timed_out"
    assert "0.1 seconds" in ended.error["message"]


async def test_a_plugin_that_breaks_is_a_failure_without_its_text(acme: Any) -> None:
    ended = await walked(flow("  - {id: a, uses: acme.break, with: {text: secret}}"))
    assert ended.error is not None
    assert "ZeroDivisionError" in ended.error["message"]
    assert "secret" not in str(ended.error)


@pytest.mark.parametrize(
    "step", ["flow.set, with: {values: {x: '${{ inputs.x }}'}}", "flow.wait, with: {until: '${{ inputs.x }}'}"]
)
async def test_half_a_character_is_no_defect_of_a_step(step: str) -> None:
    ended = await walked(flow(f"  - {{id: a, uses: {step}}}", "inputs: {x: text}"), inputs={"x": "\ud800"})
    assert ended.error is not None
    assert (ended.error["error"], ended.steps[0].inputs) == ("invalid_input", {})


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("{}", "steps.a.with"),
        ("{text: 5}", "steps.a.with.text"),
        ("{text: a, other: b}", "steps.a.with"),
        ("{text: '${{ trigger.nothing }}'}", None),
        ("{text: '${{ steps.later.text }}'}", None),
    ],
)
async def test_wrong_inputs_fail_with_their_place(acme: Any, given: str, place: str | None) -> None:
    ended = await walked(flow(f"  - {{id: a, uses: acme.ask, with: {given}}}"))
    assert ended.error is not None
    assert ended.error["step"] == "a"
    if place is not None:
        assert ended.error["place"] == place
    assert acme.calls == []


async def test_an_output_of_50_mb_is_refused(acme: Any) -> None:
    ended = await walked(flow("  - {id: a, uses: acme.fill, with: {number: 50000000}}"))
    assert ended.error is not None
    assert "The step gave 50.0 MB; 10.0 MB can be kept." in ended.error["message"]
    assert ended.steps[0].output is None


async def test_a_run_keeps_only_so_much_in_all(acme: Any) -> None:
    ended = await walked(
        flow('  - {id: a, uses: acme.fill, with: {number: 9000000}, each: "${{ [1, 2, 3, 4, 5, 6] }}"}')
    )
    assert ended.error is not None
    assert ended.error["step"] == "a[5]"


async def test_an_output_that_cannot_be_made_is_an_error_with_its_place(acme: Any) -> None:
    ended = await walked(flow("  - {id: a, uses: acme.ask, with: {text: a}}", "outputs: {x: '${{ steps.a.nothing }}'}"))
    assert ended.error is not None
    assert ended.steps[0].state == "done"


async def test_a_users_text_is_never_an_expression(acme: Any) -> None:
    await walked(flow("  - {id: a, uses: acme.ask, with: {text: '${{ trigger.text }}'}}"), "${{ 7 * 6 }}")
    assert acme.calls == [("ask", "${{ 7 * 6 }}")]


INPUTS = """
name: shop
inputs:
  tone: {type: text, default: friendly}
  topic: text
  many: {type: whole, default: 3}
steps:
  - {id: a, uses: acme.ask, with: {text: "${{ inputs.tone }} ${{ inputs.topic }} ${{ inputs.many }}"}}
"""


async def test_inputs_have_defaults(acme: Any) -> None:
    await walked(INPUTS, inputs={"topic": "slugs"})
    assert acme.calls == [("ask", "friendly slugs 3")]


@pytest.mark.parametrize(
    ("given", "error", "place"),
    [
        ({}, InvalidInput, "inputs.topic"),
        ({"topic": 5}, InvalidInput, "inputs.topic"),
        ({"topic": "a", "many": True}, InvalidInput, "inputs.many"),
        ({"topic": "a", "ton": "b"}, UnknownName, "inputs.ton"),
    ],
)
def test_wrong_inputs_of_a_flow_are_refused(given: dict[str, Any], error: type[Exception], place: str) -> None:
    with pytest.raises(error) as caught:
        inputs_of(read_flow(INPUTS), given)
    assert caught.value.place == place  # type: ignore[attr-defined]
