"""Checking flows: each kind of mistake is told with its line, its place and what to do, and sound flows pass."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import Struct
from ruamel.yaml import YAML

from chatstep.errors import InvalidInput
from chatstep.flows.checking import check
from chatstep.flows.definition import Flow, StepPart
from chatstep.flows.fitting import misfits
from chatstep.flows.problems import Problem, located
from chatstep.flows.reading import read_draft, read_flow
from chatstep.flows.schema import flow_schema
from chatstep.flows.shapes import told, wrong_path
from chatstep.step import Step, step

STEP = "openai.make_chat_completion"
SOUND = f"""\
name: shop
on:
  - chat
  - webhook:
      path: shop
      text: ${{{{ body.a.b }}}}
      author: ${{{{ headers.from }}}}
      conversation: ${{{{ query.chat }}}}
  - schedule: {{cron: "0 9 * * 1-5", zone: Europe/Berlin}}
inputs:
  tone: {{default: friendly}}
  count: whole
  options: mapping
  anything: any
conversation: {{id: "shop-${{{{ trigger.conversation }}}}"}}
steps:
  - id: reply
    uses: {STEP}
    with:
      connection: rehearsal
      instructions: You are ${{{{ inputs.tone }}}}.
      message: ${{{{ trigger.text }}}}
      history: {{assistant: Robin, messages: "${{{{ conversation.messages }}}}"}}
      max_tokens: ${{{{ inputs.count }}}}
      temperature: 0.5
      stop: [a, "${{{{ inputs.tone }}}}"]
      seed: ${{{{ inputs.anything.number }}}}
      extra: ${{{{ inputs.options }}}}
    on_error: continue
  - id: each
    uses: {STEP}
    with:
      connection: ${{{{ inputs.options.connection }}}}
      message: ${{{{ item.text }}}} ${{{{ index }}}} ${{{{ run.id }}}} ${{{{ trigger.author.name }}}}
    each: ${{{{ steps.reply.message_parts }}}}
    when: ${{{{ not steps.reply.failed and index < 3 }}}}
  - id: last
    uses: {STEP}
    with:
      connection: rehearsal
      message: >-
        ${{{{ steps.each.results[0].message }}}} ${{{{ steps.reply.usage.prompt }}}} ${{{{ steps.reply.cost.amount }}}}
        ${{{{ steps.reply.error.message }}}} ${{{{ trigger.data.body.a.b }}}}
    when: ${{{{ steps.each.skipped }}}}
outputs:
  message: ${{{{ steps.reply.message }}}}
  all: ["${{{{ steps.last.usage }}}}"]
