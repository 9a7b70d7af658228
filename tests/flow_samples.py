"""A flow that is sound, and short ways to make it unsound, for tests of the check."""

from __future__ import annotations

from typing import Any

from chatstep.flows.checking import check
from chatstep.flows.problems import Problem
from chatstep.flows.reading import read_draft

STEP = "openai.make_chat_completion"
SOUND = f"""\
name: shop
on:
  - chat
  - webhook:
      path: shop
      text: ${{{{ body.a.b }}}}
      author: ${{{{ headers.from }}}}
      conversation: ${{{{ query.chat }}}}
  - schedule: {{cron: "0 9 * * 1-5", zone: Europe/Berlin}}
inputs:
  tone: {{default: friendly}}
  count: whole
  options: mapping
  anything: any
conversation: {{id: "shop-${{{{ trigger.conversation }}}}"}}
steps:
  - id: reply
    uses: {STEP}
    with:
      connection: rehearsal
      instructions: You are ${{{{ inputs.tone }}}}.
      message: ${{{{ trigger.text }}}}
      history: {{assistant: Robin, messages: "${{{{ conversation.messages }}}}"}}
      max_tokens: ${{{{ inputs.count }}}}
      temperature: 0.5
      stop: [a, "${{{{ inputs.tone }}}}"]
      seed: ${{{{ inputs.anything.number }}}}
      extra: ${{{{ inputs.options }}}}
    on_error: continue
  - id: each
    uses: {STEP}
    with:
      connection: ${{{{ inputs.options.connection }}}}
      message: ${{{{ item.text }}}} ${{{{ index }}}} ${{{{ run.id }}}} ${{{{ trigger.author.name }}}}
    each: ${{{{ steps.reply.message_parts }}}}
    when: ${{{{ not steps.reply.failed and index < 3 }}}}
  - id: last
    uses: {STEP}
    with:
      connection: rehearsal
      message: >-
        ${{{{ steps.each.results[0].message }}}} ${{{{ steps.reply.usage.prompt }}}} ${{{{ steps.reply.cost.amount }}}}
        ${{{{ steps.reply.error.message }}}} ${{{{ trigger.data.body.a.b }}}}
    when: ${{{{ steps.each.skipped }}}}
outputs:
  message: ${{{{ steps.reply.message }}}}
  all: ["${{{{ steps.last.usage }}}}"]
"""


def problems(text: str, **known: Any) -> list[Problem]:
    """What is wrong with a text that can be read."""
    draft = read_draft(text)
    assert not draft.problems
    return check(draft.flow, lines=draft.lines, **{"known_connections": {"rehearsal": "openai"}, **known})


def one(text: str, **known: Any) -> Problem:
    """The only problem of a text."""
    found = problems(text, **known)
    assert len(found) == 1, found
    return found[0]


def around(line: str, more: str = "") -> str:
    """A flow whose one step holds this line, which is line 6 of the file."""
    return f"name: a\ninputs: {{tone: text, count: whole}}\nsteps:\n  - id: one\n    uses: {STEP}\n    {line}\n{more}"


def with_(fields: str, more: str = "") -> str:
    """A flow whose one step has these inputs, in line 6."""
    return around(f"with: {{connection: rehearsal, {fields}}}", more)
