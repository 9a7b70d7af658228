"""Wait: go on later. A crash does not begin the wait anew."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from chatstep.errors import InvalidInput
from chatstep.step import Context, step

__all__ = ["Wait", "Waited", "wait"]

LONGEST = 366 * 24 * 3600.0


class Wait(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step: one of the two."""

    seconds: Annotated[
        Annotated[float, Meta(ge=0, le=LONGEST)] | None,
        Meta(title="Seconds", description="How long to wait, up to a year."),
    ] = None
    until: Annotated[
        str | None,
        Meta(title="Until", description="When to go on: 2026-12-24T18:00:00+01:00. A time that has passed: at once."),
    ] = None


class Waited(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    seconds: Annotated[float, Meta(title="Seconds", description="How long the wait was to be.")]


@step("flow.wait", title="Wait", inputs=Wait, output=Waited, effect="run")
async def wait(inputs: Wait, ctx: Context) -> Waited:
    """Go on later; the wait survives a restart."""
    seconds = _seconds(inputs)
    if ctx.run is None:
        raise InvalidInput("There is no run to hold up.", place="flow.wait", hint="Use this step in a flow.")
    await ctx.run.sleep(seconds)
    return Waited(seconds=seconds)


def _seconds(inputs: Wait) -> float:
    if (inputs.seconds is None) == (inputs.until is None):
        raise InvalidInput("Say either how long to wait or until when.", place="seconds", hint="seconds: 60")
    if inputs.seconds is not None:
        return inputs.seconds
    try:
        until = datetime.fromisoformat(inputs.until or "")
        at = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{(inputs.until or '')[:40]!r} is no time.", place="until", hint="Write it like 2026-12-24T18:00:00+01:00."
        ) from None
    seconds = max(0.0, at - time.time())
    if seconds > LONGEST:
        raise InvalidInput("The time is more than a year away.", place="until")
    return seconds
