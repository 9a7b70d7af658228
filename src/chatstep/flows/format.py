"""Which keys a flow's file has: the one table that reading, the JSON Schema and docs/flows.md are made from.

A `Key` names the kind of its value; reading.py knows how each kind is read, schema.py how it is written as a schema.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

__all__ = [
    "CONVERSATION",
    "FLOW",
    "ID",
    "INPUT",
    "INPUT_TYPES",
    "MOST_STEPS",
    "NAME",
    "PATH",
    "RETRY",
    "STEP",
    "TRIGGERS",
    "Key",
]

NAME = "[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
ID = "[a-z][a-z0-9_]{0,63}"
PATH = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
MOST_STEPS = 500

Kind = Literal[
    "name", "id", "text", "sentence", "template", "expression", "condition", "number", "whole", "flag", "choice",
    "path", "values", "any", "triggers", "inputs", "conversation", "steps", "retry",
]  # fmt: skip


class Key(Struct, frozen=True):
    """One key: its name, the kind of its value, a sentence of help, and its limits."""

    name: str
    kind: Kind
    help: str
    required: bool = False
    default: Any = None
    """What holds where it is left out; None: nothing."""
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = 0


FLOW = (
    Key("name", "name", "Names the flow: small letters, digits and hyphens.", required=True),
    Key("description", "sentence", "What it is for, in a sentence."),
    Key("on", "triggers", "What starts it: a list of triggers. Without it, it is started by hand."),
    Key("inputs", "inputs", "Values that are given when it starts."),
    Key("conversation", "conversation", "The conversation that a run belongs to. Runs of one follow each other."),
    Key("steps", "steps", "What it does, in this order.", required=True),
    Key("outputs", "values", "What it gives back. With `conversation`, an output `message` is the reply."),
    Key("keep_content", "flag", "Whether texts stay readable in the records of runs.", default=True),
    Key("durable", "flag", "Whether runs survive a crash. `false` makes them cheaper.", default=True),
)

STEP = (
    Key("id", "id", "Names the step in expressions: small letters, digits and `_`.", required=True),
    Key("uses", "text", "Which step it is, such as `openai.make_chat_completion`.", required=True),
    Key("with", "values", "The inputs of the step. Texts may hold expressions."),
    Key("when", "condition", "An expression. Where it is false, empty or 0, the step is skipped."),
    Key("each", "expression", "An expression that gives a list. The step runs for each `item`, in order."),
    Key(
        "on_error",
        "choice",
        "Whether an error ends the run, or the next step goes on.",
        default="stop",
        choices=("stop", "continue"),
    ),
    Key("retry", "retry", "Try again where the other side was busy."),
    Key("timeout", "number", "Seconds that all tries of the step together may take.", least=0.1, most=86_400),
)

RETRY = (
    Key("attempts", "whole", "How often it is tried in all.", default=3, least=1, most=20),
    Key("wait", "number", "Seconds before the second try; doubled each time.", default=1.0, least=0, most=300),
)

INPUT_TYPES = {
    "text": "text",
    "number": "a number",
    "whole": "a whole number",
    "flag": "true or false",
    "list": "a list",
    "mapping": "a mapping",
    "any": "any of these",
}

INPUT = (
    Key("type", "choice", "What kind of value it is.", default="text", choices=tuple(INPUT_TYPES)),
    Key("default", "any", "What holds where none is given. Without it, the input must be given."),
    Key("description", "sentence", "What it is for, in a sentence."),
)

CONVERSATION = (
    Key("id", "template", "Which conversation it is.", default="${{ trigger.conversation }}"),
    Key("assistant", "text", "The name under which replies are kept.", default="assistant"),
    Key("debounce", "number", "Seconds to wait for more messages, answered together.", default=0.0, most=3600),
)

TRIGGERS: dict[str, tuple[str, tuple[Key, ...]]] = {
    "manual": ("Started by hand, with `chatstep flow run`.", ()),
    "chat": ("A message in a chat of chatstep.", ()),
    "webhook": (
        "A request that comes in. Its expressions read `body`, `headers` (small letters) and `query`.",
        (
            Key("path", "path", "Where it is reached, below `/hooks/`.", required=True),
            Key(
                "secret", "text", "The connection that holds the secret of the signature. Without it, anybody may call."
            ),
            Key(
                "signature",
                "choice",
                "How deliveries are signed.",
                default="standard",
                choices=("standard", "hub", "slack"),
            ),
            Key("event_id", "template", "What names the event, so that a second delivery of it is known."),
            Key("text", "template", "The message, as `trigger.text`."),
            Key("author", "template", "Who wrote it, as `trigger.author.name`."),
            Key("conversation", "template", "Where it was written, as `trigger.conversation`."),
        ),
    ),
    "schedule": (
        "Times of a clock.",
        (
            Key("cron", "text", "Minute, hour, day, month, weekday: `0 9 * * 1-5` is 9:00 on workdays.", required=True),
            Key("zone", "text", "The time zone, such as `Europe/Berlin`.", default="UTC"),
            Key(
                "missed",
                "choice",
                "What becomes of times at which nothing was running.",
                default="latest",
                choices=("skip", "latest", "all"),
            ),
        ),
    ),
}