"""


def problems(text: str, **known: Any) -> list[Problem]:
    """What is wrong with a text that can be read."""
    draft = read_draft(text)
    assert not draft.problems
    return check(draft.flow, lines=draft.lines, **{"known_connections": {"rehearsal": "openai"}, **known})


def one(text: str, **known: Any) -> Problem:
    """The only problem of a text."""
    found = problems(text, **known)
    assert len(found) == 1, found
    return found[0]


def around(line: str, more: str = "") -> str:
    """A flow whose one step holds this line, which is line 6 of the file."""
    return f"name: a\ninputs: {{tone: text, count: whole}}\nsteps:\n  - id: one\n    uses: {STEP}\n    {line}\n{more}"


def with_(fields: str, more: str = "") -> str:
    """A flow whose one step has these inputs, in line 6."""
    return around(f"with: {{connection: rehearsal, {fields}}}", more)


def test_a_sound_flow_has_no_problems() -> None:
    assert problems(SOUND) == []


@pytest.mark.parametrize(
    ("fields", "place", "said", "hint"),
    [
        ('max_tokens: "300"', "max_tokens", "Expected a whole number, got text.", "The longest reply"),
        ("max_tokens: 0", "max_tokens", "Expected a whole number of at least 1.", "The longest reply"),
        ("temperature: 3", "temperature", "Expected a number of at most 2.", "0 to 2"),
        ("window: sliding", "window", "`sliding` is not known here.", "Write one of: newest, steady."),
        ("stop: 5", "stop", "Expected text or a list or nothing, got a whole number.", "ends"),
        ("message: 5", "message", "Expected text or a mapping, got a whole number.", "answered"),
        ("mesage: hi", "mesage", f"`{STEP}` has no input `mesage`.", "Did you mean `message`?"),
        ("zzzzz: hi", "zzzzz", f"`{STEP}` has no input `zzzzz`.", "There are: connection, model"),
        ("history: {asistant: a}", "history.asistant", "Unknown field `asistant`.", "Did you mean `assistant`?"),
        ("history: {messages: [{author: 5, text: a}]}", "history.messages[0].author", "Expected text or a mapping", ""),
        ("seed: '${{ inputs.tone }}'", "seed", "Expected a number; `inputs.tone` is text.", "| int"),
        ("seed: 'a ${{ inputs.count }}'", "seed", "Expected a number; a text around an expression is text.", ""),
        ("model: '${{ inputs.count }}'", "model", "Expected text; `inputs.count` is a number.", "| string"),
        ("extra: '${{ trigger.text }}'", "extra", "Expected a mapping; `trigger.text` is text.", ""),
        ("model: '${{ nothing.x }}'", "model", "`nothing` is not a name that is known here.", "There are: inputs"),
        ("model: '${{ triger.text }}'", "model", "`triger` is not a name that is known here.", "`trigger`"),
        ("model: '${{ tone }}'", "model", "`tone` is not a name that is known here.", "An input is `inputs.tone`."),
        ("model: '${{ one }}'", "model", "`one` is not a name that is known here.", "A step's output is `steps.one`."),
        ("model: '${{ null }}'", "model", "`null` is not a name here.", "Write `none`."),
        ("model: '${{ env.KEY }}'", "model", "The environment cannot be read here.", "connection"),
        ("model: '${{ inputs.tne }}'", "model", "There is no `tne` in `inputs`.", "Did you mean `tone`?"),
        ("model: '${{ inputs.tone.x }}'", "model", "`inputs.tone` is text, so there is no `x` in it.", ""),
        ("model: '${{ trigger.autor }}'", "model", "There is no `autor` in `trigger`.", "Did you mean `author`?"),
        ("model: '${{ trigger.author.nme }}'", "model", "There is no `nme` in `trigger.author`.", "`name`"),
        ("model: '${{ conversation.id }}'", "model", "The flow has no `conversation`.", "Add `conversation: {}`"),
        ("model: '${{ item }}'", "model", "Only a step with `each` has an `item`.", "Add `each`"),
        ("model: '${{ body.x }}'", "model", "`body` is known in a webhook's own", "trigger.data.body"),
        ("model: '${{ run.number }}'", "model", "There is no `number` in `run`.", "There are: id."),
        ("model: '${{ steps.one.model }}'", "model", "A step cannot read its own output.", "before"),
        ("model: '${{ steps.none.x }}'", "model", "There is no step `none`.", "No step comes before this one."),
        ("model: '${{ inputs.tone | lowr }}'", "model", "There is no filter `lowr`.", "Did you mean `lower`?"),
        ("model: '${{ inputs.tone'", "model", "`${{` is not closed.", "Put `}}`"),
        ("model: '${{ inputs.tone.__class__ }}'", "model", "no `__class__` in it", ""),
        ("stop: ['${{ x }}']", "stop[0]", "`x` is not a name", "There are"),
        ("extra: {'${{ run.id }}': 1}", "extra.${{ run.id }}", "A key holds no expression.", "into a value"),
        ("extra: {a: {b: '${{ x }}'}}", "extra.a.b", "`x` is not a name", "There are"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_inputs_of_a_step(fields: str, place: str, said: str, hint: str) -> None:
    found = one(with_(fields))
    assert (found.line, found.place) == (6, f"steps[0].with.{place}")
    assert said in found.message
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("line", "place", "said", "hint"),
    [
        ("when: '${{ false }}'", "when", "never runs", "Remove"),
        ("when: false", "when", "never runs", "Remove"),
        ("when: '${{ 1 > 2 }}'", "when", "never runs", "Remove"),
        ("when: '${{ 1 > \"a\" }}'", "when", "cannot be compared", ""),
        ("when: '${{ inputs.tone }} and ${{ inputs.count }}'", "when", "one expression", "Put all of it into one"),
        ("when: '${{ inputs.tnoe }}'", "when", "no `tnoe`", "`tone`"),
        ("when: '${{ inputs.tone'", "when", "not closed", "}}"),
        ("each: '${{ [] }}'", "each", "never runs", "Remove"),
        ("each: '${{ 5 }}'", "each", "needs a list", "Such as"),
        ("each: '${{ inputs.tone }}'", "each", "`inputs.tone` is text", ""),
        ("each: '${{ item }}'", "each", "Only a step with `each`", ""),
        ("each: '${{ [1] }} '", "each", "one expression", "list"),
        ("each: '${{ x'", "each", "not closed", "}}"),
    ],
)
def test_what_is_wrong_with_when_and_each(line: str, place: str, said: str, hint: str) -> None:
    found = one(around(line, "    with: {connection: rehearsal}\n"))
    assert (found.line, found.place) == (6, f"steps[0].{place}")
    assert said in found.message
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("${{ steps.two.message }}", "Step `two` comes later, in line 9, so it has no output yet.", "Move it before"),
        ("${{ steps.zero.mesage }}", "There is no `mesage` in `steps.zero`.", "Did you mean `message`?"),
        ("${{ steps.zero.usage.promt }}", "There is no `promt` in `steps.zero.usage`.", "`prompt`"),
        ("${{ steps.zero.message.x }}", "`steps.zero.message` is text", ""),
        ("${{ steps.zero.message_parts.x }}", "is a list", "`steps.zero.message_parts[0]`"),
        ("${{ steps.zer.message }}", "There is no step `zer`.", "Did you mean `zero`?"),
        ("${{ steps.other.message }}", "There is no step `other`.", "Steps before this one: zero, many."),
        ("${{ steps.many.message }}", "There is no `message` in `steps.many`.", "steps.many.results[0].message"),
        ("${{ steps.many.x }}", "There is no `x` in `steps.many`.", "There are: results, failed, skipped, error."),
    ],
)
def test_what_is_wrong_with_a_reference_to_a_step(line: str, said: str, hint: str) -> None:
    text = f"""\
