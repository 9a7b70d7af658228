"""The check looks into flows that are called, and at inputs of any step, a plugin's too."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.flows.checking import check
from chatstep.flows.definition import Flow, StepPart
from chatstep.flows.fitting import misfits
from chatstep.flows.reading import read_flow
from chatstep.flows.shapes import told
from chatstep.step import Step, step
from flow_samples import STEP, problems


def calling(name: str, *others: str, inputs: str = "") -> Flow:
    """A flow that calls these; it wants an input `topic` where ``inputs`` says so."""
    steps = "".join(f"  - {{id: s{at}, uses: flow.call, with: {{flow: {other}}}}}\n" for at, other in enumerate(others))
    return read_flow(f"name: {name}\n{inputs}steps:\n{steps or '  - {id: s, uses: a.b}'}\n")


def call_problems(flow: Flow, *others: Flow) -> list[tuple[str, str]]:
    from chatstep.flows.calls import cycle, problems_of_call

    known = {other.name: other for other in others}
    found = [
        (problem.place, problem.message)
        for at, part in enumerate(flow.steps)
        for problem in problems_of_call(part, flow, known, f"steps[{at}].with")
    ]
    way = cycle(flow, known)
    return [*found, *([(f"steps[{way[0]}]", way[1])] if way else [])]


def test_flows_that_call_each_other_in_a_circle() -> None:
    a, b, c = calling("a", "d", "b"), calling("b", "c"), calling("c", "d", "a")
    d = calling("d")
    assert call_problems(a, b, c, d) == [("steps[1]", "The flow calls itself: a → b → c → a.")]
    assert call_problems(c, a, b, d) == [("steps[1]", "The flow calls itself: c → a → b → c.")]
    assert call_problems(d, a, b, c) == []
    assert call_problems(calling("a", "a")) == [("steps[0]", "The flow calls itself: a → a.")]


def test_a_circle_elsewhere_is_not_this_flows_problem() -> None:
    assert call_problems(calling("x", "a"), calling("a", "b"), calling("b", "a")) == []


def test_a_call_of_a_flow_that_is_not_there_or_wants_other_inputs() -> None:
    shop = calling("shop", inputs="inputs: {topic: text, count: {type: whole, default: 3}}\n")
    assert call_problems(calling("a", "shp"), shop)[0][1] == "There is no flow `shp`."
    assert call_problems(calling("a", "shop"), shop) == [("steps[0].with", "Flow `shop` needs the input `topic`.")]
    given = "{topic: 5, cont: 1, count: '${{ x }}'}"
    text = f"name: a\nsteps: [{{id: s, uses: flow.call, with: {{flow: shop, inputs: {given}}}}}]\n"
    assert call_problems(read_flow(text), shop) == [
        ("steps[0].with.inputs.topic", "Flow `shop` wants text here."),
        ("steps[0].with.inputs.cont", "Flow `shop` has no input `cont`."),
    ]


def test_many_flows_that_call_many_are_looked_at_quickly() -> None:
    """The ways through them are countless; each flow is looked at once."""
    layers = [[f"l{layer}n{n}" for n in range(8)] for layer in range(20)]
    flows = [calling(name, *after) for layer, after in zip(layers, [*layers[1:], []], strict=True) for name in layer]
    assert call_problems(calling("a", *layers[0]), *flows) == []


class Inner(Struct):
    """A part of inputs."""

    kind: str
    size: int = 1

    def __post_init__(self) -> None:
        if self.kind == "bad":
            raise InvalidInput("This kind is not taken.", hint="Take another.")


class Inputs(Struct, kw_only=True):
    """Inputs of a step of somebody else."""

    inner: Inner
    loose: dict[str, Any] = {}
    flag: bool = False


class Output(Struct):
    """Its output."""

    flag: bool


def plugin(read: Any = None) -> Step:
    """A step of somebody else."""

    @step("acme.do", title="Do", inputs=Inputs, output=Output, read=read)
    async def do(inputs: Inputs, ctx: object) -> Output:
        """Do it."""
        return Output(inputs.flag)

    return do


def fit(given: dict[str, Any], read: Any = None) -> list[tuple[str, str]]:
    return [(found.place, found.message) for found in misfits(plugin(read), given, "with", lambda path: None)]


def test_inputs_of_any_step_are_judged_by_its_structs() -> None:
    assert fit({"inner": {"kind": "a"}, "flag": True}) == []
    assert fit({}) == [("with", "`inner` is missing.")]
    assert fit({"inner": {}}) == [("with.inner", "`kind` is missing.")]
    assert fit({"inner": {"kind": "${{ x }}", "size": "y"}}) == [
        ("with.inner.size", "Expected a whole number, got text.")
    ]
    assert fit({"inner": {"kind": "bad"}}) == [("with.inner", "This kind is not taken.")]
    assert fit({"inner": {"kind": "a", "sise": 1}}) == [("with.inner.sise", "Unknown field `sise`.")]
    assert fit({"inner": "${{ x }}", "loose": {"anything": ["${{ y }}"]}}) == []
    assert fit({"inner": "a ${{ x }}"}) == [("with.inner", "Expected a mapping; a text around an expression is text.")]


def test_a_step_that_reads_more_than_its_struct_says_decides() -> None:
    def read(values: dict[str, Any]) -> Inputs:
        if values["inner"] != "short" or values.get("flag") == "no":
            raise InvalidInput("No.")
        return Inputs(inner=Inner("a"))

    assert fit({"inner": "short"}, read) == []
    assert fit({"inner": "shrt"}, read) == [("with.inner", "Expected a mapping, got text.")]
    assert fit({"inner": "short", "flag": "no"}, read) == [("with.flag", "Expected true or false, got text.")]


def test_a_flow_without_source_is_checked_as_well() -> None:
    flow = Flow(name="a", steps=(StepPart(id="one", uses="nothing.here"),))
    assert [(found.line, found.place) for found in check(flow)] == [(0, "steps[0].uses")]


def test_a_called_flow_is_looked_into() -> None:
    called = read_flow("name: called\nsteps: [{id: s, uses: flow.set, with: {values: {}}}]\noutputs: {total: 1}\n")
    text = """\
name: a
steps:
  - {id: other, uses: flow.call, with: {flow: called, inputs: {x: 1}}}
  - {id: self, uses: flow.call, with: {flow: a}}
outputs:
  right: ${{ steps.other.outputs.total }}
  wrong: ${{ steps.other.outputs.totl }}
"""
    found = problems(text, known_flows={"called": called})
    assert [(problem.line, problem.place, problem.message) for problem in found] == [
        (3, "steps[0].with.inputs.x", "Flow `called` has no input `x`."),
        (4, "steps[1].with.flow", "The flow calls itself: a → a."),
        (7, "outputs.wrong", "There is no `totl` in `steps.other.outputs`."),
    ]
    assert [problem.place for problem in problems(text, known_flows=None)] == []


def test_two_flows_cannot_have_one_path() -> None:
    text = f"name: a\non: [{{webhook: {{path: shop}}}}]\nsteps: [{{id: s, uses: {STEP}, with: {{connection: c}}}}]\n"
    flow = read_flow(text)
    other = read_flow(text.replace("name: a", "name: b"))
    assert check(flow, known_flows={"a": flow}) == []
    found = check(flow, known_flows={"a": flow, "b": other})
    assert [(problem.place, problem.message) for problem in found] == [
        ("on[0].webhook.path", "Flow `b` is reached at this path.")
    ]


def test_what_msgspec_says_is_put_into_words() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"inner": {"kind": 1}}, Inputs)
    assert told(caught.value) == ("Expected text, got a whole number.", ".inner.kind")
