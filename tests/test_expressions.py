"""Expressions: what they name, what they give, that nothing of Python is in reach, and that every size is bounded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.expressions import FILTERS, TESTS, evaluate, parse

NAMES: dict[str, Any] = {
    "inputs": {"count": 3, "tone": "kind", "items": [1, 2, {"a": "b"}], "price": 2.5, "none": None},
    "trigger": {"text": "hi", "author": None},
    "steps": {"reply": {"message": "Hello", "failed": False}, "said": {"keys": 1, "json": '{"ok": true}'}},
}


class Person(Struct):
    """A value with fields."""

    name: str
    id: str | None = None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ 7*7 }} {% if x %} {# no #} }} $ {", "{{ 7*7 }} {% if x %} {# no #} }} $ {"),
        ("${{ inputs.count }}", 3),
        ("${{inputs.count}}", 3),
        ("${{ inputs.count }}\n", 3),
        (" ${{ inputs.count }}", " 3"),
        ("a ${{ inputs.tone }}, b ${{ inputs.count }}.", "a kind, b 3."),
        ("${{ inputs.count }}${{ inputs.count }}", "33"),
        ("${{ inputs.items }}", [1, 2, {"a": "b"}]),
        ("x ${{ inputs.items }}", 'x [1,2,{"a":"b"}]'),
        ("x ${{ inputs.none }} ${{ true }} ${{ inputs.price }}", "x  true 2.5"),
        ("${{ steps.said.keys }}", 1),  # a key, not the method of dict
        ("${{ inputs['tone'] }}", "kind"),
        ("${{ inputs.items[2].a }}", "b"),
        ("${{ inputs.items[-1]['a'] }}", "b"),
        ("${{ inputs.items[:2] }}", [1, 2]),
        ("${{ 'hello'[1:3] }}", "el"),
        ("${{ inputs.count + 1 }}", 4),
        ("${{ 7 // 2 * 2 - 1 % 2 }}", 5),
        ("${{ 1 / 2 }}", 0.5),
        ("${{ -inputs.count }}", -3),
        ("${{ 'a' + 'b' }}", "ab"),
        ("${{ [1] + [2] }}", [1, 2]),
        ("${{ 1 ~ 'a' ~ none }}", "1a"),
        ("${{ inputs.count > 2 and 'h' in trigger.text }}", True),
        ("${{ 1 < inputs.count <= 3 }}", True),
        ("${{ not inputs.count }}", False),
        ("${{ 'x' not in inputs }}", True),
        ("${{ 'yes' if inputs.count == 3 else 'no' }}", "yes"),
        ("${{ 'yes' if inputs.count == 4 }}", None),
        ("${{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
        ("${{ '}}' }}", "}}"),
        ("${{ '${{' }} literally", "${{ literally"),
        (r"${{ 'a\n\'b\'' }}", "a\n'b'"),
        ("${{ trigger.author.name | default('friend') }}", "friend"),
        ("${{ trigger.author | default('friend') }}", "friend"),
        ("${{ steps.reply.nothing is defined }}", False),
        ("${{ trigger.author is defined }}", True),
        ("${{ trigger.author is none }}", True),
        ("${{ (steps.said.json | fromjson).ok }}", True),
        ("${{ inputs.items | join(', ') }}", '1, 2, {"a":"b"}'),
        ("${{ 'a,b' | split(',') | last | upper }}", "B"),
        ("${{ ' a ' | trim | length }}", 1),
        ("${{ '12' | int + 1 }}", 13),
        ("${{ '2.56' | float | round(1) }}", 2.6),
        ("${{ 'hello' | truncate(3) }}", "he…"),
        ("${{ 'aXb' | replace('X', '-') | lower }}", "a-b"),
        ("${{ 5 | string }}", "5"),
        ("${{ inputs.items | tojson }}", '[1,2,{"a":"b"}]'),
        ("${{ trigger.text is starting_with('h') and trigger.text is ending_with 'i' }}", True),
        ("${{ inputs is mapping and 1 is number and [] is list and '' is text }}", True),
        ("${{ [] | first }}", None),
    ],
)
def test_what_an_expression_gives(text: str, value: object) -> None:
    given = parse(text).evaluate(NAMES)
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ lipsum }}", "`lipsum` is not a name that is known here.*inputs, trigger, steps"),
        ("${{ lipsum | default(1) }}", "not a name that is known here"),
        ("${{ steps.reply.mesage }}", "There is no `mesage` in `steps.reply`.*message, failed"),
        ("${{ trigger.author.name }}", "`trigger.author` holds nothing"),
        ("${{ [1][4] }}", r"no item \[4\]"),
        ("${{ 1 / 0 }}", "divided by 0"),
        ("${{ 1 + 'a' }}", "a ~ b"),
        ("${{ 1 < 'a' }}", "cannot be compared"),
        ("${{ 1 in 'a' }}", "cannot be compared"),
        ("${{ '5' * 3 }}", "needs numbers"),
        ("${{ 'abc' | int }}", "does not hold a number"),
        ("${{ 'no json' | fromjson }}", "not JSON"),
        ("${{ [1][0:1:0] }}", "no meaning"),
        ("${{ 'a'[1.5:] }}", "whole numbers"),
        ("${{ '[' * 2 }}", "needs numbers"),
        ("${{ 1 | length }}", "needs a text, list or mapping"),
        ("${{ 'a' | replace('', 'b') }}", "needs a text to look for"),
    ],
)
def test_what_has_no_value_says_why(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"(?s){said}") as caught:
        parse(text).evaluate(NAMES)
    assert caught.value.place == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a ${{ inputs.x", "not closed"),
        ("${{ }}", "empty"),
        ("${{ 'a }}", "quotes is not closed"),
        ("${{ (1 }}", "cannot be read"),
        ("${{ 1 } }}", "cannot be read"),
        ("${{ a b }}", "behind the end"),
        ("${{ {% if x %} }}", "cannot be read"),
        (r"${{ '\d' }}", "has no meaning"),
        ("${{ inputs | jion }}", "Did you mean `join`"),
        ("${{ inputs is dfined }}", "Did you mean `defined`"),
        ("${{ 'a' | replace('b') }}", r"Write `replace\(old, new\)`"),
        ("${{ 'a' | default(instead=1) }}", "without names"),
        ("${{ {1: 2} }}", "keys"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "${{ ''.__class__ }}",
        "${{ inputs.__class__.__mro__ }}",
        "${{ inputs.items.append }}",
        "${{ inputs['__class__'] }}",
        "${{ 'x'.format }}",
        "${{ trigger.text.format(1) }}",
        "${{ inputs | attr('__class__') }}",
        "${{ inputs | map(attribute='__class__') }}",
        "${{ '%s' % inputs }}",
        "${{ range(10) }}",
        "${{ cycler }}",
        "${{ self }}",
        "${{ loop }}",
        "${{ namespace(a=1) }}",
        "${{ inputs.items.pop() }}",
        "${{ lambda: 1 }}",
        "${{ [x for x in inputs] }}",
        "${{ __import__('os') }}",
        "${{ inputs.person.__struct_fields__ }}",
        "${{ inputs.person.__init__ }}",
    ],
)
def test_nothing_of_python_is_in_reach(text: str) -> None:
    names = {**NAMES, "inputs": {**NAMES["inputs"], "person": Person("Ana")}}
    with pytest.raises(InvalidInput):
        parse(text).evaluate(names)


@pytest.mark.parametrize(
    "source",
    [
        "'a' * 1000000000",
        "10 ** 10 ** 10",
        "2 ** 3",
        "'%1000000000d' % 1",
        "'x' | replace('x', steps.big) | replace('x', steps.big)",
        "steps.big ~ steps.big ~ steps.big",
        "steps.big + steps.big + steps.big",
        "[steps.big, steps.big, steps.big] | join",
        "[steps.big, steps.big, steps.big] | tojson",
        "steps.bomb | tojson",
        "steps.bomb | string",
        "'' ~ steps.bomb",
        "steps.deep | tojson",
        "steps.deeptext | fromjson",
        "steps.long * steps.long * steps.long * steps.long * steps.long",
        "steps.digits | int",
        "'' ~ steps.enormous",
        "steps.list + steps.list",
        "9" * 1900,
        "(" * 3000 + "1" + ")" * 3000,
        "(" * 45 + "1" + ")" * 45,
        "not " * 400 + "1",
        "1" + "+1" * 900,
        "-" * 1900 + "1",
        "a" + ".b" * 1500,
        "[" * 30 + "]" * 31,
        "x" * 5000,
    ],
)
def test_what_would_grow_without_bound_is_refused(source: str) -> None:
    bomb: list[Any] = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    steps = {
        "big": "x" * 4_000_000,
        "bomb": bomb,
        "deep": deep,
        "deeptext": "[" * 100_000,
        "long": 10**70,
        "digits": "9" * 100_000,
        "huge": 10**30,
        "enormous": 10**5000,
        "list": [0] * 600_000,
    }
    with pytest.raises(InvalidInput):
        parse(f"${{{{ {source} }}}}").evaluate({"steps": steps})


def test_all_texts_of_one_evaluation_together_are_bounded() -> None:
    names = {"steps": {"big": "x" * 3_000_000}}
    assert len(evaluate(["a ${{ steps.big }}"] * 3, names)) == 3
    with pytest.raises(InvalidInput, match="longer than"):
        evaluate({"a": ["a ${{ steps.big }}"] * 4}, names)
    assert evaluate(["${{ steps.big }}"] * 100, names) == [names["steps"]["big"]] * 100  # nothing is made


def test_a_text_of_many_holes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 1,000"):
        parse("${{ a }} " * 1001)


def test_texts_of_users_are_never_evaluated() -> None:
    text = "${{ inputs.count }} {{ 7*7 }} {% for x in y %} {# #} ${{ lipsum"
    first = evaluate(
        {"text": "${{ trigger.text }}", "said": "They said: ${{ trigger.text }}"}, {"trigger": {"text": text}}
    )
    second = evaluate({"text": "${{ steps.first.said }}!"}, {"steps": {"first": first}, "inputs": {"count": 1}})
    assert first["text"] is text
    assert second["text"] == f"They said: {text}!"


def test_keys_of_data_are_not_repeated_in_an_error() -> None:
    names = {"trigger": {"data": {"body": {"secret_of_ana": 1}}}}
    with pytest.raises(InvalidInput) as caught:
        parse("${{ trigger.data.body.x }}").evaluate(names)
    assert "secret_of_ana" not in str(caught.value)


def test_fields_of_structs_are_read_and_nothing_else_of_them() -> None:
    names = {"trigger": {"author": Person("Ana")}}
    assert parse("${{ trigger.author.name }}").evaluate(names) == "Ana"
    assert parse("${{ trigger.author }}").evaluate(names) is names["trigger"]["author"]
    assert parse("by ${{ trigger.author }}").evaluate(names) == 'by {"name":"Ana","id":null}'


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("plain", set()),
        ("${{ steps.a.message }}", {("steps", "a", "message")}),
        ("${{ steps['a'].x | default(inputs.y) }} ${{ item }}", {("steps", "a", "x"), ("inputs", "y"), ("item",)}),
        ("${{ steps.a.results[0].message }}", {("steps", "a", "results")}),
        ("${{ steps[inputs.x].y }}", {("steps",), ("inputs", "x")}),
        ("${{ steps.a.x is defined and not {'k': [trigger.text[1:inputs.n]]} }}",
         {("steps", "a", "x"), ("trigger", "text"), ("inputs", "n")}),
        ("${{ a if b else c }} ${{ -d < e ~ f }}", {(name,) for name in "abcdef"}),
    ],
)  # fmt: skip
def test_what_a_text_reads_is_known_beforehand(text: str, references: set[tuple[str, ...]]) -> None:
    assert parse(text).references == references
    assert parse(text).constant == (not references)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_lone_hole_keeps_type_and_identity(value: object) -> None:
    names = {"steps": {"a": {"x": value}}, "inputs": {"x": value}}
    for text in ("${{ steps.a.x }}", "${{ steps['a'].x }}", "${{ (inputs.x) }}", "${{ x.y | default(inputs.x) }}"):
        assert parse(text).evaluate({**names, "x": {}}) is value
    assert evaluate({"a": ["${{ inputs.x }}"]}, names)["a"][0] is value


@given(st.text().filter(lambda text: "${{" not in text))
def test_a_text_without_holes_is_unchanged(text: str) -> None:
    assert evaluate(text, {}) is text
    assert parse(text).evaluate({}) == text


@given(st.text())
def test_a_text_that_comes_in_is_passed_on_as_it_is(text: str) -> None:
    for template in ("${{ t }}", "${{ 'a' and t }}"):
        assert evaluate(template, {"t": text}) is text
    assert evaluate("<${{ t }}|${{ t }}>", {"t": text}) == f"<{text}|{text}>"


@given(st.text(alphabet="${}abc.'\"[]()|~+*-% 1\\\n", max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    refused: InvalidInput | None = None
    try:
        parse(text).evaluate({"a": {"b": "c"}, "b": [1], "c": "a"})
    except InvalidInput as problem:
        refused = problem
    assert refused is None or refused.place


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_has_a_sentence(name: str) -> None:
    assert (FILTERS[name].__doc__ or "").endswith(".")


@pytest.mark.parametrize("name", TESTS)
def test_every_test_has_a_sentence(name: str) -> None:
    assert (TESTS[name].__doc__ or "").endswith(".")


def test_a_dotted_name_needs_no_jinja() -> None:
    code = (
        "import sys; from chatstep.expressions import evaluate; "
        "assert evaluate('a ${{ x.y }} ${{ x }}', {'x': {'y': 1}}) == 'a 1 {\"y\":1}'; "
        "assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
