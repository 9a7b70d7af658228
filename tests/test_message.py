"""Messages and histories: every shape that is read, and what is said of the others."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstep.errors import InvalidInput
from chatstep.message import Attachment, Author, History, Message, clean_text, message_from
from chatstep.secret import Secret

ANA = Author("Ana")

SHAPES: list[tuple[Any, Message]] = [
    (Message("Ana", "hi"), Message(ANA, "hi")),
    (("Ana", "hi"), Message(ANA, "hi")),
    (["Ana", "hi"], Message(ANA, "hi")),
    ({"author": "Ana", "text": "hi"}, Message(ANA, "hi")),
    ({"author": {"name": "Ana", "id": 7, "bot": True}, "text": "hi"}, Message(Author("Ana", "7", bot=True), "hi")),
    ({"author": {"id": 7}, "text": "hi"}, Message(Author("7", "7"), "hi")),
    ({"author": {"name": None, "id": "7"}, "text": "hi"}, Message(Author("7", "7"), "hi")),
    ({"author": ANA, "text": None, "id": 7, "time": "2026-11-22"}, Message(ANA, "", id="7", time="2026-11-22")),
    (
        {"author": "Ana", "text": "hi", "attachments": [{"kind": "image", "url": "x"}]},
        Message(ANA, "hi", attachments=(Attachment("image", url="x"),)),
    ),
    ({"author": "Ana", "text": "hi", "role": "user"}, Message(ANA, "hi", role="user")),
    ({"role": "user", "content": "hi"}, Message("user", "hi", role="user")),
    ({"role": "developer", "content": "hi"}, Message("system", "hi", role="system")),
    ({"role": "function", "content": "hi"}, Message("tool", "hi", role="tool")),
    ({"role": "assistant", "content": None, "tool_calls": []}, Message("assistant", "", role="assistant")),
    ({"role": "user", "name": "Ana", "content": "hi", "id": 7}, Message(ANA, "hi", id="7", role="user")),
    (
        {"role": "user", "content": [{"type": "text", "text": "h"}, "i", {"type": "image_url", "image_url": {}}]},
        Message("user", "hi", role="user", attachments=(Attachment("image_url"),)),
    ),
]


@pytest.mark.parametrize(("item", "message"), SHAPES)
def test_every_shape_of_a_message(item: Any, message: Message) -> None:
    assert message_from(item) == message


WRONG: list[tuple[Any, str]] = [
    (None, "m"),
    (7, "m"),
    ("Ana: hi", "m"),
    (b"hi", "m"),
    (("Ana",), "m"),
    (("Ana", 7), "m"),
    ({}, "m"),
    ({"author": "Ana"}, "m"),
    ({"text": "hi"}, "m"),
    ({"author": None, "text": "hi"}, "m.author"),
    ({"author": {}, "text": "hi"}, "m.author.name"),
    ({"author": "Ana", "text": 7}, "m.text"),
    ({"author": "Ana", "text": "hi", "id": []}, "m.id"),
    ({"author": "Ana", "text": "hi", "id": True}, "m.id"),
    ({"author": "Ana", "text": "hi", "attachments": [7]}, "m.attachments"),
    ({"author": "Ana", "text": "hi", "role": "boss"}, "m.role"),
    ({"role": "boss", "content": "hi"}, "m.role"),
    ({"role": 7, "content": "hi"}, "m.role"),
    ({"role": "user", "content": 7}, "m.content"),
    ({"role": "user", "content": [7]}, "m.content[0]"),
    ({"role": "user", "name": 7, "content": "hi"}, "m.name"),
]


@pytest.mark.parametrize(("item", "place"), WRONG)
def test_what_is_no_message_says_where(item: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        message_from(item, "m")
    assert caught.value.place == place


def test_errors_never_hold_texts() -> None:
    for item in (
        {"author": "A", "text": ["MARKER", 7]},
        {"wrong": "MARKER"},
        ("MARKER",),
        {"role": "user", "content": {"x": "MARKER"}},
    ):
        with pytest.raises(InvalidInput) as caught:
            message_from(item)
        assert "MARKER" not in str(caught.value.to_data())


texts = st.text(st.characters(codec="utf-8"), max_size=8)
authors = st.builds(Author, name=texts, id=st.none() | texts, bot=st.none() | st.booleans())
attachments = st.builds(Attachment, kind=texts, name=st.none() | texts, url=st.none() | texts)
messages = st.builds(
    Message,
    author=authors,
    text=texts,
    id=st.none() | texts,
    time=st.none() | texts,
    attachments=st.lists(attachments, max_size=2).map(tuple),
    role=st.none() | st.sampled_from(["system", "user", "assistant", "tool"]),
)


@given(messages)
def test_a_message_survives_every_door(message: Message) -> None:
    assert message_from(msgspec.to_builtins(message)) == message
    assert msgspec.json.decode(msgspec.json.encode(message), type=Message) == message


def test_an_author_given_by_name_is_an_author() -> None:
    assert Message("Ana", "hi").author == ANA
    assert msgspec.json.decode(b'{"author":"Ana","text":"hi"}', type=Message) == Message(ANA, "hi")


# --- histories --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "who"),
    [
        ("Robo", ("Robo",)),
        (Author("Robo"), ("Robo",)),
        (Author("Robo", id="7"), ("7",)),
        (["Robo", Author("Mia", id="8")], ("Robo", "8")),
        (("Robo", ""), ("Robo",)),
        ("", ()),
        ((), ()),
    ],
)
def test_whose_messages_are_the_assistants(given: Any, who: tuple[str, ...]) -> None:
    assert History(given).assistant == who
    assert History.of([], given).assistant == who


@pytest.mark.parametrize("given", [None, 7, {"name": "Robo"}, [7], b"Robo"])
def test_who_is_no_author_says_so(given: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        History(given)
    assert caught.value.place == "history.assistant"


def test_messages_of_any_shape_and_kind_of_list() -> None:
    items = [{"author": "Ana", "text": "hi"}, ("Robo", "hello")]
    expected = [Message("Ana", "hi"), Message("Robo", "hello")]

    def one_by_one() -> Iterator[Any]:
        yield from items

    for given_items in (items, tuple(items), one_by_one()):
        assert list(History.of(given_items, "Robo").messages) == expected
    assert list(History("Robo", items).messages) == expected


def test_messages_that_are_messages_are_not_copied() -> None:
    items = [Message("Ana", "hi")]
    assert History.of(items, "Robo").messages is items
    assert History("Robo", items).messages is items


@pytest.mark.parametrize(
    ("items", "place"),
    [
        ("hi", "history.messages"),
        (7, "history.messages"),
        ({}, "history.messages"),
        ([("a", "b"), 7], "history.messages[1]"),
    ],
)
def test_what_is_no_list_of_messages(items: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        History("Robo", items)
    assert caught.value.place == place


def test_a_history_is_read_from_json_with_one_assistant_or_several() -> None:
    body = b'{"assistant":%s,"messages":[{"author":"Ana","text":"hi"}]}'
    for who in (b'"Robo"', b'["Robo"]'):
        history = msgspec.json.decode(body % who, type=History)
        assert (history.assistant, list(history.messages)) == (("Robo",), [Message("Ana", "hi")])


# --- texts and secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("🦊\x00\u2028", "🦊\x00\u2028"),
        ("a\ud83eb", "a\ufffdb"),
        ("a\udd8a", "a\ufffd"),
        ("\ud83e\udd8a", "🦊"),
        ("\ud83e", "\ufffd"),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@given(st.text())
def test_clean_text_can_always_be_sent(text: str) -> None:
    clean = clean_text(text)
    clean.encode()
    assert clean_text(clean) == clean


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("MARKER")
    assert secret.reveal() == "MARKER"
    assert "MARKER" not in f"{secret} {secret!r} {secret:>20} {[secret]} {(secret,)!s}"
    assert (secret == Secret("MARKER"), secret == Secret("x"), secret == "MARKER") == (True, False, False)
    assert len({secret, Secret("MARKER")}) == 1
    assert (bool(secret), bool(Secret(""))) == (True, False)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, msgspec.to_builtins, vars):
        with pytest.raises(TypeError):
            leak(secret)
