"""What of a flow cannot do without surviving a crash, and so without `durable`."""

from __future__ import annotations

from collections.abc import Iterator

from chatstep.flows.definition import Flow
from chatstep.registry import steps

__all__ = ["needs_durable"]


def needs_durable(flow: Flow) -> Iterator[tuple[str, str]]:
    """The place of each part that a flow with ``durable: false`` may not have, and why."""
    for at, trigger in enumerate(flow.on):
        if trigger.type == "webhook":
            yield (
                f"on[{at}].webhook",
                "A delivery is acknowledged before its run has ended, so a crash may not lose it.",
            )
        if trigger.type == "schedule":
            yield f"on[{at}].schedule", "Nobody asks again for a run that a schedule began, so a crash may not lose it."
    if flow.conversation is not None:
        yield "conversation", "Runs of a conversation wait for their turn, and a crash may not lose them meanwhile."
    known = steps()
    for at, part in enumerate(flow.steps):
        if part.uses in known and known[part.uses].effect == "run":
            yield f"steps[{at}].uses", f"`{part.uses}` holds a run up, and a crash may not lose it meanwhile."
