"""The module `weather`: one step, declared once. Forms, checks, documentation and flows read this declaration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from chatstep.errors import InvalidInput
from chatstep.step import Context, Module, step

__all__ = ["Weather", "Words", "module", "words"]

_COLDEST = -273.15


class Weather(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What the step takes."""

    celsius: Annotated[float, Meta(title="Celsius", description="The temperature, in degrees Celsius.")]
    place: Annotated[str, Meta(title="Place", description="Where that is.")] = "here"


class Words(Struct, kw_only=True, frozen=True):
    """What the step gives."""

    text: Annotated[str, Meta(title="Text", description="The weather in a sentence.")]


# It touches nothing outside, so a flow runs it again after a crash instead of storing what it gave.
@step("weather.words", title="Weather in Words", inputs=Weather, output=Words, effect="none")
async def words(inputs: Weather, ctx: Context) -> Words:
    """Put a temperature into words."""
    if inputs.celsius < _COLDEST:
        raise InvalidInput(
            f"{inputs.celsius:g} °C is colder than anything can be.", place="celsius", hint=f"{_COLDEST} or more."
        )
    feels = "freezing" if inputs.celsius <= 0 else "cool" if inputs.celsius < 18 else "warm"
    return Words(text=f"It is {feels} {inputs.place}: {inputs.celsius:g} °C.")


module = Module("weather", "Weather", steps=(words,))
