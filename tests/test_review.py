"""What happens around a call in a program that runs for long: calls given up, streams left, connections replaced."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from chatstep import Completion, History, MakeChatCompletion, Message, errors
from chatstep.app import App
from chatstep.connections import Connections, OpenConnection, Origin
from chatstep.modules.openai import prices
from chatstep.modules.openai.drafting import takes_long
from chatstep.modules.openai.environment import FromEnvironment
from chatstep.modules.openai.tokens import counter_for
from chatstep.settings import Settings
from chatstep.store import Store, StoredConnection, Total
from raw_server import Exchange, RawServer
from stepping import Staging

OPENAI = "https://api.openai.com/v1"
CENT = 10_000_000  # nanodollars
DOLLAR = 100 * CENT
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def totals(app: App) -> list[Total]:
    app.store.ledger.flush()
    return app.store.ledger.totals("connection")


# ---------------------------------------------------------------- streams


async def test_a_stream_goes_on_where_it_was_left(stage: Staging) -> None:
    """A second loop must not give a completion from which the first loop's pieces are missing."""
    on = await stage("rules:\n  - reply: one two three four five\n    fault: {dribble: {bytes: 40, every: 0.001}}\n")
    pieces = []
    async with on.app.stream("Hello", connection="p") as stream:
        async for piece in stream:
            pieces.append(piece)
            break
        async for piece in stream:
            pieces.append(piece)
        assert [piece async for piece in stream] == []
    assert "".join(pieces) == stream.completion.message == "one two three four five"
    (total,) = totals(on.app)
    assert (total.calls, total.failed) == (1, 0)


async def test_an_exception_in_the_readers_loop_is_the_readers(stage: Staging) -> None:
    on = await stage("rules:\n  - fault: {endless: {every: 0.01}}\n")

    async def read() -> None:
        async with on.app.stream("Hello", connection="p") as stream:
            async for _ in stream:
                raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await read()
    await on.provider.idle()
    (total,) = totals(on.app)
    assert (total.calls, total.failed) == (1, 1)


async def test_an_error_after_the_first_words_is_not_free(stage: Staging) -> None:
    """The words were written, and may be charged: what that cost is unknown, and counts as the worst case."""
    on = await stage(
        "rules:\n  - reply: one two three four\n    fault: {error_in_stream: {after: 3, code: server_error}}\n",
        prices=OPENAI,
        daily_limit=CENT,
    )
    with pytest.raises(errors.ProviderDown):
        await on.ask(stream=True)
    (total,) = totals(on.app)
    assert (total.cost, total.unknown) == (0, 1)
    assert total.reserved > 0


# ---------------------------------------------------------------- calls that are given up


