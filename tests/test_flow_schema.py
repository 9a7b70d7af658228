"""The format as JSON Schema, and everything that is shown as a flow: examples and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
from ruamel.yaml import YAML

from chatstep.flows.checking import check
from chatstep.flows.reading import read_draft
from chatstep.flows.schema import flow_schema
from chatstep.flows.shapes import wrong_path
from flow_samples import SOUND, around, problems, with_

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