name: a
steps:
  - {{id: zero, uses: {STEP}, with: {{connection: rehearsal}}}}
  - {{id: many, uses: {STEP}, with: {{connection: rehearsal}}, each: "${{{{ [1] }}}}"}}
  - id: one
    uses: {STEP}
    with: {{connection: rehearsal, message: "{line}"}}

  - {{id: two, uses: {STEP}, with: {{connection: rehearsal}}}}
"""
    found = one(text)
    assert (found.line, found.place) == (7, "steps[2].with.message")
    assert said in found.message
    assert hint in (found.hint or "")


def test_the_first_step_of_that_name_is_meant() -> None:
    text = with_("", f"  - id: one\n    uses: {STEP}\n    with: {{connection: rehearsal}}\n")
    found = one(text)
    assert (found.line, found.message) == (7, "There is a step `one` already, in line 4.")


def test_an_id_with_a_hyphen_is_told_where_it_is_used() -> None:
    draft = read_draft(with_("").replace("id: one", "id: my-one") + 'outputs: {x: "${{ steps.my-one.message }}"}\n')
    assert [problem.place for problem in draft.problems] == ["steps[0].id"]
    hints = [problem.hint for problem in check(draft.flow, lines=draft.lines)]
    assert "An expression reads a hyphen as minus: write the step's id with _." in hints


@pytest.mark.parametrize(
    ("trigger", "place", "said", "hint"),
    [
        ("chat", "chat", "there twice", "Leave one"),
        ("webhook: {path: x}", "webhook", "there twice", "Leave one"),
        ("webhook: {path: y, secret: nowhere}", "webhook.secret", "no connection `nowhere`", "connections add nowhere"),
        ("webhook: {path: y, text: '${{ trigger.text }}'}", "webhook.text", "`trigger` is not", "body, headers, query"),
        ("webhook: {path: y, author: '${{ headers.a.b }}'}", "webhook.author", "`headers.a`", ""),
        ("webhook: {path: y, event_id: '${{ body.'}", "webhook.event_id", "not closed", "}}"),
        ("schedule: {cron: 0 8 * * *}", "schedule", "there twice", "Leave one"),
        ("schedule: {cron: 0 9 * *}", "schedule.cron", "no cron line", "Five fields"),
        ("schedule: {cron: 0 9 31 2 *}", "schedule.cron", "no cron line", ""),
        ("schedule: {cron: 0 25 * * *}", "schedule.cron", "no cron line", "Five fields"),
        ("schedule: {cron: 0 9 * * *, zone: Mars/Base}", "schedule.zone", "no time zone", "Europe/Berlin"),
        ("schedule: {cron: 0 9 * * *, zone: ../x}", "schedule.zone", "no time zone", "Europe/Berlin"),
    ],
)
def test_what_is_wrong_with_a_trigger(trigger: str, place: str, said: str, hint: str) -> None:
    on = "on:\n  - chat\n  - webhook: {path: x}\n  - schedule: {cron: 0 8 * * *}\n"
    on += "  - schedule: {cron: 0 8 * * *, zone: Europe/Berlin}\n"
    text = f"name: a\n{on}  - {trigger}\n"
    found = one(text + f"steps: [{{id: one, uses: {STEP}, with: {{connection: rehearsal}}}}]\n")
    assert (found.line, found.place) == (7, f"on[4].{place}")
    assert said in found.message
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ('conversation: {id: "${{ steps.one.message }}"}', "conversation.id", "No step has run yet here."),
        ('conversation: {id: "${{ conversation.id }}"}', "conversation.id", "`conversation` is not a name"),
        ('outputs: {x: "${{ steps.one.mesage }}"}', "outputs.x", "There is no `mesage`"),
        ('outputs: {x: [{y: "${{ item }}"}]}', "outputs.x[0].y", "Only a step with `each`"),
    ],
)
def test_what_is_wrong_elsewhere(line: str, place: str, said: str) -> None:
    found = one(with_("", line + "\n"))
    assert (found.line, found.place) == (7, place)
    assert said in found.message


@pytest.mark.parametrize(
    ("line", "place", "said", "hint"),
    [
        ("uses: openai.make_chat_complet", "uses", "There is no step", f"Did you mean `{STEP}`?"),
        ("uses: somewhere.else", "uses", "There is no step `somewhere.else`.", "There are: "),
        (f"uses: {STEP}", "with", "`connection` is missing.", "The name of the connection to use."),
        (f"uses: {STEP}\n    with: {{conection: a}}", "with.conection", "has no input `conection`", "`connection`"),
        (f"uses: {STEP}\n    with: {{connection: rehersal}}", "with.connection", "no connection", "`rehearsal`"),
    ],
)
def test_what_is_wrong_with_a_step(line: str, place: str, said: str, hint: str) -> None:
    found = one(f"name: a\nsteps:\n  - id: one\n    {line}\n")
    assert found.place == f"steps[0].{place}"
    assert said in found.message
    assert hint in (found.hint or "")


def test_connections_are_not_looked_at_where_none_are_known() -> None:
    text = with_("").replace("rehearsal", "another")
    assert one(text).message == "There is no connection `another` here."
    assert problems(text, known_connections=None) == []


def test_a_connection_must_serve_what_the_step_asks_for() -> None:
    known = {"rehearsal": "openai", "orders": "http", "gone": ""}
    found = one(with_("").replace("rehearsal", "orders"), known_connections=known)
    assert found.message == "The connection `orders` serves something else; one for `openai` is needed."
    assert found.hint == "There are: rehearsal, gone."
    assert problems(with_("").replace("rehearsal", "gone"), known_connections=known) == []
    hook = around("with: {connection: rehearsal}").replace(
        "name:", "on: [webhook: {path: x, secret: orders}]\nname:", 1
    )
    assert one(hook, known_connections=known).place == "on[0].webhook.secret"


def test_everything_is_told_at_once_in_the_order_of_lines() -> None:
    text = f"""\
