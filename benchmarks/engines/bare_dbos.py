"""DBOS as it comes, with SQLite in WAL and a pool of one, and both steps as steps."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from dbos import DBOS

from benchmarks.engines import answer, receipt


@DBOS.step()
async def ask(text: str) -> str:
    return answer(text)


@DBOS.step()
async def deliver(text: str) -> dict[str, object]:
    return receipt(text)


@DBOS.workflow()
async def two_steps(text: str) -> dict[str, object]:
    return await deliver(await ask(text))


class Running:
    async def flow(self, text: str) -> int:
        return (await two_steps(text))["length"]  # type: ignore[return-value]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Running]:
    config: dict[str, Any] = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "run_admin_server": False,
    }
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        config["db_engine_kwargs"] = {"pool_size": 1, "max_overflow": 0}
    logging.getLogger("dbos").setLevel(logging.ERROR)
    DBOS(config=config)  # type: ignore[arg-type]
    DBOS.launch()
    try:
        yield Running()
    finally:
        DBOS.destroy()


async def cpu(running: Running, measure: Callable[[], float]) -> float:
    return measure()
