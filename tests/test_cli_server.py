"""`chatstep serve` as a process of its own, and `chatstep tokens`."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest
from openai import AuthenticationError, OpenAI

from chatstep.flows.reading import read_flow
from chatstep.rehearsal import Rehearsal
from chatstep.store import Store
from command_line import Commands
from serving import running

Serve = Callable[..., Rehearsal]
HELLO = [{"role": "user", "content": "Hello"}]
FLOW = """
name: shop
on: [chat]
steps:
  - {id: reply, uses: openai.make_chat_completion, with: {connection: rehearsal, message: "${{ trigger.text }}"}}
outputs: {message: "${{ steps.reply.message }}"}
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_fresh_installation_answers_until_it_is_ended(chatstep: Commands, sent: signal.Signals) -> None:
    """Offline, without a key, with nothing set up."""
    with running(chatstep) as (process, address, said):
        with OpenAI(base_url=f"{address}/v1", api_key="any") as client:
            answer = client.chat.completions.create(model="rehearsal/gpt-4o-mini", messages=HELLO)  # type: ignore[arg-type]
            assert answer.choices[0].message.content
        process.send_signal(sent)
        assert process.wait(30) == 0
        assert "Traceback" not in said.read()
    assert '"calls":1' in chatstep("usage", "--json").stdout.replace(" ", "")


def test_a_published_flow_is_served(chatstep: Commands) -> None:
    flow = read_flow(FLOW)
    with Store.open(chatstep.folder / "home") as store:
        store.flows.publish(flow.name, flow.version, flow.source)
    with running(chatstep) as (_, address, _), OpenAI(base_url=f"{address}/v1", api_key="any") as client:
        answer = client.chat.completions.create(model="flow/shop", messages=HELLO)  # type: ignore[arg-type]
        assert answer.choices[0].message.content


def test_a_token_that_is_made_while_it_runs_holds_at_once(chatstep: Commands) -> None:
    with running(chatstep) as (_, address, _):
        text = chatstep("tokens", "make", "shop").stdout.strip()
        with (
            OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client,
            pytest.raises(AuthenticationError),
        ):
            client.models.list()
        with OpenAI(base_url=f"{address}/v1", api_key=text) as client:
            assert client.models.list().data


def test_what_is_wrong_is_said(chatstep: Commands) -> None:
    assert "admin token" in chatstep("serve", "--host", "0.0.0.0", code=2).stderr
    chatstep("serve", "--port", "70000", code=2)


def test_tokens_are_made_listed_and_revoked(chatstep: Commands) -> None:
    assert "There is no token" in chatstep("tokens", "list").stderr
    made = chatstep("tokens", "make", "shop", "--model", "work/*", "--daily-limit", "2", "--days", "90")
    assert re.fullmatch(r"cs_[\w-]{43}\n", made.stdout)
    chatstep("tokens", "make", "shop", code=2)
    chatstep("tokens", "make", "two words", code=2)
    chatstep("tokens", "make", "free", "--daily-limit", "much", code=2)
    (listed,) = chatstep.json("tokens", "list")
    assert (listed["name"], listed["models"], listed["daily_limit"]) == ("shop", ["work/*"], 2_000_000_000)
    shown = chatstep("tokens", "list").stdout
    assert "$2.00" in shown
    assert made.stdout.strip() not in shown
    chatstep("tokens", "revoke", "shopp", code=3)
    chatstep("tokens", "revoke", "shop")
    assert chatstep.json("tokens", "list") == []
