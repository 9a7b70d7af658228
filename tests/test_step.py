"""The step as a whole: what it sends, what it learns, what it records, how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatstep import History, MakeChatCompletion, Message, errors
from chatstep.app import App
from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.settings import Settings
from chatstep.store import StoredConnection
from stepping import KEY, Staging

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
TALK = [("Ana", "Hi all"), ("Robo", "Hello Ana"), ("Bob", "What is my name?")]


@BOTH
async def test_every_output(stage: Staging, stream: bool) -> None:
    on = await stage("rules:\n  - reply: We open at seven. We close at six.\n")
    done = await on.ask(stream=stream, message="When do you open?", part_length=20)
    assert done.message == "We open at seven. We close at six."
    assert done.message_parts == ("We open at seven.", "We close at six.")
    assert (done.finish_reason, done.truncated, done.refusal) == ("stop", False, None)
    assert done.usage.total == done.usage.prompt + done.usage.completion
    assert done.cost == "unknown"  # nobody publishes a price for this machine
    assert done.model.startswith("gpt-4o-mini")
    assert done.request_id
    assert done.attempts == 1
    assert done.duration > 0
    assert done.dropped == ()


@BOTH
async def test_roles_by_author_and_speakers_told_apart(stage: Staging, stream: bool) -> None:
    on = await stage()
    await on.ask(stream=stream, message="Well?", instructions="Be kind.", history=TALK, assistant="Robo")
    assert on.bodies[0]["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi all", "name": "Ana"},
        {"role": "assistant", "content": "Hello Ana"},
        {"role": "user", "content": "What is my name?", "name": "Bob"},
        {"role": "user", "content": "Well?"},
    ]
    assert on.bodies[0]["max_completion_tokens"] == 256
    assert ("stream" in on.bodies[0]) == stream


async def test_the_newest_message_is_sent_once(stage: Staging) -> None:
    """Where the history ends with the message that is to be answered, as platforms hand it over."""
    on = await stage()
    await on.ask(stream=False, message="What is my name?", history=TALK, assistant="Robo")
    assert [message["content"] for message in on.bodies[0]["messages"]] == ["Hi all", "Hello Ana", "What is my name?"]
    assert on.bodies[0]["messages"][-1]["name"] == "Bob"


async def test_a_preview_is_byte_equal_to_what_is_sent(stage: Staging) -> None:
    on = await stage()
    fields: dict[str, Any] = {"history": TALK, "assistant": "Robo", "temperature": 0.5, "extra": {"user": "x"}}
    for stream in (False, True):
        draft = await on.app.preview("Well?", connection="p", stream=stream, **fields)
        await on.ask(stream=stream, message="Well?", **fields)
        assert draft.encoded() == on.provider.requests[-1].raw


@BOTH
@pytest.mark.parametrize(
    ("script", "model", "fields", "left_out"),
    [
        ("limit_field: max_tokens\n", "gpt-4o-mini", {}, "max_completion_tokens"),
        ("refuse_fields: [reasoning_effort]\n", "gpt-6-luna", {}, "reasoning_effort"),
        ("refuse_values: {reasoning_effort: [none]}\n", "gpt-6-luna", {}, "reasoning_effort"),
        ("refuse_fields: [temperature]\n", "own", {"temperature": 0.3}, "temperature"),
    ],
)
async def test_a_refused_field_is_learnt_once(
    stage: Staging, settings: Settings, stream: bool, script: str, model: str, fields: dict[str, Any], left_out: str
) -> None:
    """Two requests, then one for ever, also after a restart."""
    on = await stage(f"models: [own, gpt-6-luna, gpt-4o-mini]\n{script}")
    first = await on.ask(stream=stream, model=model, **fields)
    assert first.attempts == len(on.bodies) == 2
    assert left_out in on.bodies[0]
    assert left_out not in on.bodies[1]
    assert (await on.ask(stream=stream, model=model, **fields)).attempts == 1
    async with App.open(settings, {}) as again:
        done = await again.complete("Hello", connection="p", model=model, **fields)
        assert done.attempts == 1
        if fields:
            assert any(left_out in warning for warning in done.warnings)
    assert len(on.bodies) == 4


async def test_two_refusals_are_learnt_in_one_call_and_no_third(stage: Staging) -> None:
    on = await stage("models: [own]\nlimit_field: max_tokens\nrefuse_fields: [temperature]\n")
    done = await on.ask(stream=False, model="own", temperature=0.1)
    assert done.attempts == len(on.bodies) == 3
    on.provider.reset()
    await on.app.connections.close()
    on.app.store.connections.remove("p")
    other = await stage("models: [own]\nlimit_field: max_tokens\nrefuse_fields: [temperature, top_p]\n")
    with pytest.raises(errors.RequestRefused) as caught:
        await other.ask(stream=False, model="own", temperature=0.1, top_p=0.5)
    assert caught.value.details["attempts"] == len(other.bodies) == 3


async def test_an_unknown_refusal_teaches_nothing(stage: Staging) -> None:
    on = await stage("rules:\n  - fault: {status: 400, message: 'temperature is not nice', code: odd}\n")
    for _ in range(2):
        with pytest.raises(errors.RequestRefused):
            await on.ask(stream=False, temperature=0.2)
    assert all("temperature" in body for body in on.bodies)
    assert on.app.store.traits.all("p") == {}


@BOTH
async def test_a_window_is_learnt_and_the_history_refitted(stage: Staging, stream: bool) -> None:
    """A model that nobody knows sends everything; the server's window is then kept to, at once and later."""
    on = await stage("models: [own]\nwindow: 600\n", kind="compatible")
    history = [("Ana" if at % 2 else "Robo", f"message number {at} of a long talk about bread") for at in range(80)]
    done = await on.ask(stream=stream, model="own", history=history, assistant="Robo", message="And now?")
    assert done.attempts == len(on.bodies) == 2
    assert done.dropped[0].reason == "budget"
    assert len(on.bodies[0]["messages"]) == 81 > len(on.bodies[1]["messages"]) > 10
    assert on.app.store.traits.get("p", "own") == {"window": 600}
    again = await on.ask(stream=stream, model="own", history=history, assistant="Robo", message="And now?")
    assert again.attempts == 1


