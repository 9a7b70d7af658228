"""Reading a flow's file: what it becomes, that everything wrong is said at once with its line, and hostile YAML."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstep.errors import InvalidInput, UnreadableFile
from chatstep.flows import format as keys
from chatstep.flows.definition import ConversationPart, InputPart, Retry, StepPart, Trigger
from chatstep.flows.problems import Problem
from chatstep.flows.reading import LARGEST, fits, read_draft, read_flow

WHOLE = """\
name: shop
description: Answers customers.
on:
  - chat
  - webhook:
      path: shop
      secret: shop-hook
      event_id: ${{ body.id }}
      text: ${{ body.text }}
      author: ${{ body.from }}
      conversation: ${{ body.chat }}
  - schedule: {cron: "0 9 * * 1-5", zone: Europe/Berlin, missed: all}
inputs:
  tone: {type: text, default: friendly, description: How to speak.}
  nothing: {default: null}
  topic: text
conversation: {id: "${{ trigger.conversation }}", assistant: Robin, debounce: 3}
steps:
  - id: reply
    uses: openai.make_chat_completion
    with:
      connection: work
      max_tokens: 300
      stop: [a, 2026-01-14]
    when: ${{ trigger.text }}
    retry: {attempts: 5, wait: 2}
    timeout: 120
  - id: tell
    uses: http.request
    each: ${{ steps.reply.message_parts }}
    on_error: continue
    when: false
outputs:
  message: ${{ steps.reply.message }}
keep_content: false
"""


def test_a_whole_flow() -> None:
    flow = read_flow(WHOLE)
    assert (flow.name, flow.description, flow.keep_content) == ("shop", "Answers customers.", False)
    assert flow.source == WHOLE
    assert flow.on == (
        Trigger(type="chat", line=4),
        Trigger(
            type="webhook",
            path="shop",
            secret="shop-hook",
            event_id="${{ body.id }}",
            text="${{ body.text }}",
            author="${{ body.from }}",
            conversation="${{ body.chat }}",
            line=5,
        ),
        Trigger(type="schedule", cron="0 9 * * 1-5", zone="Europe/Berlin", missed="all", line=12),
    )
    assert flow.inputs == {
        "tone": InputPart(type="text", default="friendly", required=False, description="How to speak."),
        "nothing": InputPart(type="text", required=False),
        "topic": InputPart(type="text"),
    }
    assert flow.conversation == ConversationPart(assistant="Robin", debounce=3.0)
    assert flow.steps == (
        StepPart(
            id="reply",
            uses="openai.make_chat_completion",
            inputs={"connection": "work", "max_tokens": 300, "stop": ["a", "2026-01-14"]},
            when="${{ trigger.text }}",
            retry=Retry(attempts=5, wait=2.0),
            timeout=120.0,
            line=19,
        ),
        StepPart(
            id="tell",
            uses="http.request",
            when="${{ false }}",
            each="${{ steps.reply.message_parts }}",
            on_error="continue",
            line=28,
        ),
    )
    assert flow.outputs == {"message": "${{ steps.reply.message }}"}


def test_the_least_that_a_flow_has() -> None:
    flow = read_flow("name: a\nsteps: [{id: b, uses: c.d}]\n")
    assert flow.on == (Trigger(type="manual"),)
    assert (flow.inputs, flow.outputs, flow.conversation, flow.keep_content) == ({}, {}, None, True)


def test_the_values_are_plain_data() -> None:
    """What ruamel makes (texts and mappings of classes of its own) never leaves the reader."""
    flow = read_flow(WHOLE)
    assert type(flow.steps[0].uses) is str
    assert type(flow.steps[0].inputs) is dict
    assert type(flow.steps[0].inputs["max_tokens"]) is int
    assert msgspec.convert(msgspec.to_builtins(flow), type(flow)) == flow


def test_lines_of_everything() -> None:
    lines = read_draft(WHOLE).lines
    assert lines["steps[0].with.stop[1]"] == 24
    assert lines["on[1].webhook.text"] == 9
    assert lines["outputs.message"] == 34


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    assert read_flow(path) == read_flow(str(path)) == read_flow(WHOLE)
    assert read_flow(path).version == read_flow(WHOLE).version


def problems(text: str) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.place, problem.message) for problem in read_draft(text).problems]


BAD = """\
name: Shop Bot
discription: x
on:
  - chat
  - webhok: {path: a}
  - webhook: {pth: a}
  - schedule:
  - {chat: {}, manual: {}}
