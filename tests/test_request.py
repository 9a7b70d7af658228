"""From inputs to the body: what is sent, what is left out and said, and which inputs are wrong."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from chatstep.errors import ChatstepError, InvalidInput, UnknownName
from chatstep.message import Author, History, Message
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.inputs import MakeChatCompletion, make_inputs
from chatstep.modules.openai.models import ModelFacts, facts
from chatstep.modules.openai.request import Draft, draft
from chatstep.modules.openai.tokens import counter_for

OPENAI = Dialect(limit_field="max_completion_tokens", names=True, obfuscation=True)
COUNTER = counter_for("o200k_base")


def made(dialect: Dialect = OPENAI, *, stream: bool = False, known: ModelFacts | None = None, **fields: Any) -> Draft:
    inputs = make_inputs("hello", {"connection": "c", **fields})
    return draft(inputs, known or facts(inputs.model), dialect, COUNTER, stream=stream)


def body(dialect: Dialect = OPENAI, **fields: Any) -> dict[str, Any]:
    """The body without its messages, as the server reads it."""
    read: dict[str, Any] = json.loads(made(dialect, **fields).encoded())
    del read["messages"]
    return read


def test_the_smallest_request_byte_for_byte() -> None:
    assert made().encoded() == (
        b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}],"max_completion_tokens":256}'
    )


def test_the_same_inputs_give_the_same_bytes() -> None:
    fields = {
        "instructions": "Help.",
        "history": [("Ana", "1"), ("Robo", "2"), ("Bo", "3")],
        "assistant": "Robo",
        "temperature": 0.5,
        "extra": {"user": "u", "metadata": {"b": 1, "a": 2}},
    }
    assert len({made(**fields, stream=True).encoded() for _ in range(5)}) == 1


# --- the limit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_limit_is_sent_under_one_name(field: Any) -> None:
    assert body(Dialect(limit_field=field), max_tokens=7) == {"model": "gpt-4o-mini", field: 7}


@pytest.mark.parametrize("spelling", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_three_spellings_of_max_tokens(spelling: str) -> None:
    assert body(**{spelling: 7})["max_completion_tokens"] == 7


def test_a_limit_above_the_models_own_is_clamped_and_said() -> None:
    drafted = made(max_tokens=20_000)
    assert (drafted.limit, drafted.body["max_completion_tokens"]) == (16_384, 16_384)
    assert "at most 16,384" in drafted.warnings[0]
    assert made(max_tokens=16_384).warnings == []


def test_room_for_thinking_comes_on_top() -> None:
    assert made(model="gpt-5-mini", reasoning_room=2048).limit == 256 + 2048


# --- thinking and sampling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "refused", "sent"),
    [
        ("gpt-4o-mini", None, [], None),
        ("gpt-4o-mini", "low", [], "low"),
        ("gpt-6-luna", None, [], "none"),
        ("gpt-5.1", None, [], "none"),
        ("gpt-6-luna", "high", [], "high"),
        ("gpt-5-mini", None, [], None),
        ("gpt-6.1-sol", None, [], None),
        ("my-own", None, [], None),
        ("my-own", "low", [], "low"),
        ("gpt-6-luna", None, ["reasoning_effort"], None),
        ("gpt-6-luna", None, ["reasoning_effort=none"], None),
        ("gpt-6-luna", "low", ["reasoning_effort=none"], "low"),
    ],
)
def test_reasoning_effort(model: str, effort: str | None, refused: list[str], sent: str | None) -> None:
    dialect = Dialect(refused=frozenset(refused))
    drafted = made(dialect, model=model, reasoning_effort=effort)
    assert drafted.body.get("reasoning_effort") == sent
    assert drafted.warnings == []


@pytest.mark.parametrize("refused", ["reasoning_effort", "reasoning_effort=low"])
def test_an_effort_that_was_asked_for_and_is_refused_is_said(refused: str) -> None:
    drafted = made(Dialect(refused=frozenset({refused})), model="gpt-6-luna", reasoning_effort="low")
    assert "reasoning_effort" not in drafted.body
    assert "reasoning_effort low was left out" in drafted.warnings[0]


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gpt-4o-mini", None, True),
        ("my-own", None, True),
        ("gpt-6-luna", None, True),
        ("gpt-6-luna", "none", True),
        ("gpt-6-luna", "low", False),
        ("gpt-5-mini", None, False),
        ("o3", None, False),
        ("gpt-6.1-sol", None, False),
    ],
)
@pytest.mark.parametrize("field", ["temperature", "top_p"])
def test_sampling_is_left_out_with_a_warning_where_the_model_takes_none(
    model: str, effort: str | None, sent: bool, field: str
) -> None:
    drafted = made(model=model, reasoning_effort=effort, **{field: 0.5})
    assert (field in drafted.body) == sent
    assert [field in warning for warning in drafted.warnings] == ([] if sent else [True])


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    assert body(model="my-own").keys() == {"model", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("top_p", 1),
        ("stop", ["a", "b"]),
        ("stop", "a"),
        ("seed", 0),
        ("response_format", {"type": "json_object"}),
    ],
)
def test_what_was_asked_for_is_sent_and_refused_fields_are_left_out(field: str, value: Any) -> None:
    assert body(**{field: value})[field] == value
    drafted = made(Dialect(refused=frozenset({field})), **{field: value})
    assert field not in drafted.body
    assert drafted.warnings == [f"{field} was left out: the server refuses it."]


def test_extra_fields_are_sent_as_they_are() -> None:
    extra = {"user": "u", "logit_bias": {"1": -100}, "n": 1, "nothing": None}
    assert body(extra=extra).items() >= {"user": "u", "logit_bias": {"1": -100}, "n": 1}.items()
    drafted = made(Dialect(refused=frozenset({"verbosity"})), extra={"verbosity": "low", "user": "u"})
    assert drafted.body.get("user") == "u"
    assert "verbosity" not in drafted.body
    assert len(drafted.warnings) == 1


# --- streaming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "options"),
    [
        (OPENAI, {"include_usage": True, "include_obfuscation": False}),
        (Dialect(), {"include_usage": True}),
        (Dialect(obfuscation=True, refused=frozenset({"include_obfuscation"})), {"include_usage": True}),
        (Dialect(refused=frozenset({"stream_options"})), None),
    ],
)
def test_stream_options(dialect: Dialect, options: dict[str, bool] | None) -> None:
    sent = made(dialect, stream=True).body
    assert (sent["stream"], sent.get("stream_options")) == (True, options)
    assert not {"stream", "stream_options"} & made(dialect).body.keys()


# --- what is said -----------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_chat_is_warned_of() -> None:
    assert "Responses API" in made(model="gpt-5-pro").warnings[0]


def test_a_body_that_cannot_be_written_says_so() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for extra in ({"x": "\ud800"}, {"x": object()}, {"x": endless}):
        with pytest.raises(InvalidInput) as caught:
            made(extra=extra).encoded()
        assert caught.value.place == "extra"


# --- inputs -----------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"model": "  "}, "model"),
    ({"model": "a\nb"}, "model"),
    ({"model": None}, "model"),
    ({"instructions": b"x"}, "instructions"),
    ({"instructions": None}, "instructions"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "256"}, "max_tokens"),
    ({"max_tokens": 2.5}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"),
    ({"max_tokens": 10**5000}, "max_tokens"),
    ({"max_tokens": 1, "max_output_tokens": 1}, "max_output_tokens"),
    ({"max_completion_tokens": 1, "max_output_tokens": 1}, "max_output_tokens"),
    ({"history_tokens": -1}, "history_tokens"),
    ({"reasoning_room": -1}, "reasoning_room"),
    ({"reasoning_room": None}, "reasoning_room"),
    ({"part_length": 19}, "part_length"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": "0"}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"top_p": True}, "top_p"),
    ({"stop": 7}, "stop"),
    ({"stop": ["a", 7]}, "stop"),
    ({"seed": "1"}, "seed"),
    ({"seed": True}, "seed"),
    ({"reasoning_effort": 1}, "reasoning_effort"),
    ({"response_format": "json"}, "response_format"),
    ({"extra": [1]}, "extra"),
    ({"extra": {"messages": []}}, "extra.messages"),
    ({"extra": {"temperature": 1}}, "extra.temperature"),
    ({"extra": {"stream": True}}, "extra.stream"),
    ({"extra": {"n": 2}}, "extra.n"),
    ({"speakers": "names"}, "speakers"),
    ({"window": "newset"}, "window"),
    ({"history": "hello"}, "history"),
    ({"history": 7}, "history.messages"),
    ({"history": [7]}, "history.messages[0]"),
    ({"history": {"messages": [], "assistent": "Robo"}}, "history"),
    ({"history": [], "assistant": 7}, "history.assistant"),
    ({"message": None}, "message"),
    ({"message": 7}, "message"),
    ({"max_token": 7}, "max_token"),
]


@pytest.mark.parametrize(("fields", "place"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_input_says_which_and_stays_short(fields: dict[str, Any], place: str) -> None:
    with pytest.raises((InvalidInput, UnknownName)) as caught:
        make_inputs("hello", {"connection": "c", **fields})
    assert caught.value.place == place
    assert len(str(caught.value)) < 400


def test_a_wrong_name_comes_with_a_near_one() -> None:
    for fields, near in (({"max_token": 7}, "max_tokens"), ({"speakers": "prefx"}, "prefix")):
        with pytest.raises(UnknownName) as caught:
            make_inputs("hello", {"connection": "c", **fields})
        assert near in caught.value.details["near"]


def test_a_missing_connection_is_said() -> None:
    with pytest.raises(InvalidInput) as caught:
        make_inputs("hello", {})
    assert caught.value.place == "connection"


def test_texts_are_never_in_an_error() -> None:
    for fields in ({"instructions": b"MARKER"}, {"history": "MARKER"}, {"message": ["MARKER"]}, {"extra": "MARKER"}):
        with pytest.raises(ChatstepError) as caught:
            make_inputs("hello", {"connection": "c", **fields})
        assert "MARKER" not in str(caught.value.to_data())


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({"history": [("Ana", "hi")], "assistant": "Robo"}, ("Robo",)),
        ({"history": [("Ana", "hi")], "assistant": ["Robo", Author("Mia", id="7")]}, ("Robo", "7")),
        ({"history": {"assistant": "Robo", "messages": [("Ana", "hi")]}}, ("Robo",)),
        ({"history": {"assistant": "Bo", "messages": [("Ana", "hi")]}, "assistant": "Robo"}, ("Robo",)),
        ({"history": History("Robo", [("Ana", "hi")])}, ("Robo",)),
        ({"history": History("Bo", [("Ana", "hi")]), "assistant": "Robo"}, ("Robo",)),
        ({"history": iter([("Ana", "hi")]), "assistant": ("Robo",)}, ("Robo",)),
    ],
)
def test_histories_in_every_way_of_giving_them(fields: dict[str, Any], who: tuple[str, ...]) -> None:
    history = make_inputs("hello", {"connection": "c", **fields}).history
    assert history is not None
    assert (history.assistant, list(history.messages)) == (who, [Message("Ana", "hi")])


def test_a_message_in_every_way_of_giving_it() -> None:
    for given in (("Ana", "hi"), {"author": "Ana", "text": "hi"}, Message("Ana", "hi")):
        assert make_inputs(given, {"connection": "c"}).message == Message("Ana", "hi")
    assert make_inputs("hi", {"connection": "c"}).message == "hi"
    assert make_inputs("x", {"connection": "c", "message": "hi"}).message == "hi"


def test_the_fields_stand_in_the_order_of_the_form() -> None:
    schema = msgspec.json.schema(MakeChatCompletion)["$defs"]["MakeChatCompletion"]
    names = ["connection", "model", "instructions", "message", "history", "max_tokens"]
    assert list(schema["properties"])[:6] == names
    assert [schema["properties"][name]["title"] for name in names] == [
        "Connection",
        "Model",
        "Instructions",
        "Message",
        "History",
        "Max Tokens",
    ]
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["properties"]["model"]["default"] == "gpt-4o-mini"
    assert schema["properties"]["max_tokens"]["default"] == 256


def test_inputs_are_read_from_json() -> None:
    raw = (
        b'{"connection":"c","model":" m ","message":{"author":"Ana","text":"hi"},'
        b'"history":{"assistant":"Robo","messages":[]},"temperature":0.5,"part_length":2000}'
    )
    inputs = msgspec.json.decode(raw, type=MakeChatCompletion)
    assert (inputs.model, inputs.message) == ("m", Message("Ana", "hi"))
    with pytest.raises(InvalidInput):
        msgspec.json.decode(b'{"connection":"c","model":""}', type=MakeChatCompletion)
