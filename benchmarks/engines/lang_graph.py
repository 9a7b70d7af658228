"""LangGraph with a checkpointer and durability "sync": each step is stored before the next one begins."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from benchmarks.engines import answer, receipt


class State(TypedDict, total=False):
    text: str
    answer: str
    receipt: dict[str, Any]


async def ask(state: State) -> State:
    return {"answer": answer(state["text"])}


async def deliver(state: State) -> State:
    return {"receipt": receipt(state["answer"])}


class Running:
    def __init__(self, saver: Any) -> None:
        graph = StateGraph(State)
        graph.add_node("ask", ask)
        graph.add_node("deliver", deliver)
        graph.add_edge(START, "ask")
        graph.add_edge("ask", "deliver")
        graph.add_edge("deliver", END)
        self._graph = graph.compile(checkpointer=saver)

    async def flow(self, text: str) -> int:
        config = {"configurable": {"thread_id": uuid.uuid4().hex}}
        result = await self._graph.ainvoke({"text": text}, config, durability="sync")  # type: ignore[call-overload]
        return result["receipt"]["length"]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Running]:
    if url.startswith("sqlite"):
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
            await saver.setup()
            yield Running(saver)
        return
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(url, max_size=8, kwargs=options, open=False) as pool:
        saver = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
        await saver.setup()
        yield Running(saver)


async def cpu(running: Running, measure: Callable[[], float]) -> float:
    return measure()
