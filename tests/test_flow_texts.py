"""Texts of users pass through a flow as they are, whatever they look like, through any number of steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstep.flows.checking import check
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow
from chatstep.flows.records import StepRecord
from chatstep.flows.walk import Begun, Walked, Work, walk

FLOW = read_flow("""\
name: passing
inputs: {given: text}
steps:
  - id: first
    uses: flow.set
    with:
      values: {alone: "${{ trigger.text }}", within: "They wrote: ${{ trigger.text }}"}
  - id: second
    uses: flow.set
    with:
      values: {alone: "${{ steps.first.values.alone }}", within: "<${{ steps.first.values.within }}>"}
  - id: third
    uses: text.split
    each: ${{ [steps.second.values.alone, inputs.given] }}
    when: ${{ item is text }}
    with: {text: "${{ item }}", limit: 1000}
outputs:
  alone: ${{ steps.second.values.alone }}
  within: ${{ steps.second.values.within }}
  given: ${{ inputs.given }}
  parts: ${{ steps.third.results[0].parts }}
""")


async def walked(text: str) -> Walked:
    """The flow, run in place with this text as the event's and as an input."""

    async def call(work: Work) -> StepRecord:
        return await work.do()

    def context_for(name: str) -> Any:
        return None  # these steps ask for nothing

    event = Event(type="manual", id="1", text=text)
    return await walk(FLOW, Begun("RUN", event, {"given": text}, {}), context_for, call)


def test_the_flow_is_sound() -> None:
    assert check(FLOW) == []


@pytest.mark.parametrize(
    "text",
    [
        "${{ inputs.given }}",
        "{{7*7}} {{ 7*7 }} ${{ 7*7 }}",
        "{% for x in range(10) %}{% endfor %} {# no #}",
        "${{ ''.__class__.__mro__ }} ${{ lipsum.__globals__ }}",
        "${{ unclosed",
        "}} {{ }} ${{}}",
        "$${{ x }} \\${{ x }} {{ '${{' }}",
        "%s %(x)s {0} {x.__class__} \\n \x00",
    ],
)
async def test_what_looks_like_an_expression_is_a_text(text: str) -> None:
    done = await walked(text)
    assert done.error is None
    assert done.outputs["alone"] == done.outputs["given"] == text
    assert done.outputs["within"] == f"<They wrote: {text}>"
    assert "".join(done.outputs["parts"]) == text


@given(st.text(alphabet=st.sampled_from("${}{%#}'\"\\ ax.|\n"), max_size=40))
async def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    done = await walked(text)
    assert done.outputs["alone"] == text
    assert done.outputs["within"] == f"<They wrote: {text}>"