async def test_a_call_given_up_while_it_reserves_gives_the_reservation_back(stage: Staging, settings: Settings) -> None:
    on = await stage("rules:\n  - reply: Yes.\n", prices=OPENAI, daily_limit=CENT)
    await on.ask(stream=False)
    (before,) = totals(on.app)
    other = sqlite3.connect(settings.home / "chatstep.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # the reservation has to wait for this
    task = asyncio.create_task(on.ask(stream=False))
    done, _ = await asyncio.wait({task}, timeout=0.3)
    assert not done
    task.cancel()
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert totals(on.app) == [before]
    assert len(on.bodies) == 1


async def test_an_app_given_up_while_it_opens_leaves_nothing_open(settings: Settings) -> None:
    async with App.open(settings, {}):
        pass
    log = settings.home / "chatstep.db-wal"
    assert not log.exists()  # SQLite removes it with the last connection
    task = asyncio.create_task(App.open(settings, {}).__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not log.exists()


async def test_a_failure_leaves_no_task_behind(stage: Staging) -> None:
    """The price is looked up beside the request; a call that fails at once does not need it any more."""
    on = await stage("rules:\n  - fault: {status: 401}\n", prices="https://api.mistral.ai/v1")
    for stream in (False, True):
        with pytest.raises(errors.CredentialsRefused):
            await on.ask(stream=stream, model="never-seen-before")
        await asyncio.sleep(0)
        left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
        assert not [name for name in left if name.startswith("Call.")]


# ---------------------------------------------------------------- money


async def test_what_a_refused_call_reserved_is_given_back_when_it_cannot_be_asked_again(stage: Staging) -> None:
    """The server names a window in which the message has no room: one refusal, which costs nothing."""
    on = await stage("models: [gpt-4o-mini]\nwindow: 300\n", prices=OPENAI, daily_limit=CENT)
    with pytest.raises(errors.DoesNotFit):
        await on.ask(stream=False, message="word " * 250, history=[("Ana", "Hi")], assistant="Robo")
    assert len(on.bodies) == 1
    (total,) = totals(on.app)
    assert (total.calls, total.cost, total.reserved) == (1, 0, 0)


async def test_a_longer_second_request_is_reserved_for(app: App) -> None:
    """A server that takes no names gets them in front of the texts, which takes more tokens than were set aside."""
    people = [("Ana 🦊🦊🦊🦊🦊🦊🦊🦊" if at % 2 else "Bob 🐻🐻🐻🐻🐻🐻🐻🐻", "hi") for at in range(40)]
    fields: dict[str, Any] = {"connection": "raw", "history": people, "assistant": "Robo", "max_tokens": 1}

    async def answer(exchange: Exchange) -> None:
        error = {"message": "no", "type": "x", "param": "messages[0].name", "code": "unsupported_parameter"}
        await exchange.reply(400, msgspec.json.encode({"error": error}))

    async with RawServer(answer) as server:
        where = {"base_url": server.url.removesuffix("/chat/completions"), "prices": OPENAI}
        stored = app.store.connections.add(StoredConnection("raw", "openai", "openai", where))
        draft = await app.preview("Well?", **fields)
        worst = prices.worst_case(draft.prompt.tokens, 1, "gpt-4o-mini", base_url=OPENAI)
        assert worst is not None
        app.store.connections.update(msgspec.structs.replace(stored, daily_limit=prices.nanodollars(worst) + 1000))
        with pytest.raises(errors.SpendLimitReached):
            await app.complete("Well?", **fields)
        assert len(server.requests) == 1
    (total,) = totals(app)
    assert (total.cost, total.reserved) == (0, 0)


@pytest.mark.parametrize("field", ["response_format", "extra"])
async def test_what_is_sent_beside_the_messages_counts_against_the_limit(stage: Staging, field: str) -> None:
    worst = prices.worst_case(8, 256, "gpt-4o-mini", base_url=OPENAI)
    assert worst is not None
    on = await stage(prices=OPENAI, daily_limit=prices.nanodollars(worst) + 1000)
    schema = {"type": "object", "description": "bread and butter " * 2000}
    fields: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        "extra": {"tools": [{"type": "function", "function": {"name": "x", "parameters": schema}}]},
    }
    with pytest.raises(errors.SpendLimitReached):
        await on.ask(stream=False, **{field: fields[field]})
    assert on.bodies == []


async def test_dearer_service_has_no_known_price(stage: Staging) -> None:
    on = await stage("rules:\n  - reply: Yes.\n", prices=OPENAI)
    assert (await on.ask(stream=False, extra={"service_tier": "priority"})).cost == "unknown"
    assert (await on.ask(stream=False, extra={"service_tier": "default"})).cost != "unknown"
    stored = on.app.store.connections.get("p")
    on.app.store.connections.update(msgspec.structs.replace(stored, daily_limit=DOLLAR))
    on.app.connections.expire()
    with pytest.raises(errors.SpendLimitReached, match="unknown"):
        await on.ask(stream=False, extra={"service_tier": "priority"})
    assert (await on.ask(stream=False, extra={"service_tier": "flex"})).message == "Yes."


@pytest.mark.parametrize("limit", ["²", "9" * 5000])
async def test_a_limit_that_is_no_number_is_passed_over(app: App, limit: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(429, **{"x-ratelimit-limit-tokens": limit})

    async with RawServer(answer) as server:
        where = {"base_url": server.url.removesuffix("/chat/completions"), "tries": "1"}
        app.store.connections.add(StoredConnection("raw", "openai", "compatible", where))
        with pytest.raises(errors.RateLimited):
            await app.complete("Hello", connection="raw")


# ---------------------------------------------------------------- what is learnt


async def test_a_guess_at_the_window_is_not_learnt(stage: Staging) -> None:
    """A server that names no window gets a shorter prompt once; a field it refuses then must not make that a rule."""
    answers = [
        {"message": "too long", "type": "x", "param": "messages", "code": "context_length_exceeded"},
        {"message": "no seed", "type": "x", "param": "seed", "code": "unsupported_parameter"},
    ]

    async def answer(exchange: Exchange) -> None:
        if answers:
            await exchange.reply(400, msgspec.json.encode({"error": answers.pop(0)}))
        else:
            reply = {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}
            await exchange.reply(200, msgspec.json.encode(reply))

    on = await stage()
    async with RawServer(answer) as server:
        where = {"base_url": server.url.removesuffix("/chat/completions")}
        on.app.store.connections.add(StoredConnection("raw", "openai", "compatible", where))
        history = [("Ana" if at % 2 else "Robo", f"message number {at} about bread") for at in range(60)]
        done = await on.app.complete("Well?", connection="raw", model="own", seed=7, history=history, assistant="Robo")
    assert (done.message, done.attempts) == ("Yes.", 3)
    assert done.dropped
    assert on.app.store.traits.get("raw", "own") == {"refused": ["seed"]}


async def test_a_window_too_small_to_be_one_is_not_learnt(app: App) -> None:
    """Remembered, it would refuse every later call before it is made."""

    async def answer(exchange: Exchange) -> None:
        error = {"message": "context length is 200", "type": "x", "code": "context_length_exceeded"}
        await exchange.reply(400, msgspec.json.encode({"error": error}))

    async with RawServer(answer) as server:
        where = {"base_url": server.url.removesuffix("/chat/completions")}
        app.store.connections.add(StoredConnection("raw", "openai", "compatible", where))
        history = [("Ana" if at % 2 else "Robo", f"message number {at} about bread") for at in range(60)]
        with pytest.raises(errors.ContextTooLong):
            await app.complete("Well?", connection="raw", model="own", history=history, assistant="Robo")
        assert len(server.requests) == 2
    assert app.store.traits.all("raw") == {}


async def test_two_calls_learn_beside_each_other(stage: Staging) -> None:
    """Each is refused another field at the same time; what one learnt is not forgotten for the other."""
    waiting: list[asyncio.Future[None]] = []

    async def answer(exchange: Exchange) -> None:
        body = msgspec.json.decode(exchange.body)
        bad = next((name for name in ("seed", "top_p") if name in body), None)
        if bad is None:
            reply = {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}
            await exchange.reply(200, msgspec.json.encode(reply))
            return
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(here)
        if len(waiting) == 2:
            for each in waiting:
                each.set_result(None)
        if len(waiting) <= 2:
            await here
        error = {"message": "no", "type": "x", "param": bad, "code": "unsupported_parameter"}
        await exchange.reply(400, msgspec.json.encode({"error": error}))

    on = await stage()
    async with RawServer(answer) as server:
        where = {"base_url": server.url.removesuffix("/chat/completions")}
        on.app.store.connections.add(StoredConnection("raw", "openai", "compatible", where))
        await asyncio.gather(
            on.app.complete("Hi", connection="raw", model="own", seed=7),
            on.app.complete("Hi", connection="raw", model="own", top_p=0.5),
        )
    assert on.app.store.traits.get("raw", "own") == {"refused": ["seed", "top_p"]}


async def test_a_lesson_that_cannot_be_stored_does_not_take_the_reply(
    stage: Staging, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    on = await stage("models: [own]\nrefuse_fields: [temperature]\n")
    await on.app.connections.get("p")
    database = sqlite3.connect(settings.home / "chatstep.db")
    database.execute("DROP TABLE chatstep_traits")
    database.close()
    for attempts in (2, 1):
        assert (await on.ask(stream=False, model="own", temperature=0.1)).attempts == attempts
    assert "could not be stored" in caplog.text


# ---------------------------------------------------------------- opening and closing


async def test_an_app_can_be_opened_again(settings: Settings) -> None:
    app = App.open(settings, {})
    for _ in range(2):
        async with app:
            assert (await app.complete("Hello", connection="rehearsal")).message


async def test_a_closed_app_says_so(stage: Staging, settings: Settings) -> None:
    app = App.open(settings, {})
    async with app:
        context = app.context
        assert (await app.complete("Hello", connection="rehearsal")).message
    with pytest.raises(RuntimeError, match="not open"):
        await app.complete("Hello", connection="rehearsal")
    with pytest.raises(RuntimeError, match="not open"):
        await context.connection("rehearsal")


async def test_closing_while_a_connection_opens_leaves_nothing_open(settings: Settings) -> None:
    app = App.open(settings, {})
    before = listening()
    async with app:
        tasks = [asyncio.create_task(app.complete("Hello", connection="rehearsal")) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not [task.exception() for task in tasks if isinstance(task.exception(), errors.StoreError)]
    assert listening() == before


async def test_a_replaced_rehearsal_is_closed(app: App) -> None:
    before = listening()
    app.store.connections.add(StoredConnection("mine", "rehearsal", "rehearsal"))
    for _ in range(3):
        await app.complete("Hello", connection="mine")
        stored = app.store.connections.get("mine")
        app.store.connections.update(msgspec.structs.replace(stored, daily_limit=CENT))
        app.connections.expire()
    await app.connections.close()
    assert listening() == before


def listening() -> int:
    """How many sockets of this process listen."""
    own = {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_link(name)}
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in own for row in rows)


def _is_link(name: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{name}")


@BOTH
async def test_a_call_that_outlives_its_app_ends(settings: Settings, stream: bool) -> None:
    """With an error of chatstep, and without one about the ledger in its place."""

    arrived = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        arrived.set()
        await exchange.until_gone()

    async with RawServer(answer) as server:
        app = App.open(settings, {})
        async with app:
            where = {"base_url": server.url.removesuffix("/chat/completions"), "tries": "1"}
            app.store.connections.add(StoredConnection("raw", "openai", "compatible", where))

            async def ask() -> None:
                if not stream:
                    await app.complete("Hello", connection="raw")
                    return
                async with app.stream("Hello", connection="raw") as pieces:
                    async for _ in pieces:
                        pass

            task = asyncio.create_task(ask())
            await arrived.wait()
        with pytest.raises(errors.Unreachable):
            await task


async def test_waiting_calls_look_at_the_store_once(settings: Settings) -> None:
    """When a connection is due to be looked at again, all calls wait for one look."""
    looks = 0

    def given() -> FromEnvironment | None:
        nonlocal looks
        looks += 1
        return None

    def open_store() -> Store:
        store = Store.open(settings.home)
        store.connections.add(StoredConnection("p", "openai", "compatible", {"base_url": "http://127.0.0.1:9/v1"}))
        return store

    store = await asyncio.to_thread(open_store)
    connections = Connections(lambda: store, given)
    await connections.get("p")
    connections.expire()
    looks = 0
    await asyncio.gather(*[connections.get("p") for _ in range(100)])
    assert looks == 1
    await connections.close()
    await asyncio.to_thread(store.close)


# ---------------------------------------------------------------- the event loop and memory


def test_what_takes_long_to_count_is_counted_in_a_thread() -> None:
    """The event loop must not stand still for one message that somebody pasted a log into."""
    counter_for("o200k_base")("loaded")
    connection: Any = OpenConnection(Origin(StoredConnection("p", "openai", "openai"), "store"), None, {})
    for history, message, long in [
        ([("Ana", "Hi")], "Hello", False),
        ([("Ana", "x" * 100_001)], "Hello", True),
        ([("Ana", "Hi")] * 2001, "Hello", True),
        ([("Ana", "Hi"), Message("Ana", None)], "Hello", False),  # type: ignore[arg-type]  # a photo, say
        ([("Ana", "Hi")], "x" * 100_001, True),
    ]:
        inputs = MakeChatCompletion(connection="p", message=message, history=History("Robo", history))
        assert takes_long(inputs, connection, roughly=True) == long


async def test_errors_and_completions_are_plain_data(stage: Staging) -> None:
    on = await stage("rules:\n  - reply: Yes.\n    times: 1\n  - fault: empty_length\n", prices=OPENAI)
    done = await on.ask(stream=False)
    assert msgspec.json.decode(msgspec.json.encode(done), type=Completion) == done
    with pytest.raises(errors.EmptyAnswer) as caught:
        await on.ask(stream=False)
    data: Mapping[str, Any] = msgspec.json.decode(msgspec.json.encode(caught.value.to_data()))
    assert data == caught.value.to_data()
