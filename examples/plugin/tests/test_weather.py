"""The plugin's own test: the step by itself, and in a flow that really runs. No network, no key."""

from __future__ import annotations

import asyncio

import pytest
from acme_weather import Weather, words

from chatstep import App
from chatstep.errors import InvalidInput
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow

FLOW = """
name: morning
inputs: {celsius: number}
steps:
  - id: weather
    uses: weather.words
    with: {celsius: "${{ inputs.celsius }}", place: in the garden}
outputs: {text: "${{ steps.weather.text }}"}
"""


def test_the_step_by_itself() -> None:
    async def run(celsius: float) -> str:
        async with App.open() as app:
            return (await words.run(Weather(celsius=celsius), app.context)).text

    assert asyncio.run(run(20)) == "It is warm here: 20 °C."
    with pytest.raises(InvalidInput):
        asyncio.run(run(-300))


def test_the_step_in_a_flow() -> None:
    async def run() -> str:
        async with App.open() as app:
            await app.flows.publish(read_flow(FLOW))
            started = await app.flows.start("morning", Event(type="manual", id="1"), {"celsius": -3})
            record = await app.flows.wait(started.id)
            return str(record.outputs["text"])

    assert asyncio.run(run()) == "It is freezing in the garden: -3 °C."
