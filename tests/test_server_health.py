"""/healthz and /readyz: who watches over a server learns whether it can do its work, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from chatstep.flows.reading import read_flow
from flowing import eventually
from serving import Served

FLOW = """
name: secret-plans
on: [chat]
steps: [{id: say, uses: text.split, with: {text: "${{ trigger.text }}"}}]
"""


async def ready(served: Served, **options: Any) -> tuple[int, Any]:
    async with served.client.get(f"{served.server.address}/readyz", **options) as answer:
        assert answer.headers["cache-control"] == "no-store"
        return answer.status, await answer.json()


async def is_ready(served: Served) -> bool:
    return (await ready(served))[0] == 200


async def test_a_server_that_can_work_says_so_to_anyone_by_any_name(served: Served) -> None:
    foreign = {"Host": "10.1.2.3:8787"}
    assert await ready(served, headers=foreign) == (200, {"ready": True, "problems": []})
    async with served.client.get(f"{served.server.address}/healthz", headers=foreign) as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    async with served.client.get(f"{served.server.address}/v1/models", headers=foreign) as answer:
        assert answer.status == 421


async def test_flows_without_their_engine_are_not_ready(served: Served) -> None:
    flow = read_flow(FLOW)
    await served.app.flows.publish(flow)
    status, body = await ready(served)
    assert (status, [problem["what"] for problem in body["problems"]]) == (503, ["flows"])
    assert "secret-plans" not in str(body)
    await served.app.flows.launch()
    await eventually(lambda: is_ready(served))  # what the store said is believed for a second


async def test_a_store_that_does_not_answer_is_not_waited_for(served: Served) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with served.app.store._database.transaction():
            held.set()
            done.wait()

    holding = asyncio.create_task(asyncio.to_thread(hold))
    await asyncio.to_thread(held.wait)
    status, body = await ready(served)
    assert (status, body["problems"]) == (
        503,
        [{"what": "store", "message": "The store did not answer within 1 second."}],
    )
    done.set()
    await holding
    await eventually(lambda: is_ready(served))


async def test_a_store_that_fails_is_not_described_to_strangers(served: Served) -> None:
    await asyncio.to_thread(served.app.store._database.close)
    status, body = await ready(served)
    assert (status, body["problems"]) == (
        503,
        [{"what": "store", "message": "The store does not answer; the log says why."}],
    )
    assert str(served.app.settings.home) not in str(body)