async def test_a_message_alone_too_long_is_refused_once(stage: Staging) -> None:
    on = await stage("models: [own]\nwindow: 300\n", kind="compatible")
    with pytest.raises(errors.ContextTooLong):
        await on.ask(stream=False, model="own", message="word " * 400)
    assert len(on.bodies) == 1


async def test_strict_servers_are_met(stage: Staging) -> None:
    """Strict names, and strict turns once they were refused."""
    people = [("José 🦊", "hi"), ("a b", "hello"), ("a.b", "hey"), ("x" * 80, "yo"), ("Robo", "Welcome")]
    on = await stage("strict_names: true\n")
    await on.ask(stream=False, history=people, assistant="Robo")
    names = [message.get("name") for message in on.bodies[0]["messages"][:4]]
    assert len(set(names)) == 4
    await on.app.connections.close()
    on.app.store.connections.remove("p")
    turns = await stage("strict_roles: true\n", kind="compatible")
    await turns.ask(stream=False, history=people, assistant="Robo")
    roles = [message["role"] for message in turns.bodies[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert "José 🦊: hi" in turns.bodies[-1]["messages"][0]["content"]


async def test_reasoning_models_are_told_not_to_think_by_default(stage: Staging) -> None:
    on = await stage("models: [gpt-6-luna, gpt-4o-mini]\n")
    await on.ask(stream=False, model="gpt-6-luna")
    await on.ask(stream=False, model="gpt-6-luna", reasoning_effort="high", reasoning_room=1000)
    await on.ask(stream=False, model="gpt-4o-mini")
    assert [body.get("reasoning_effort") for body in on.bodies] == ["none", "high", None]
    assert [body["max_completion_tokens"] for body in on.bodies] == [256, 1256, 256]


@pytest.mark.parametrize("version", [None, "2025-04-01-preview"])
async def test_azure(stage: Staging, version: str | None) -> None:
    on = await stage(kind="azure", **({"api_version": version} if version else {}))
    assert (await on.ask(stream=False)).message
    request = on.provider.requests[0]
    assert request.path.endswith("/chat/completions")
    assert ("deployments/gpt-4o-mini" in request.path) == (version is not None)


@BOTH
async def test_the_ledger_knows_every_call(stage: Staging, stream: bool) -> None:
    on = await stage(
        "rules:\n  - reply: Fine.\n    times: 1\n  - fault: {status: 401}\n    times: 1\n  - fault: empty_length\n"
    )
    await on.ask(stream=stream)
    for _ in range(2):
        with pytest.raises(errors.StepError):
            await on.ask(stream=stream)
    on.app.store.ledger.flush()
    (total,) = on.app.store.ledger.totals("connection")
    assert (total.key, total.calls, total.failed) == ("p", 3, 2)
    assert total.completion > 256  # what thinking ate was paid, and is counted


async def test_what_was_never_sent_is_not_recorded(stage: Staging) -> None:
    on = await stage()
    with pytest.raises(errors.DoesNotFit):
        await on.ask(stream=False, message="word " * 200_000)
    with pytest.raises(errors.InvalidInput):
        await on.ask(stream=False, history=[("Ana", "hi")])
    on.app.store.ledger.flush()
    assert on.app.store.ledger.totals("connection") == []
    assert on.bodies == []


@BOTH
async def test_cancelling_closes_the_socket_and_is_recorded(stage: Staging, stream: bool) -> None:
    on = await stage("rules:\n  - fault: {endless: {every: 0.01}}\n")
    task = asyncio.create_task(on.ask(stream=stream))
    await on.provider.arrived(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await on.provider.idle()
    on.app.store.ledger.flush()
    (total,) = on.app.store.ledger.totals("connection")
    assert (total.calls, total.failed) == (1, 1)


async def test_leaving_a_stream_early_closes_the_socket(stage: Staging) -> None:
    on = await stage("rules:\n  - fault: {endless: {every: 0.01}}\n")
    async with on.app.stream("Hello", connection="p") as stream:
        async for _ in stream:
            break
    with pytest.raises(RuntimeError, match="not read to its end"):
        _ = stream.completion
    await on.provider.idle()


async def test_text_streams_as_it_comes(stage: Staging) -> None:
    on = await stage(
        "rules:\n  - reply: one two three four five six\n    fault: {dribble: {bytes: 40, every: 0.002}}\n"
    )
    pieces, done = await on.stream()
    assert len(pieces) > 3
    assert "".join(pieces) == done.message == "one two three four five six"


async def test_a_replaced_key_is_used_and_a_removed_connection_is_gone(stage: Staging) -> None:
    on = await stage("key: sk-new\n", tries="1")
    with pytest.raises(errors.CredentialsRefused):
        await on.ask(stream=False)
    stored = on.app.store.connections.get("p")
    on.app.store.connections.update(stored, {"api_key": Secret("sk-new")})
    on.app.connections.expire()
    assert (await on.ask(stream=False)).message
    on.app.store.connections.remove("p")
    on.app.connections.expire()
    with pytest.raises(errors.UnknownName):
        await on.ask(stream=False)


async def test_unknown_connections_name_near_ones(app: App) -> None:
    app.store.connections.add(StoredConnection("work", "rehearsal", "rehearsal"))
    with pytest.raises(errors.UnknownName, match="work"):
        await app.complete("Hello", connection="wrok")


async def test_the_rehearsal_connection_needs_nothing(app: App) -> None:
    done = await app.complete("Hello", connection="rehearsal")
    assert done.message
    assert done.cost != "unknown"
    assert done.cost.amount == 0


async def test_the_environment_is_a_connection(settings: Settings) -> None:
    async with Rehearsal("key: sk-env\n") as provider:
        environ = {"OPENAI_API_KEY": "sk-env", "OPENAI_BASE_URL": provider.base_url}
        async with App.open(settings, environ) as app:
            assert (await app.complete("Hello")).message
            assert [origin.stored.name for origin in app.connections.all()] == ["environment", "rehearsal"]
        assert provider.requests[0].body["max_tokens"] == 256  # elsewhere than at OpenAI: a compatible server


async def test_no_connection_says_what_to_do(app: App) -> None:
    with pytest.raises(errors.InvalidInput, match="OPENAI_API_KEY"):
        await app.complete("Hello")


async def test_inputs_as_one_value(stage: Staging) -> None:
    on = await stage("rules:\n  - reply: Yes.\n")
    inputs = MakeChatCompletion(
        connection="p", message=Message("Bob", "Hi"), history=History.of([("Ana", "Hello")], "Robo")
    )
    assert (await on.app.complete(inputs)).message == "Yes."
    assert [message["name"] for message in on.bodies[0]["messages"]] == ["Ana", "Bob"]
    with pytest.raises(errors.InvalidInput):
        await on.app.complete(inputs, model="gpt-4o")


async def test_many_at_once_share_connections(stage: Staging, no_stalls: None) -> None:
    on = await stage("rules:\n  - reply: Yes.\n")
    await on.ask(stream=False)
    done = await asyncio.gather(*[on.ask(stream=at % 2 == 0) for at in range(60)])
    assert {completion.message for completion in done} == {"Yes."}


async def test_a_request_above_a_minutes_tokens_is_not_asked_again(stage: Staging) -> None:
    """It is a 429 like any other, but waiting does not help."""
    on = await stage(
        "rules:\n  - fault: {code: tokens_limit_exceeded}\n    headers: {x-ratelimit-limit-tokens: '10000'}\n"
    )
    with pytest.raises(errors.StepError) as caught:
        await on.ask(stream=False, max_tokens=16000)
    assert type(caught.value) is errors.RequestRefused
    assert len(on.bodies) == 1


async def test_a_server_that_repeats_the_key_does_not_get_it_into_an_error(stage: Staging) -> None:
    on = await stage(f"rules:\n  - fault: {{status: 400, code: odd, message: 'no such key {KEY} here'}}\n")
    with pytest.raises(errors.RequestRefused) as caught:
        await on.ask(stream=False)
    assert "no such key" in caught.value.details["said"]
    assert KEY not in repr(caught.value.to_data())


async def test_a_wrong_variable_stands_in_nobodys_way(settings: Settings) -> None:
    async with App.open(settings, {"OPENAI_API_KEY": "sk-a\nsk-b"}) as app:
        assert (await app.complete("Hello", connection="rehearsal")).message
        assert [origin.stored.name for origin in app.connections.all()] == ["rehearsal"]
        for connection in ({}, {"connection": "environment"}):
            with pytest.raises(errors.InvalidInput) as caught:
                await app.complete("Hello", **connection)
            assert caught.value.place == "OPENAI_API_KEY"
            assert "sk-a" not in str(caught.value)
