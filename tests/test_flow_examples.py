"""The flows in `examples/` run, as they stand, on the rehearsal provider; only their addresses are ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from chatstep.app import App
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow
from chatstep.flows.records import RunRecord
from chatstep.message import Author
from chatstep.settings import Settings
from chatstep.store import StoredConnection
from raw_server import Exchange, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLOWS = Path(__file__).resolve().parent.parent / "examples" / "flows"
SCRIPT = r"""
- {when: {text: "(?i)buy my"}, reply: BAD}
- {when: {text: "cannot log in"}, times: 1, reply: URGENT}
- {when: {text: "cannot log in"}, reply: Have you tried the other door?}
- {when: {text: "Die Bohnen"}, reply: The beans are up.}
- {when: {text: "Robin, who has the keys"}, reply: "Zoë has them, Ana."}
- {when: {text: "Beans are up"}, reply: Beans are up; slugs are not.}
- {when: {text: "Do you have rakes"}, reply: "Yes, three kinds."}
- {reply: GOOD}
"""
NEWS = [{"title": "Beans are up", "text": "At last."}, {"title": "Slugs", "text": "Fewer."}]


class Stage:
    """An App with the examples published, and a server that takes what they send."""

    def __init__(self, app: App, server: RawServer) -> None:
        self.app, self.server = app, server
        self.url = f"http://127.0.0.1:{server.port}"

    def sent(self) -> list[Any]:
        """What was posted since the last look, path and body."""
        taken = [(one.line.split()[1], json.loads(one.body)) for one in self.server.requests if one.body]
        self.server.requests.clear()
        return taken

    async def run(self, name: str, text: str = "", *, type: str = "webhook", **event: Any) -> RunRecord:
        """Run an example: its addresses are replaced by the server's."""
        flow = read_flow(FLOWS / f"{name}.yaml")
        await self.app.flows.publish(flow)
        inputs = {
            key: f"{self.url}/{key}" for key, part in flow.inputs.items() if str(part.default).startswith("https://")
        }
        made = Event(type=type, id=event.pop("id", text), text=text, **event)  # type: ignore[arg-type]
        started = await self.app.flows.start(name, made, inputs)
        record = await asyncio.wait_for(self.app.flows.wait(started.id), 60)
        assert record.state == "done", record.error
        return record


async def answer(exchange: Exchange) -> None:
    kind = {"content_type": "application/json"}
    await exchange.reply(200, msgspec.json.encode(NEWS if " /news " in exchange.line else {"ok": True}), **kind)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "script.yaml").write_text(SCRIPT, encoding="utf-8")
    settings = Settings(home=folder / "home", private_addresses="allow")
    async with App.open(settings, {}) as app, RawServer(answer) as server:
        scripted = StoredConnection("rehearsal", "rehearsal", "rehearsal", {"script": str(folder / "script.yaml")})
        await asyncio.to_thread(app.store.connections.add, scripted, {})
        yield Stage(app, server)


async def test_a_shop_answers_in_a_conversation(stage: Stage) -> None:
    record = await stage.run("shop", "Do you have rakes?", type="chat", author=Author("Ana"), conversation="ana")
    assert record.outputs == {"message": "Yes, three kinds."}
    kept = await asyncio.to_thread(stage.app.store.conversations.read, "ana")
    assert [(message.author.name, message.text) for message in kept] == [
        ("Ana", "Do you have rakes?"),
        ("Robin", "Yes, three kinds."),
    ]


async def test_a_helper_speaks_only_when_spoken_to(stage: Stage) -> None:
    quiet = await stage.run("community", "I have the keys.", author=Author("Zoë"), conversation="garden")
    assert quiet.outputs == {"message": ""}
    spoken = await stage.run("community", "Robin, who has the keys?", author=Author("Ana"), conversation="garden")
    assert spoken.outputs == {"message": "Zoë has them, Ana."}
    kept = await asyncio.to_thread(stage.app.store.conversations.read, "garden")
    assert [message.author.name for message in kept] == ["Zoë", "Ana", "Robin"]


async def test_a_ticket_is_sorted_and_drafted(stage: Stage) -> None:
    record = await stage.run("ticket", "I cannot log in!", id="t-1", author=Author("Ben"))
    assert record.outputs == {"draft": "Have you tried the other door?", "urgent": True, "status": 200}
    body = {"ticket": "t-1", "urgent": True, "draft": "Have you tried the other door?"}
    assert stage.sent() == [("/desk", body)]


async def test_a_digest_is_posted(stage: Stage) -> None:
    record = await stage.run("digest", type="schedule", id="morning")
    assert record.outputs == {"parts": 1}
    assert stage.sent() == [("/post", {"content": "Beans are up; slugs are not."})]


async def test_a_message_is_translated_and_forwarded(stage: Stage) -> None:
    record = await stage.run("translate", "Die Bohnen sind da.", author=Author("Uwe"))
    assert record.outputs == {"message": "The beans are up.", "parts": 1}
    assert stage.sent() == [("/target", {"content": "Uwe: The beans are up."})]


async def test_moderation_has_two_ways(stage: Stage) -> None:
    good = await stage.run("moderation", "Look at my beans.", id="m-1", author=Author("Ana"))
    assert (good.outputs, stage.sent()) == ({"hidden": False}, [])
    bad = await stage.run("moderation", "Buy my seeds!!!", id="m-2", author=Author("Spam"))
    assert bad.outputs == {"hidden": True}
    assert stage.sent() == [
        ("/hide", {"message": "m-2"}),
        ("/moderators", {"content": "Hidden, from Spam: Buy my seeds!!!"}),
    ]
