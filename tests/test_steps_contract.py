"""What every installed step must meet, whoever wrote it."""

from __future__ import annotations

import typing

import msgspec
import pytest
from msgspec import Meta

from chatstep.registry import steps
from chatstep.step import Step

STEPS = pytest.mark.parametrize("step", steps().values(), ids=lambda step: step.name)


@STEPS
def test_it_says_what_it_is(step: Step) -> None:
    module, _, name = step.name.partition(".")
    assert module
    assert name
    assert step.title[:1].isupper()
    assert step.doc.endswith(".")
    assert step.effect in ("none", "outside", "run")


@STEPS
def test_every_field_has_a_title_and_a_sentence(step: Step) -> None:
    for struct in (step.inputs, step.output):
        for field, hint in typing.get_type_hints(struct, include_extras=True).items():
            if field.startswith("__"):
                continue
            meta = next(meta for meta in hint.__metadata__ if isinstance(meta, Meta))
            assert meta.title, field
            assert meta.description, field
            assert meta.description.endswith("."), field


@STEPS
def test_a_field_that_does_not_exist_is_refused(step: Step) -> None:
    """A mistyped name must not be passed over in silence."""
    assert step.inputs.__struct_config__.forbid_unknown_fields
    assert step.inputs.__struct_config__.frozen


@STEPS
def test_inputs_and_output_have_a_json_schema(step: Step) -> None:
    """Forms, editors and the API read it."""
    for struct in (step.inputs, step.output):
        schema = msgspec.json.schema(struct)
        properties = schema["$defs"][struct.__name__]["properties"]
        assert set(properties) == {field.encode_name for field in msgspec.structs.fields(struct)}


@STEPS
def test_its_output_survives_a_database(step: Step) -> None:
    """What a run keeps is plain data; the fields of the output must be such."""
    fields = {field.name: field.type for field in msgspec.structs.fields(step.output)}
    assert fields
    assert not any("Secret" in str(kind) for kind in fields.values())
