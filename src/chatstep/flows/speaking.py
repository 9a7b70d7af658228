"""Who speaks for a flow: the step whose text is the flow's answer, and may be heard while it is written.

What was heard cannot be taken back. So what comes after that step must not depend on the world, or not end the run.
"""

from __future__ import annotations

from chatstep.errors import InvalidInput
from chatstep.expressions import parse
from chatstep.flows.definition import Flow
from chatstep.registry import step_named

__all__ = ["speaker"]


def speaker(flow: Flow) -> str | None:
    """The id of the step that writes the output ``message``, if that is its text as it is and nothing can undo it."""
    text = flow.outputs.get("message")
    try:
        named = parse(text).named if isinstance(text, str) else None
    except InvalidInput:
        return None
    if named is None or len(named) != 3 or named[0] != "steps":
        return None
    ids = [part.id for part in flow.steps]
    if named[1] not in ids:
        return None
    at = ids.index(named[1])
    part, later = flow.steps[at], flow.steps[at + 1 :]
    if part.each is not None or step_named(part.uses).spoken != named[2]:
        return None
    harmless = all(one.on_error == "continue" or step_named(one.uses).effect == "none" for one in later)
    return part.id if harmless else None
