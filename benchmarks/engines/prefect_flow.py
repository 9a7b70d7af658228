"""Prefect 3 with the server that it starts by itself; results are kept, so that a second try finds them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.engines import answer, receipt


class Running:
    def __init__(self, flow: Any) -> None:
        self._flow = flow

    async def flow(self, text: str) -> int:
        return (await self._flow(text))["length"]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Running]:
    os.environ |= {"PREFECT_HOME": url, "PREFECT_LOGGING_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"}
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true"}
    from prefect import flow, task

    @task(persist_result=True)
    async def ask(text: str) -> str:
        return answer(text)

    @task(persist_result=True)
    async def deliver(text: str) -> dict[str, object]:
        return receipt(text)

    @flow(persist_result=True)
    async def two_steps(text: str) -> dict[str, object]:
        return await deliver(await ask(text))

    yield Running(two_steps)


async def cpu(running: Running, measure: Callable[[], float]) -> float:
    """Of this process and of the server, which is a child of it that still runs."""
    import psutil

    used = measure()
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        used += times.user + times.system
    return used
