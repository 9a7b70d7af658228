"""What a flow is: triggers, inputs, steps, outputs. Values only; reading.py makes them from YAML.

Texts that hold ``${{ }}`` are kept as they were written; `chatstep.expressions` evaluates them when the flow runs.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

__all__ = ["ConversationPart", "Flow", "InputPart", "Retry", "StepPart", "Trigger"]


class Retry(Struct, frozen=True, kw_only=True):
    """How often a step that failed with `Busy` is tried again by the flow, on top of the step's own retries."""

    attempts: int = 3
    """How often it is tried in all, 1 to 20."""
    wait: float = 1.0
    """Seconds before the second try; doubled each time, at most 300."""


class StepPart(Struct, frozen=True, kw_only=True):
    """One step of a flow. ``line`` is where it stands in its file."""

    id: str
    uses: str
    inputs: dict[str, Any] = {}
    """What stands under ``with:``; values may hold expressions."""
    when: str | None = None
    each: str | None = None
    """An expression that gives a list; the step runs once per ``item``, in order."""
    on_error: Literal["stop", "continue"] = "stop"
    retry: Retry | None = None
    timeout: float | None = None
    """Seconds that all tries of the step together may take."""
    line: int = 0


class InputPart(Struct, frozen=True, kw_only=True):
    """One input of a flow."""

    type: Literal["text", "number", "whole", "flag", "list", "mapping", "any"] = "text"
    default: Any = None
    required: bool = True
    """False where a default stands, also a default of nothing."""
    description: str = ""


class ConversationPart(Struct, frozen=True, kw_only=True):
    """To which kept conversation a run belongs. Runs of one conversation follow each other."""

    id: str = "${{ trigger.conversation }}"
    assistant: str = "assistant"
    debounce: float = 0.0
    """Seconds to wait for further messages, which are then answered by one run."""


class Trigger(Struct, frozen=True, kw_only=True):
    """What starts a run. Fields beside ``type`` are those of that type; ``line`` is where it stands."""

    type: Literal["manual", "webhook", "schedule", "chat"]
    path: str | None = None
    """webhook: where it is reached, below /hooks/."""
    secret: str | None = None
    """webhook: the name of the connection that holds the secret of the signature. Empty: anybody may call."""
    signature: Literal["standard", "hub", "slack"] = "standard"
    """webhook: how deliveries are signed (see `chatstep.flows.webhooks`)."""
    event_id: str | None = None
    """webhook: names the event, so that a second delivery is known; an expression over `headers`, `body`, `query`."""
    text: str | None = None
    author: str | None = None
    conversation: str | None = None
    """webhook: expressions over the same."""
    cron: str | None = None
    zone: str = "UTC"
    missed: Literal["skip", "latest", "all"] = "latest"
    """schedule: what happens to times at which nothing was running."""
    line: int = 0


class Flow(Struct, frozen=True, kw_only=True):
    """A flow as one version of its file describes it."""

    name: str
    description: str = ""
    on: tuple[Trigger, ...] = (Trigger(type="manual"),)
    inputs: dict[str, InputPart] = {}
    conversation: ConversationPart | None = None
    steps: tuple[StepPart, ...] = ()
    outputs: dict[str, Any] = {}
    keep_content: bool = True
    """Whether texts stay readable in the records of runs. False: they are sealed while a run needs them."""
    durable: bool = True
    """Whether runs survive a crash. False: they are kept when they have ended, at less cost."""
    source: str = ""
    """The YAML text it was read from."""

    @property
    def version(self) -> str:
        """Names this version: the first 12 hex digits of the SHA-256 of its text."""
        import hashlib

        return hashlib.sha256(self.source.encode()).hexdigest()[:12]
