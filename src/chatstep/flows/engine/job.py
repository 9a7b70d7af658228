"""What a run is begun with, as it is stored until the run ends and for as long as the run is kept."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct, convert

from chatstep.errors import InvalidInput
from chatstep.flows.definition import Flow
from chatstep.flows.engine.sealing import closed, opened
from chatstep.flows.events import Event
from chatstep.flows.records import StepRecord
from chatstep.store import Contents

__all__ = ["Job", "run_id"]

DEEPEST = 10


class Job(Struct, frozen=True, kw_only=True):
    """One run to be done."""

    flow: str
    version: str
    event: Event
    inputs: dict[str, Any]
    conversation: str | None = None
    number: int = 0
    """The number of the message in the conversation that the run answers."""
    queued: bool = False
    """Whether it waits its turn in the conversation; a flow called by another has its caller's turn."""
    created: float = 0.0
    """Unix seconds, by the clock of the process that began it."""
    depth: int = 0
    """How many flows called each other on the way here."""
    reused: dict[str, StepRecord] = {}
    """Records of an earlier run that are taken over instead of running those steps again."""

    def stored(self, contents: Contents | None) -> dict[str, Any]:
        """As DBOS keeps it; what people wrote is sealed where contents are. Blocks then."""
        content = {"event": self.event, "inputs": self.inputs, "reused": self.reused}
        return {
            "flow": self.flow,
            "version": self.version,
            "conversation": self.conversation,
            "number": self.number,
            "queued": self.queued,
            "created": self.created,
            "depth": self.depth,
            "content": closed(content, contents),
        }

    @classmethod
    def read(cls, stored: dict[str, Any], contents: Contents) -> Job:
        """Read back what `stored` gave. Blocks where it was sealed."""
        return convert({**stored, **opened(stored["content"], contents)}, cls)

    def check_depth(self) -> None:
        """Raise InvalidInput when flows call each other without end."""
        if self.depth > DEEPEST:
            raise InvalidInput(
                f"Flows call each other more than {DEEPEST} deep.",
                place=f"flow {self.flow}",
                hint="A flow calls itself, perhaps by way of another. Let one of them stop.",
            )


def run_id(flow: Flow | str, event: Event) -> str:
    """The id of the run of an event: the same whenever the same event comes again."""
    name = flow if isinstance(flow, str) else flow.name
    digest = hashlib.sha256("\0".join((name, event.type, event.id)).encode("utf-8", "replace")).hexdigest()
    return f"{name}.{digest[:24]}"
