"""Engines that run a two-step flow, each in a process of its own, with the same work in the steps.

``python -m benchmarks.engines.run ENGINE DATABASE FLOWS IN_FLIGHT`` prints one line of figures. A flow takes a text,
its first step makes an answer of some hundred characters, its second takes that and gives a receipt. Every engine is
set up to survive a crash between the two steps, as its documentation says.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ENGINES", "Engine", "answer", "receipt"]


class Engine(NamedTuple):
    """One engine on one kind of database."""

    title: str
    module: str
    database: str
    packages: tuple[str, ...]
    flows: int = 400


ENGINES = {
    "chatstep_sqlite": Engine("chatstep, SQLite", "chatstep_flows", "sqlite", ("chatstep",)),
    "dbos_sqlite": Engine("DBOS alone, SQLite in WAL", "bare_dbos", "sqlite", ("dbos",)),
    "langgraph_sqlite": Engine(
        "LangGraph, SQLite, sync", "lang_graph", "sqlite", ("langgraph", "langgraph-checkpoint-sqlite")
    ),
    "chatstep_postgres": Engine("chatstep, Postgres", "chatstep_flows", "postgres", ()),
    "dbos_postgres": Engine("DBOS alone, Postgres", "bare_dbos", "postgres", ()),
    "langgraph_postgres": Engine(
        "LangGraph, Postgres, sync", "lang_graph", "postgres", ("langgraph-checkpoint-postgres",)
    ),
    "celery_redis": Engine("Celery, Redis", "celery_chain", "redis", ("celery", "redis")),
    "prefect": Engine("Prefect 3, its own server", "prefect_flow", "prefect", ("prefect",), flows=40),
}

ANSWER = "The beans have reached the top of the poles, and the slugs have filed a complaint about the night watch. "


def answer(text: str) -> str:
    """The first step's work."""
    return f"{text}: {ANSWER * 3}"


def receipt(text: str) -> dict[str, object]:
    """The second step's work."""
    return {"delivered": True, "length": len(text)}
