"""The API: what programs do with connections, flows, runs, conversations, usage, modules and tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from chatstep.message import Message
from chatstep.server.listening import Listen, Server
from chatstep.store import Token
from flowing import Flowing

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREET = """
name: greet
description: Says hello.
on: [manual, webhook: {path: greet}]
inputs: {who: {default: you}}
steps:
  - id: say
    uses: openai.make_chat_completion
    with: {connection: rehearsal, message: "Hello from ${{ inputs.who }}: ${{ trigger.text }}"}
  - {id: keep, uses: flow.set, with: {values: {said: "${{ steps.say.message }}"}}}
outputs: {message: "${{ steps.say.message }}"}
"""
SLOW = """
name: slow
steps:
  - {id: pause, uses: flow.wait, with: {seconds: 300}}
"""
QUIET = """
name: quiet
keep_content: false
steps:
  - {id: keep, uses: flow.set, with: {values: {said: "${{ trigger.text }}"}}}
outputs: {said: "${{ steps.keep.values.said }}"}
"""


class Api:
    """A client of the API, which holds every answer against the document."""

    def __init__(self, address: str, client: aiohttp.ClientSession, document: dict[str, Any]) -> None:
        self.address, self.client, self.document = address, client, document

    async def __call__(self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        if body is not None:
            options["json"] = body
        async with self.client.request(method, f"{self.address}/api{path}", **options) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text) if text else None

    def fits(self, shape: str, value: Any) -> bool:
        schema = {"$ref": f"#/components/schemas/{shape}", "components": self.document["components"]}
        return Draft202012Validator(schema).is_valid(value)


@pytest_asyncio.fixture(loop_scope="module")
async def api(flowing: Flowing) -> AsyncIterator[Api]:
    async with (
        aiohttp.ClientSession() as client,
        Server(flowing.app, Listen(port=0)) as server,
        client.get(f"{server.address}/api/openapi.json") as answer,
    ):
        yield Api(server.address, client, await answer.json())


async def pages(api: Api, path: str, limit: int = 2) -> list[Any]:
    """All items of a list, asked for in pages."""
    found: list[Any] = []
    mark = "&" if "?" in path else "?"
    page = await api("GET", f"{path}{mark}limit={limit}")
    while True:
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next"] is None:
            return found
        page = await api("GET", f"{path}{mark}limit={limit}&cursor={page['next']}")


async def test_the_document_is_one(api: Api) -> None:
    validate(api.document)
    for path, methods in api.document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"].endswith("."), (method, path)


async def test_a_flow_is_published_run_and_shown(api: Api) -> None:
    published = await api("POST", "/flows", {"text": GREET})
    assert published["flow"]["hooks"] == ["greet"]
    assert published["flow"]["text"] == GREET
    assert (await api("POST", "/flows", {"text": GREET}))["new"] is False
    assert (await api("GET", "/flows/greet"))["inputs"]["who"]["default"] == "you"
    begun = await api(
        "POST", "/runs", {"flow": "greet", "text": "Hi", "inputs": {"who": "Ana"}, "wait": 30}, status=201
    )
    assert api.fits("Begun", begun)
    run = begun["run"]
    assert (run["state"], [step["id"] for step in run["steps"]]) == ("done", ["say", "keep"])
    assert run["outputs"]["message"] == run["steps"][1]["output"]["values"]["said"]
    assert run["created"].endswith("Z")
    assert run["prompt_tokens"] > 0
    assert await api("GET", f"/runs/{run['id'][:12]}") == run
    today = run["created"][:10]
    assert any(each["id"] == run["id"] for each in await pages(api, f"/runs?flow=greet&state=done&since={today}"))
    assert await pages(api, "/runs?until=2020-01-01") == []


async def test_runs_of_a_conversation_are_found(api: Api) -> None:
    await api("POST", "/flows", {"text": GREET.replace("greet", "talk") + "conversation: {}\n"})
    for conversation in ("one", "two", "one"):
        await api("POST", "/runs", {"flow": "talk", "conversation": conversation, "text": "Hi"}, status=201)
    found = await pages(api, "/runs?conversation=one", 1)
    assert [run["conversation"] for run in found] == ["one", "one"]


async def test_the_same_event_is_one_run(api: Api) -> None:
    await api("POST", "/flows", {"text": GREET})
    wanted = {"flow": "greet", "text": "Hi", "event_id": "once"}
    first = await api("POST", "/runs", wanted, status=201)
    second = await api("POST", "/runs", wanted, status=201)
    assert (first["new"], second["new"]) == (True, False)
    assert first["run"]["id"] == second["run"]["id"]


async def test_a_flow_with_problems_is_refused_with_all_of_them(api: Api) -> None:
    bad = "name: bad\nsteps:\n  - {id: a, uses: opnai.make_chat_completion}\n  - {id: a, uses: flow.set, whith: {}}\n"
    checked = await api("POST", "/flow-check", {"text": bad})
    assert (checked["ok"], checked["name"]) == (False, "bad")
    refused = (await api("POST", "/flows", {"text": bad}, status=400))["error"]
    assert refused["problems"] == checked["problems"]
    assert {problem["line"] for problem in checked["problems"]} == {3, 4}
    assert (await api("POST", "/flow-check", {"text": GREET}))["ok"] is True
    assert not (await api("POST", "/flow-check", {"text": "name: [", "any_connection": True}))["ok"]


async def test_a_text_that_looks_like_a_file_is_no_file(api: Api, tmp_path: Any) -> None:
    (tmp_path / "shop.yaml").write_text(GREET)
    checked = await api("POST", "/flow-check", {"text": str(tmp_path / "shop.yaml")})
    assert checked["ok"] is False
    assert checked["name"] is None


async def test_versions_stay_and_can_be_published_again(api: Api) -> None:
    first = (await api("POST", "/flows", {"text": GREET.replace("greet", "twice")}))["flow"]["version"]
    second = (await api("POST", "/flows", {"text": GREET.replace("greet", "twice") + "\n"}))["flow"]["version"]
    found = await pages(api, "/flows/twice/versions", 1)
    assert [(each["version"], each["current"]) for each in found] == [(second, True), (first, False)]
    assert (await api("POST", f"/flows/twice/versions/{first}/publish"))["new"] is True
    assert (await api("GET", "/flows/twice"))["version"] == first
    assert (await api("GET", f"/flows/twice/versions/{second}"))["current"] is False
    await api("DELETE", "/flows/twice", status=204)
    await api("GET", "/flows/twice", status=404)
    assert "twice" not in [each["name"] for each in await pages(api, "/flows", 1)]
    await api("POST", "/runs", {"flow": "twice"}, status=404)


async def test_a_run_is_cancelled_resumed_and_run_again(api: Api) -> None:
    await api("POST", "/flows", {"text": SLOW})
    id = (await api("POST", "/runs", {"flow": "slow"}, status=201))["run"]["id"]
    assert (await api("POST", f"/runs/{id}/cancel"))["state"] == "cancelled"
    await api("POST", f"/runs/{id}/cancel", status=400)
    assert (await api("POST", f"/runs/{id}/resume"))["state"] in ("queued", "waiting", "running")
    await api("POST", f"/runs/{id}/cancel")
    again = await api("POST", f"/runs/{id}/rerun", {}, status=201)
    assert again["id"] != id
    await api("POST", f"/runs/{again['id']}/cancel")
    await api("POST", f"/runs/{id}/rerun", {"from": "paus"}, status=404)


async def test_events_tell_the_states_of_a_run(api: Api) -> None:
    await api("POST", "/flows", {"text": GREET})
    async with api.client.get(f"{api.address}/api/runs/events?flow=greet") as all_runs:
        assert await all_runs.content.readline() == b": ping\n"
        id = (await api("POST", "/runs", {"flow": "greet"}, status=201))["run"]["id"]
        states = []
        async with api.client.get(f"{api.address}/api/runs/{id}/events") as answer:
            assert answer.content_type == "text/event-stream"
            async for line in answer.content:
                if line.startswith(b"data: "):
                    states.append(json.loads(line[6:]))
        assert states[-1]["state"] == "done"
        assert all(api.fits("Run", state) for state in states)
        assert "Hello from" not in json.dumps(states)
        async for line in all_runs.content:
            if line.startswith(b"data: "):
                told = json.loads(line[6:])
                assert (told["id"], told["flow"]) == (id, "greet")
                if told["state"] == "done":
                    break
    await api("GET", "/runs/nobody/events", status=404)


async def test_who_watches_does_not_hold_the_server_up(api: Api, flowing: Flowing) -> None:
    server = Server(flowing.app, Listen(port=0))
    await server.start()
    async with api.client.get(f"{server.address}/api/runs/events") as answer:
        assert await answer.content.readline() == b": ping\n"
        await asyncio.wait_for(server.stop(60), 20)
        assert await answer.content.read() in (b"\n", b"\n: ping\n\n")


async def test_what_a_flow_keeps_to_itself_is_not_shown(api: Api) -> None:
    await api("POST", "/flows", {"text": QUIET})
    begun = await api("POST", "/runs", {"flow": "quiet", "text": "my secret", "wait": 30}, status=201)
    assert begun["run"]["state"] == "done"
    assert "my secret" not in json.dumps(begun)
    assert "my secret" not in json.dumps(await api("GET", "/runs?flow=quiet"))


async def test_a_connection_comes_changes_and_goes_without_showing_its_key(api: Api) -> None:
    key = "sk-marker-9fXq"
    new = {
        "name": "work",
        "settings": {"base_url": "http://127.0.0.1:9/v1"},
        "secrets": {"api_key": key},
        "daily_limit": "2.50",
    }
    made = await api("POST", "/connections", new, status=201)
    assert api.fits("ConnectionDetails", made)
    assert (made["kind"], made["secrets"], made["daily_limit"]) == ("openai", ["api_key"], "2.5")
    await api("POST", "/connections", new, status=400)
    changed = await api("PATCH", "/connections/work", {"daily_limit": None, "secrets": {"api_key": f"{key}-2"}})
    assert changed["daily_limit"] is None
    moved = await api("PATCH", "/connections/work", {"settings": {"base_url": "http://127.0.0.1:8/v1"}})
    assert moved["address"] == "http://127.0.0.1:8/v1"
    listed = await pages(api, "/connections", 1)
    assert [each["name"] for each in listed] == ["rehearsal", "work"]
    wrong = await api("PATCH", "/connections/work", {"secrets": {"api_key": f"{key} \n{key}"}}, status=400)
    strange = await api("PATCH", "/connections/work", {"settings": {"api_key": key}}, status=400)
    tried = await api("POST", "/connections/work/test", {})
    assert tried["ok"] is False
    assert tried["error"]["code"] == "unreachable"
    await api("GET", "/connections/work/models", status=502)
    assert key not in json.dumps([made, changed, moved, listed, wrong, strange, tried])
    await api("DELETE", "/connections/work", status=204)
    await api("GET", "/connections/work", status=404)


async def test_the_rehearsal_connection_is_tried_and_stays(api: Api) -> None:
    assert (await api("POST", "/connections/rehearsal/test", {}))["ok"] is True
    assert "gpt-4o-mini" in [model["id"] for model in await pages(api, "/connections/rehearsal/models", 3)]
    await api("DELETE", "/connections/rehearsal", status=400)
    await api("POST", "/connections", {"name": "rehearsal"}, status=400)
    await api("POST", "/connections", {"name": "x", "kind": "opnai"}, status=404)
    await api("POST", "/connections", {"name": "x", "secrets": {"api_kee": "sk-1"}}, status=404)
    missing = await api("POST", "/connections", {"name": "x", "kind": "azure"}, status=400)
    assert missing["error"]["param"].startswith("settings.")


async def test_conversations_are_listed_read_renamed_and_deleted(api: Api, flowing: Flowing) -> None:
    store = flowing.app.store.conversations

    def fill() -> None:
        for id in ("a/b c", "b", "ü"):
            store.create(id, title=f"Title of {id}")
            store.append(id, *(Message("Ana", f"Message {number}") for number in range(5)))

    await asyncio.to_thread(fill)
    found = await pages(api, "/conversations", 1)
    assert {"a/b c", "b", "ü"} <= {each["id"] for each in found}
    texts = [message["text"] for message in await pages(api, "/conversations/a%2Fb%20c/messages", 2)]
    assert texts == [f"Message {number}" for number in range(5)]
    assert (await api("PATCH", "/conversations/%C3%BC", {"title": "Roses"}))["title"] == "Roses"
    await api("PATCH", "/conversations/b", {"title": " "}, status=400)
    await api("DELETE", "/conversations/a%2Fb%20c", status=204)
    await api("GET", "/conversations/a%2Fb%20c", status=404)
    await api("GET", "/conversations/none/messages", status=404)


async def test_usage_is_summed(api: Api, flowing: Flowing) -> None:
    await flowing.app.complete("Hello", connection="rehearsal", model="gpt-4o-mini")
    found = await pages(api, "/usage?by=model")
    (mini,) = [each for each in found if each["key"] == "gpt-4o-mini"]
    assert mini["calls"] >= 1
    assert api.fits("Usage", mini)
    assert await pages(api, "/usage?until=2020-01-01") == []
    await api("GET", "/usage?since=2026-02-01&until=2026-01-01", status=400)
    await api("GET", "/usage?since=yesterday", status=400)


async def test_steps_and_modules_say_what_they_take(api: Api) -> None:
    names = [step["name"] for step in await pages(api, "/steps", 3)]
    assert names == sorted(names)
    step = await api("GET", "/steps/openai.make_chat_completion")
    Draft202012Validator.check_schema(step["inputs"])
    Draft202012Validator.check_schema(step["output"])
    assert "Instructions" in json.dumps(step["inputs"])
    modules = {module["name"]: module for module in await pages(api, "/modules", 4)}
    assert "openai.make_chat_completion" in modules["openai"]["steps"]
    azure = next(kind for kind in modules["openai"]["connection_kinds"] if kind["name"] == "azure")
    assert any(field["secret"] for field in azure["fields"])
    assert await api("GET", "/modules/slack") == modules["slack"]
    Draft202012Validator.check_schema(await api("GET", "/flow-schema"))
    near = await api("GET", "/steps/openai.make_chat_complet", status=404)
    assert "openai.make_chat_completion" in near["error"]["hint"]


async def test_what_is_wrong_is_said_with_its_place(api: Api) -> None:
    async def wrong(path: str, body: Any = None, **options: Any) -> Any:
        method = "GET" if body is None and "data" not in options else "POST"
        return (await api(method, path, body, status=400, **options))["error"]

    assert (await wrong("/runs?limit=0"))["param"] == "limit"
    assert (await wrong("/runs?limt=3"))["message"].startswith("Object contains unknown field")
    assert (await wrong("/runs?limit=3&limit=4"))["param"] == "limit"
    assert (await wrong("/runs?state=dun"))["param"] == "state"
    for cursor in ("x", "WzFd", "!!", "bnVsbA", "W1tbW1tbW1tbW1tb"):
        assert (await wrong(f"/runs?cursor={cursor}"))["param"] == "cursor"
    assert (await wrong("/connections/rehearsal?x=1"))["code"] == "invalid_value"
    assert (await wrong("/runs", {"flow": 7}))["param"] == "flow"
    assert "JSON" in (await wrong("/runs", data=b"{"))["message"]
    assert "JSON" in (await wrong("/runs", data=b"\xff\xfe"))["message"]
    assert "body" in (await wrong("/runs", data=b""))["message"]
    deep = b'{"flow": "x", "data": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert "deep" in (await wrong("/runs", data=deep))["message"]
    near = await api("GET", "/connection", status=404)
    assert "/api/connections" in near["error"]["message"]
    await api("PUT", "/runs", {}, status=405)


async def test_once_there_are_tokens_only_admins_come_in(api: Api, flowing: Flowing) -> None:
    made = await api("POST", "/tokens", {"name": "root", "admin": True, "days": 3}, status=201)
    assert api.fits("MadeToken", made)
    tokens = flowing.app.store.tokens
    _, plain = await asyncio.to_thread(tokens.make, Token(name="plain"))
    try:
        async with aiohttp.ClientSession() as client, Server(flowing.app, Listen(port=0)) as server:
            guarded = Api(server.address, client, api.document)
            await guarded("GET", "/runs", status=401)
            await guarded("GET", "/runs", status=403, headers={"Authorization": f"Bearer {plain.reveal()}"})
            admin = {"Authorization": f"Bearer {made['text']}"}
            listed = await guarded("GET", "/tokens", headers=admin)
            assert [token["name"] for token in listed["items"]] == ["plain", "root"]
            assert made["text"] not in json.dumps(listed)
            await guarded("DELETE", "/tokens/plain", headers=admin, status=204)
            await guarded("DELETE", "/tokens/plain", headers=admin, status=404)
            foreign = {**admin, "Origin": "https://elsewhere.example"}
            await guarded("POST", "/runs", {"flow": "x"}, status=403, headers=foreign)
    finally:
        await asyncio.to_thread(tokens.revoke, "root")