inputs:
  a-b: text
  n: {type: number, default: x}
  e: {default: "${{ 1 }}"}
  k: {type: txt}
conversation: {debounce: -1, assistant: ""}
steps:
  - id: my-step
    use: openai.make_chat_completion
    when: "yes"
    each: [1]
    retry: {attempts: 100, wait: 1.5.2}
    on_error: kontinue
    timeout: 0
  - 5
  - {id: a, uses: b.c, with: [1]}
outputs: x
keep_content: maybe
"""


def test_everything_wrong_is_said_at_once() -> None:
    assert problems(BAD) == [
        (1, "name", "This is not a usable name."),
        (2, "discription", "Unknown key `discription`."),
        (5, "on[1]", "Unknown trigger `webhok`."),
        (6, "on[2].webhook.pth", "Unknown key `pth`."),
        (7, "on[3].schedule", "`cron` is missing."),
        (8, "on[4]", "A trigger is one name, with its keys below it."),
        (10, "inputs.a-b", "This is not a usable name for an input."),
        (11, "inputs.n.default", "The default is not a number."),
        (12, "inputs.e.default", "A default cannot hold an expression."),
        (13, "inputs.k.type", "Unknown value `txt`."),
        (14, "conversation.assistant", "`assistant` is empty."),
        (14, "conversation.debounce", "`debounce` must be from 0 to 3600."),
        (16, "steps[0].id", "This is not a usable id."),
        (17, "steps[0].use", "Unknown key `use`."),
        (18, "steps[0].when", "`when` needs an expression."),
        (19, "steps[0].each", "Expected text, got a list."),
        (20, "steps[0].retry.attempts", "`attempts` must be from 1 to 20."),
        (20, "steps[0].retry.wait", "Expected a number, got text."),
        (21, "steps[0].on_error", "Unknown value `kontinue`."),
        (22, "steps[0].timeout", "`timeout` must be from 0.1 to 86400."),
        (23, "steps[1]", "Expected a mapping, got a whole number."),
        (24, "steps[2].with", "Expected a mapping, got a list."),
        (25, "outputs", "Expected a mapping, got text."),
        (26, "keep_content", "Expected true or false, got text."),
    ]


def test_a_misspelt_key_comes_with_the_nearest() -> None:
    hints = {problem.place: problem.hint for problem in read_draft(BAD).problems}
    assert hints["discription"] == "Did you mean `description`?"
    assert hints["on[1]"] == "Did you mean `webhook`?"
    assert hints["steps[0].use"] == "Did you mean `uses`?"
    assert hints["steps[0].on_error"] == "Did you mean `continue`?"


def test_an_error_holds_all_problems_as_data() -> None:
    with pytest.raises(InvalidInput, match=r"23 more problems") as caught:
        read_flow(BAD)
    found = msgspec.convert(caught.value.to_data()["problems"], list[Problem])
    assert found == read_draft(BAD).problems
    assert caught.value.place == "flow line 1, name"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("- a\n", "Expected a mapping, got a list"),
        ("name: a\n", "`steps` is missing"),
        ("name: a\nsteps: []\n", "at least one step"),
        ("name: a\nsteps: {a: b}\n", "Expected a list"),
        ("name: a\non: chat\nsteps: [{id: a, uses: b}]\n", "`on` is a list"),
        ("name: a\non: []\nsteps: [{id: a, uses: b}]\n", "No trigger"),
        ("name: a\nsteps: [{id: a, uses: ''}]\n", "`uses` is empty"),
        ("name: 7\nsteps: [{id: a, uses: b}]\n", "Expected text, got a whole number. Put it in quotes."),
        ("name: a\n1: 2\nsteps: [{id: a, uses: b}]\n", "A key must be text"),
        ("name: a\nsteps: [{id: a, uses: b, with: {x: !thing y}}]\n", "Tags"),
        ("name: a\nsteps: [{id: a, uses: b, with: {x: !!python/object:os.system y}}]\n", "Tags"),
        ("name: a\nsteps: [{id: a, uses: b, with: {x: .nan}}]\n", "no number"),
        ("name: a\nsteps: [{id: a, uses: b, with: {x: " + "[[1], " * 61 + "]" * 61 + "}}]\n", "nested deeper"),
        ("name: a\nsteps: [" + "{id: a, uses: b}," * 501 + "]\n", "at most 500 steps"),
    ],
)
def test_what_is_no_flow(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_flow(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: a\nname: b\n", 2, "the key `name` is there twice"),
        ("name: a\nsteps:\n\t- id: b\n", 3, "a tab stands"),
        ("name: a\n---\nname: b\n", 2, "second document"),
        ("name: [\n", 2, "Not YAML"),
        ('name: "a\nb: c\n', 3, "Not YAML"),
        ("name: *nowhere\n", 1, "Not YAML"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_draft(text)
    assert said in caught.value.message
    assert caught.value.place == f"flow line {line}"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "[" * 49_000,
        "[" + "a," * 120_000 + "]",
        "- [{" * 30_000,
        "- " * 100_000,
        "".join(f"{' ' * n}a:\n" for n in range(700)),
        "\0",
        "\x1b",
    ],
)
def test_yaml_that_nobody_would_write(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_draft(text + "\n")


def test_aliases_that_multiply_are_refused() -> None:
    bomb = "name: a\nsteps:\n  - id: a\n    uses: b.c\n    with:\n      a0: &a0 [x, x]\n"
    bomb += "".join(f"      a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    assert problems(bomb) == [(5, "steps[0].with", "This stands for more than 100,000 values.")]


def test_an_alias_may_be_used_twice() -> None:
    flow = read_flow("name: a\nsteps: [{id: a, uses: b.c, with: {x: &x [1], y: *x}}]\n")
    assert flow.steps[0].inputs == {"x": [1], "y": [1]}


def test_an_anchor_may_be_named_again() -> None:
    flow = read_flow("name: a\nsteps: [{id: a, uses: b.c, with: {x: &x [1], y: &x [2], z: *x}}]\n")
    assert flow.steps[0].inputs["z"] == [2]


def test_yaml_of_old_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"YAML 1\.1 is not read"):
        read_draft("# a flow\n%YAML 1.1\n---\nname: a\nsteps: [{id: a, uses: b.c, timeout: 1e3}]\n")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(10_000_000)
    for source in (path, "name: a\n" + "#" * LARGEST):
        with pytest.raises(InvalidInput, match="at most 256 kB"):
            read_draft(source)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="The flow cannot be read"):
        read_draft(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(UnreadableFile, match="not UTF-8"):
        read_draft(tmp_path / "latin.yaml")


def test_after_a_hundred_problems_it_stops() -> None:
    draft = read_draft("".join(f"key{n}: 1\n" for n in range(5000)))
    assert len(draft.problems) == 100


def test_long_keys_do_not_multiply() -> None:
    """A path repeats the keys above it, so a long key over many values could fill the memory."""
    text = "name: a\nsteps: [{id: a, uses: b}]\noutputs:\n  ? " + "k" * 100_000 + "\n  : [" + "1," * 20_000 + "]\n"
    draft = read_draft(text)
    assert not draft.problems
    assert max(map(len, draft.lines)) < 1200


@given(st.text(max_size=200))
def test_any_text_is_a_flow_or_refused(text: str) -> None:
    try:
        refused = bool(read_draft(text + "\n").problems)
    except InvalidInput:
        refused = True
    assert refused


@pytest.mark.parametrize(
    ("value", "types"),
    [
        ("a", {"text", "any"}),
        (1, {"number", "whole", "any"}),
        (1.5, {"number", "any"}),
        (True, {"flag", "any"}),
        ([], {"list", "any"}),
        ({}, {"mapping", "any"}),
        (None, {"any"}),
    ],
)
def test_the_types_of_inputs(value: object, types: set[str]) -> None:
    assert {kind for kind in keys.INPUT_TYPES if fits(value, kind)} == types


@pytest.mark.parametrize(
    ("table", "struct", "other"),
    [
        (keys.FLOW, "Flow", {"source"}),
        (keys.STEP, "StepPart", {"line", "inputs"}),
        (keys.RETRY, "Retry", set()),
        (keys.INPUT, "InputPart", {"required"}),
        (keys.CONVERSATION, "ConversationPart", set()),
    ],
)
def test_the_table_of_keys_has_every_field(table: tuple[keys.Key, ...], struct: str, other: set[str]) -> None:
    from chatstep.flows import definition

    fields = {field.name: field.default for field in msgspec.structs.fields(getattr(definition, struct))}
    assert {key.name for key in table} - {"with"} == fields.keys() - other
    for key in table:
        if key.default is not None:
            assert fields[key.name] == key.default


def test_the_tables_of_triggers_have_every_field() -> None:
    named = {key.name for _, table in keys.TRIGGERS.values() for key in table}
    assert named == set(Trigger.__struct_fields__) - {"type", "line"}
