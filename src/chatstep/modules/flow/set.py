"""Set Values: give names to values, for the steps that follow."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from chatstep.step import Context, step

__all__ = ["SetValues", "Values", "set_values"]


class SetValues(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step."""

    values: Annotated[
        dict[str, Any], Meta(title="Values", description="Names, each with its value: text, numbers, lists, mappings.")
    ]


class Values(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    values: Annotated[dict[str, Any], Meta(title="Values", description="The values by name.")]


@step("flow.set", title="Set Values", inputs=SetValues, output=Values, effect="none")
async def set_values(inputs: SetValues, ctx: Context) -> Values:
    """Give names to values, so that later steps need not work them out again."""
    return Values(values=inputs.values)
