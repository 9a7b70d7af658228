"""`chatstep chat`: what is kept, what happens to a failed turn, and the words that begin with a slash."""

from __future__ import annotations

from collections.abc import Callable

from chatstep.message import Message
from chatstep.rehearsal import Rehearsal
from chatstep.store import Store
from command_line import Commands

Serve = Callable[..., Rehearsal]


def kept(chatstep: Commands, id: str = "talk") -> list[tuple[str, str]]:
    """The stored messages of a conversation: author and text."""
    with Store.open(chatstep.folder / "home") as store:
        messages: list[Message] = store.conversations.read(id)
    return [(message.author.name, message.text) for message in messages]


def test_a_conversation_is_kept_and_goes_on(chatstep: Commands, serve: Serve) -> None:
    """Each turn sends what was said before; a later run goes on with it."""
    provider = serve('- {when: "^One$", reply: First}\n- {when: "^Two$", reply: Second}\n- {reply: Third}\n')
    result = chatstep("chat", "--conversation", "talk", "-s", "Be brief.", input="One\nTwo\n")
    assert result.stdout == "First\nSecond\n"
    assert chatstep("chat", "--continue", input="Three").stdout == "Third\n"
    assert [message["content"] for message in provider.requests[-1].body["messages"]] == [
        "Be brief.",
        "One",
        "First",
        "Two",
        "Second",
        "Three",
    ]
    assert kept(chatstep) == [
        ("system", "Be brief."),
        ("You", "One"),
        ("assistant", "First"),
        ("You", "Two"),
        ("assistant", "Second"),
        ("You", "Three"),
        ("assistant", "Third"),
    ]
    (listed,) = chatstep.json("chat", "--list")
    assert (listed["id"], listed["title"], listed["messages"]) == ("talk", "One", 7)
    assert "talk" in chatstep("chat", "--list").stdout


def test_instructions_are_kept_and_others_hold_for_a_sitting(chatstep: Commands, serve: Serve) -> None:
    """They are sent once each time, also from the beginning of a conversation that is not read whole."""
    provider = serve("- reply: Aye.\n")
    chatstep("chat", "--conversation", "talk", "-s", "Be a pirate.", input="One\n")
    chatstep("chat", "--continue", "-s", "Be a monk.", input="Two\n")
    with Store.open(chatstep.folder / "home") as store:
        for at in range(2000):
            store.conversations.append("talk", Message("You" if at % 2 else "assistant", f"line {at}"))
    chatstep("chat", "--continue", "-o", "history_tokens", "100", input="Three\n")
    said = [[each["content"] for each in request.body["messages"]] for request in provider.requests]
    assert said[:2] == [["Be a pirate.", "One"], ["Be a monk.", "One", "Aye.", "Two"]]
    assert (said[2][0], said[2][-1]) == ("Be a pirate.", "Three")
    assert {sum(each["role"] == "system" for each in request.body["messages"]) for request in provider.requests} == {1}


def test_a_failed_turn_loses_nothing(chatstep: Commands, serve: Serve) -> None:
    """The message is stored once, and /retry asks again for its reply."""
    serve("- fault: {status: 400}\n  times: 2\n- reply: At last.\n")
    first = chatstep("chat", "--conversation", "talk", input="Hello?\n", code=16)
    assert "/retry asks again" in first.stderr
    assert kept(chatstep) == [("You", "Hello?")]
    again = chatstep("chat", "--continue", input="/retry\n/retry\n")
    assert "The last message has no reply yet" in again.stderr
    assert again.stdout == "At last.\n"
    assert kept(chatstep) == [("You", "Hello?"), ("assistant", "At last.")]


def test_words_with_a_slash(chatstep: Commands, serve: Serve) -> None:
    """Help, usage, leaving, near ones of an unknown word, and a message that begins with a slash."""
    provider = serve("- reply: Yes.\n")
    lines = "/help\n/usage\n/retry\n/retyr\n\n//slash\nsee \\\nyou\n/usage\n/quit\nnever said\n"
    result = chatstep("chat", input=lines)
    assert result.stdout == "Yes.\nYes.\n"
    for said in ("/retry   ask again", "No reply came", "Nothing was said yet", "Did you mean /retry?", "2 replies:"):
        assert said in result.stderr
    said = [request.body["messages"][-1]["content"] for request in provider.requests]
    assert said == ["/slash", "see \nyou"]


def test_what_is_wrong_is_said_before_the_first_message(chatstep: Commands) -> None:
    """A wrong input or connection, nothing to continue, contradicting options, and no text."""
    chatstep("chat", "--connection", "nowhere", input="Hi", code=3)
    chatstep("chat", "--connection", "rehearsal", "--max-tokens", "0", input="Hi", code=2)
    chatstep("chat", "--connection", "rehearsal", "--continue", input="Hi", code=2)
    chatstep("chat", "--continue", "--conversation", "x", code=2)
    chatstep("chat", "--json", code=2)
    chatstep("chat", "--name", " ", code=2)
    result = chatstep("chat", "--connection", "rehearsal", "--conversation", "t", input=b"caf\xe9\n", code=2)
    assert "stdin: The line is not UTF-8" in result.stderr
    chatstep("chat", "--connection", "rehearsal", input="/help\n")
    assert chatstep.json("chat", "--list") == []