name: a
on: [{{schedule: {{cron: x}}}}]
steps:
  - id: one
    uses: nothing.here
  - id: one
    uses: {STEP}
    with:
      max_tokens: x
      message: ${{{{ steps.two.message }}}} ${{{{ a }}}}
    when: false
outputs: {{x: "${{{{ b }}}}"}}
"""
    assert [(found.line, found.place) for found in problems(text)] == [
        (2, "on[0].schedule.cron"),
        (5, "steps[0].uses"),
        (6, "steps[1].id"),
        (8, "steps[1].with"),
        (9, "steps[1].with.max_tokens"),
        (10, "steps[1].with.message"),
        (10, "steps[1].with.message"),
        (11, "steps[1].when"),
        (12, "outputs.x"),
    ]


def test_lines_are_found_from_the_source() -> None:
    flow = read_flow(with_("max_tokens: x"))
    assert check(flow) == problems(with_("max_tokens: x"))


def test_a_place_that_has_no_line_takes_the_one_above() -> None:
    found = located([Problem(place="a.b[1].c", message="x"), Problem(place="q", message="y")], {"a.b": 4}, "")
    assert [problem.line for problem in found] == [0, 4]


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


SCHEMA = flow_schema()


def validated(text: str) -> list[str]:
    """The places at which an independent validator finds the schema broken."""
    value = YAML(typ="safe", pure=True).load(text)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.json_path for error in validator.iter_errors(value)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_sound_flow_fits_the_schema() -> None:
    assert validated(SOUND) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("name: Shop Bot\nsteps: [{id: a, uses: b.c}]\n", "$.name"),
        ("name: a\n", "$"),
        ("name: a\nsteps: []\n", "$.steps"),
        ("name: a\nsteps: [{id: a-b, uses: b.c}]\n", "$.steps[0].id"),
        ("name: a\nsteps: [{id: a}]\n", "$.steps[0]"),
        ("name: a\nstep: 1\nsteps: [{id: a, uses: b.c}]\n", "$"),
        ("name: a\nsteps: [{id: a, uses: b.c, when: yes please}]\n", "$.steps[0].when"),
        ("name: a\nsteps: [{id: a, uses: b.c, retry: {attempts: 21}}]\n", "$.steps[0].retry.attempts"),
        ("name: a\nsteps: [{id: a, uses: b.c, on_error: go}]\n", "$.steps[0].on_error"),
        ("name: a\non: [{webhook: {}}]\nsteps: [{id: a, uses: b.c}]\n", "$.on[0]"),
        ("name: a\non: [chta]\nsteps: [{id: a, uses: b.c}]\n", "$.on[0]"),
        ("name: a\ninputs: {x: txt}\nsteps: [{id: a, uses: b.c}]\n", "$.inputs.x"),
        (with_("max_tokens: x"), "$.steps[0].with.max_tokens"),
        (with_("window: sliding"), "$.steps[0].with.window"),
        (with_("mesage: x"), "$.steps[0].with"),
        (with_("history: {asistant: x}"), "$.steps[0].with.history"),
        (around("timeout: 5"), "$.steps[0]"),
    ],
)
def test_what_the_schema_refuses(text: str, path: str) -> None:
    assert validated(text) == [path]
    draft = read_draft(text)
    assert [*draft.problems, *check(draft.flow)]  # what the schema refuses, the check refuses too


def test_what_msgspec_says_is_put_into_words() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"inner": {"kind": 1}}, Inputs)
    assert told(caught.value) == ("Expected text, got a whole number.", ".inner.kind")


def test_a_value_of_which_nothing_is_known_has_any_field() -> None:
    assert wrong_path(None, ("a", "b"), 1) is None
    assert wrong_path({"x": None}, ("a", "x", "y"), 1) is None


ROOT = Path(__file__).resolve().parent.parent
SHOWN = re.findall(
    r"^<!-- file: (\S+) -->\n```yaml\n(.*?)^```$", (ROOT / "docs" / "flows.md").read_text("utf-8"), re.M | re.S
)
FILES = {name: text for name, text in SHOWN if name != "broken.yaml"} | {
    path.name: path.read_text("utf-8") for path in sorted((ROOT / "examples" / "flows").glob("*.yaml"))
}


@pytest.mark.parametrize("name", FILES)
def test_examples_and_the_flows_of_the_page_are_sound(name: str) -> None:
    assert problems(FILES[name]) == []
    assert validated(FILES[name]) == []


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((ROOT / "docs" / "flow.schema.json").read_text("utf-8"))
    assert published == json.loads(msgspec.json.encode(SCHEMA))


def test_every_yaml_of_the_page_is_a_whole_flow() -> None:
    page = (ROOT / "docs" / "flows.md").read_text("utf-8")
    assert page.count("```yaml") == len(SHOWN)


def test_every_example_is_run_somewhere() -> None:
    text = (ROOT / "tests" / "test_flow_examples.py").read_text("utf-8")
    examples = sorted((ROOT / "examples" / "flows").glob("*.yaml"))
    assert [path.stem for path in examples if f'run("{path.stem}"' not in text] == []
