"""Call Flow: run another flow, and go on with what it gives."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from chatstep.errors import InvalidInput
from chatstep.step import Context, step

__all__ = ["CallFlow", "Called", "call"]


class CallFlow(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step."""

    flow: Annotated[str, Meta(title="Flow", description="The name of a published flow.", min_length=1)]
    inputs: Annotated[dict[str, Any], Meta(title="Inputs", description="The inputs of that flow, by name.")] = {}


class Called(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    outputs: Annotated[dict[str, Any], Meta(title="Outputs", description="The outputs of that flow, by name.")]


@step("flow.call", title="Call Flow", inputs=CallFlow, output=Called, effect="run")
async def call(inputs: CallFlow, ctx: Context) -> Called:
    """Run another flow to its end; after a crash it is not begun a second time."""
    if ctx.run is None:
        raise InvalidInput("There is no run to call from.", place="flow.call", hint="Use this step in a flow.")
    return Called(outputs=await ctx.run.call(inputs.flow, inputs.inputs))
