"""What is learnt from a refusal, what is not, and how it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.modules.openai.dialect import DROPPABLE, Dialect, Refusal, learn
from chatstep.modules.openai.prompt import PromptMessage
from chatstep.modules.openai.refusals import read_refusal, refusal_in

OPENAI = Dialect(limit_field="max_completion_tokens", names=True, obfuscation=True)
SENT: dict[str, Any] = {
    "model": "m",
    "messages": [PromptMessage("system", "S"), PromptMessage("user", "hi", "Ana")],
    "max_completion_tokens": 256,
    "reasoning_effort": "none",
    "temperature": 0.5,
    "verbosity": "low",
    "stream_options": {"include_usage": True, "include_obfuscation": False},
}


def refusal(code: str = "unsupported_parameter", param: str = "", message: str = "", status: int = 400) -> Refusal:
    return Refusal(status, code, param, message)


LEARNT: list[tuple[Refusal, dict[str, Any]]] = [
    (refusal(param="max_completion_tokens"), {"limit_field": "max_tokens", "refused": ["max_completion_tokens"]}),
    (refusal("extra_forbidden", "max_completion_tokens", status=422), {"limit_field": "max_tokens"}),
    (refusal(param="temperature"), {"refused": ["temperature"]}),
    (refusal("unsupported_value", "temperature"), {"refused": ["temperature"]}),
    (refusal("invalid_parameter_combination", "temperature"), {"refused": ["temperature"]}),
    (refusal(param="verbosity"), {"refused": ["verbosity"]}),
    (refusal(param="reasoning_effort"), {"refused": ["reasoning_effort"]}),
    (refusal("unsupported_value", "reasoning_effort"), {"refused": ["reasoning_effort=none"]}),
    (
        refusal("", message="Unrecognized request argument supplied: reasoning_effort"),
        {"refused": ["reasoning_effort"]},
    ),
    (
        refusal("", message="Unrecognized request arguments supplied: foo, stream_options"),
        {"refused": ["stream_options"]},
    ),
    (refusal("extra_forbidden", "stream_options", status=422), {"refused": ["stream_options"]}),
    (refusal(param="stream_options.include_obfuscation"), {"refused": ["include_obfuscation"]}),
    (refusal(param="stream_options.include_usage"), {"refused": ["stream_options"]}),
    (refusal("invalid_value", "messages[1].name"), {"names": False, "refused": ["name"]}),
    (refusal("extra_forbidden", "messages.1.name", status=422), {"names": False, "refused": ["name"]}),
    (refusal("extra_forbidden", "messages.1.user.name", status=422), {"names": False, "refused": ["name"]}),
    (refusal("", message="'messages.1' : property 'name' is unsupported"), {"names": False, "refused": ["name"]}),
    (refusal("unsupported_value", "messages[0].role"), {"instructions_role": "developer"}),
    (refusal("", message="Conversation roles must alternate user/assistant/..."), {"alternate": True}),
]


@pytest.mark.parametrize(("said", "traits"), LEARNT)
def test_what_a_refusal_teaches(said: Refusal, traits: dict[str, Any]) -> None:
    learnt = learn(said, OPENAI, SENT)
    assert learnt is not None
    found = learnt.traits_from(OPENAI)
    assert found.items() >= traits.items()
    assert json.loads(json.dumps(found)) == found
    assert OPENAI.with_traits(found) == learnt


NOTHING: list[Refusal] = [
    refusal("", ""),
    refusal("invalid_value", "max_completion_tokens", "supports at most 16384 completion tokens"),
    refusal("invalid_value", "temperature"),
    refusal("content_filter"),
    refusal("context_length_exceeded", "messages"),
    refusal(param="messages"),
    refusal(param="model"),
    refusal(param="response_format"),
    refusal(param="max_tokens"),
    refusal(param="top_p"),
    refusal("", message="temperature is wrong"),
    refusal("", message="Unrecognized request argument supplied: foo"),
    refusal("unsupported_value", "messages[1].role"),
    refusal(param="temperature", status=401),
    refusal(param="temperature", status=404),
    refusal(param="temperature", status=429),
    refusal(param="temperature", status=500),
]


@pytest.mark.parametrize("said", NOTHING)
def test_what_teaches_nothing(said: Refusal) -> None:
    assert learn(said, OPENAI, SENT) is None


def test_only_what_was_sent_is_learnt_about() -> None:
    bare = {"messages": [PromptMessage("user", "hi")], "max_tokens": 256}
    for said, traits in LEARNT:
        if traits != {"alternate": True}:
            assert learn(said, OPENAI, bare) is None, said


def test_the_limit_is_swapped_once_and_never_back() -> None:
    learnt = learn(refusal(param="max_completion_tokens"), OPENAI, SENT)
    assert learnt is not None
    assert learn(refusal(param="max_tokens"), learnt, {"max_tokens": 256}) is None


def test_the_same_refusal_twice_teaches_nothing_new() -> None:
    alternating = Dialect(alternate=True)
    assert learn(refusal("", message="roles must alternate"), alternating, SENT) is None
    developer = Dialect(instructions_role="developer")
    sent = {"messages": [PromptMessage("developer", "S")]}
    assert learn(refusal("unsupported_value", "messages[0].role"), developer, sent) is None


def test_learning_from_a_whole_reply() -> None:
    body = {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "No"}]}}
    error = read_refusal(422, {}, json.dumps(body).encode())
    learnt = learn(refusal_in(error), OPENAI, SENT)
    assert learnt is not None
    assert learnt.limit_field == "max_tokens"


def test_a_refused_value_leaves_the_others() -> None:
    dialect = Dialect(refused=frozenset({"reasoning_effort=none", "temperature"}))
    assert dialect.refuses("reasoning_effort", "none")
    assert not dialect.refuses("reasoning_effort", "low")
    assert not dialect.refuses("reasoning_effort")
    assert dialect.refuses("temperature", 0.5)


dialects = st.builds(
    Dialect,
    limit_field=st.sampled_from(["max_tokens", "max_completion_tokens"]),
    refused=st.frozensets(st.sampled_from(sorted(DROPPABLE))),
    names=st.booleans(),
    alternate=st.booleans(),
    instructions_role=st.sampled_from(["system", "developer"]),
    obfuscation=st.booleans(),
    window=st.none() | st.integers(1, 10**6),
)


@settings(max_examples=200)
@given(dialects, dialects)
def test_traits_survive_the_store(learnt: Dialect, base: Dialect) -> None:
    learnt = Dialect(
        **{**{f: getattr(learnt, f) for f in Dialect.__struct_fields__}, "refused": learnt.refused | base.refused}
    )
    traits = json.loads(json.dumps(learnt.traits_from(base)))
    assert base.with_traits(traits) == learnt


@pytest.mark.parametrize(
    "traits",
    [
        {"shutdown_date": "2027-01-14"},
        {"a_new_trait": [1]},
        {"limit_field": "max_output_tokens"},
        {"names": "perhaps"},
        {"refused": None},
        {"refused": 7},
        {"refused": [1]},
        {"window": "wide"},
    ],
)
def test_traits_of_a_newer_version_are_passed_over_and_the_others_kept(traits: dict[str, Any]) -> None:
    assert OPENAI.with_traits(traits) == OPENAI
    mixed = OPENAI.with_traits({**traits, "alternate": True})
    assert mixed.alternate
    assert mixed.refused == OPENAI.refused
