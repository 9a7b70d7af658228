"""Fixtures for tests of flows: a plugin with steps, and an App whose engine runs flows on each database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

import acme_steps
from chatstep import registry
from chatstep.app import App
from chatstep.flows.engine import Engine
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow
from chatstep.flows.records import RunRecord
from chatstep.settings import Settings

_databases = count(1)
_events = count(1)


def install_acme(folder: Path) -> None:
    """Put the plugin of tests into a folder, for `sys.path` or PYTHONPATH."""
    info = folder / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chatstep.modules]\nacme = acme_steps:module\n")


@pytest.fixture(scope="module")
def acme_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugin of tests, installed while a file of tests runs."""
    folder = tmp_path_factory.mktemp("plugin") / "site"
    install_acme(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        registry.modules.cache_clear()
        yield
    registry.modules.cache_clear()


@pytest.fixture
def acme(acme_installed: None) -> Any:
    """The plugin's steps and notes; the notes are empty."""
    for notes in (acme_steps.calls, acme_steps.gates, acme_steps.failures):
        notes.clear()
    return acme_steps


def new_database(server: str) -> str:
    """The URL of a new database on the Postgres server; runs have a schema of their own in each."""
    name = f"runs_{os.getpid()}_{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    head, _, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"


async def eventually(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something is so; the test's own time limit ends it otherwise."""
    while True:
        found = true()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.02)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """Where an App keeps its data: its folder, or a Postgres database."""
    return new_database(request.getfixturevalue("postgres_server")) if request.param == "postgres" else None


class Flowing:
    """An App with its engine, and short ways to run flows in it."""

    def __init__(self, app: App) -> None:
        self.app = app

    @property
    def engine(self) -> Engine:
        return self.app.flows

    async def publish(self, text: str) -> str:
        flow = await asyncio.to_thread(read_flow, text)
        await self.engine.publish(flow)
        return flow.name

    async def start(self, name: str, text: str = "", *, inputs: dict[str, Any] | None = None, **event: Any) -> str:
        event.setdefault("id", f"event-{next(_events)}")
        event.setdefault("type", "manual")
        return (await self.engine.start(name, Event(text=text, **event), inputs)).id

    async def run(self, name: str, text: str = "", **more: Any) -> RunRecord:
        return await self.ended(await self.start(name, text, **more))

    async def ended(self, id: str) -> RunRecord:
        return await asyncio.wait_for(self.engine.wait(id), 30)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def shared_flowing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, acme_installed: None
) -> AsyncIterator[Flowing]:
    """One App for a whole file of tests, once on each database: launching an engine takes a second."""
    url = new_database(request.getfixturevalue("postgres_server")) if request.param == "postgres" else None
    async with App.open(Settings(home=tmp_path_factory.mktemp("flowing"), store=url), {}) as app:
        yield Flowing(app)


@pytest.fixture
def flowing(shared_flowing: Flowing, acme: Any) -> Flowing:
    """The shared App; the plugin's notes are empty."""
    return shared_flowing
