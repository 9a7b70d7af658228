"""`chatstep flow chat`: a flow answers in a terminal, and keeps its conversation."""

from __future__ import annotations

import pytest

from command_line import Commands

SHOP = """
name: shop
on: [chat]
conversation: {id: "${{ trigger.conversation }}", assistant: Robin}
steps:
  - id: reply
    uses: openai.make_chat_completion
    with:
      connection: rehearsal
      message: ${{ trigger.text }}
      history: {assistant: Robin, messages: "${{ conversation.messages }}"}
outputs: {message: "${{ steps.reply.message }}"}
"""
SILENT = """
name: silent
on: [chat]
steps: [{id: x, uses: flow.set, with: {values: {}}}]
"""


@pytest.fixture
def shop(chatstep: Commands) -> str:
    return chatstep.file("shop.yaml", SHOP)


def test_each_line_is_a_message(chatstep: Commands, shop: str) -> None:
    said = chatstep("flow", "chat", shop, "--conversation", "ana", "--name", "Ana", input="Hello\n\nI have beans.\n")
    first, second = said.stdout.splitlines()
    assert first == "Hello! What can I do for you today?"
    assert second
    again = chatstep("flow", "chat", "shop", "--conversation", "ana", input="And slugs.\n")
    assert len(again.stdout.splitlines()) == 1
    kept = chatstep.json("conversations", "show", "ana")
    assert [message["text"] for message in kept["messages"]][:3] == ["Hello", first, "I have beans."]
    runs = chatstep.json("flow", "runs")
    assert [run["state"] for run in runs] == ["done"] * 3


def test_what_is_wrong_is_said(chatstep: Commands, shop: str) -> None:
    chatstep("flow", "chat", "nowhere", input="x\n", code=3)
    chatstep("flow", "chat", shop, "--name", " ", input="x\n", code=2)
    hand = chatstep.file("hand.yaml", SHOP.replace("on: [chat]", "on: [manual]"))
    assert "no chat trigger" in chatstep("flow", "chat", hand, input="x\n", code=2).stderr
    silent = chatstep("flow", "chat", chatstep.file("silent.yaml", SILENT), input="x\n", code=2)
    assert "gave no output `message`" in silent.stderr


def test_a_run_that_fails_has_its_exit_code(chatstep: Commands) -> None:
    file = chatstep.file("bad.yaml", SHOP.replace("message: ${{ trigger.text }}", "message: ${{ trigger.data.none }}"))
    failed = chatstep("flow", "chat", file, input="x\n", code=2)
    assert "Error:" in failed.stderr
    assert failed.stdout == ""
