"""Checking flows: each kind of mistake is told with its line, its place and what to do, and sound flows pass."""

from __future__ import annotations

import pytest

from chatstep.flows.checking import check
from chatstep.flows.problems import Problem, located
from chatstep.flows.reading import read_draft, read_flow
from flow_samples import SOUND, STEP, around, one, problems, with_


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
