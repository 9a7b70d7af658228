"""kill -9 at random moments of a two-step flow: nothing is lost, and nothing that was finished is asked for again.

Workers run as processes beside a rehearsal provider and a server that counts deliveries. Each process takes in events
as a server does: an event that is not acknowledged is delivered again, to another process, as webhooks do.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from chatstep.app import App
from chatstep.flows.records import RunRecord
from chatstep.message import Author
from chatstep.settings import Settings
from fleet import Fleet, World, world
from flowing import new_database

CONVERSATIONS = 5


async def killed(folder: Path, url: str | None, workers: int, kills: int, pause: float) -> None:
    """Kill workers at random while events come in, then see what became of every event.

    Up to ``pause`` seconds lie between a worker's first breath and the next kill: were every process killed before it
    can do anything, nothing would ever be done.
    """
    home = folder / "home"
    async with world(folder, url, "- reply: Noted.\n  delay: 0.02") as seen:
        fleet = Fleet(workers, folder, url)
        try:
            runs = await under_fire(fleet, random.Random(20), kills, pause)
            await all_done(home, url, runs)
        finally:
            await fleet.stop()
    await judge(home, url, runs, seen)


async def under_fire(fleet: Fleet, chance: random.Random, kills: int, pause: float) -> dict[str, str]:
    """Events come in, workers are killed; the run of each event."""
    runs: dict[str, str] = {}
    over = asyncio.Event()

    async def talk(conversation: int) -> None:
        number = 0
        while not over.is_set():
            name = f"c{conversation}-{number}"
            event = {"id": name, "text": name, "conversation": f"c{conversation}"}
            runs[name] = await fleet.deliver(event)
            number += 1
            await asyncio.sleep(chance.uniform(0.0, 0.4))

    for _ in range(fleet.size):
        await fleet.add()
    await asyncio.gather(*(worker.ready for worker in fleet.workers))
    talking = [asyncio.get_running_loop().create_task(talk(conversation)) for conversation in range(CONVERSATIONS)]
    for _ in range(kills):
        victim = chance.choice(fleet.workers)
        await victim.ready
        await asyncio.sleep(chance.uniform(0.0, pause))
        await fleet.kill(victim)
        await fleet.add()
    await asyncio.gather(*(worker.ready for worker in fleet.workers))
    over.set()
    await asyncio.gather(*talking)
    return runs


async def all_done(home: Path, url: str | None, runs: dict[str, str]) -> None:
    async with App.open(Settings(home=home, store=url), {}) as app:
        while True:
            found = await app.flows.runs(limit=100_000)
            assert not [run for run in found if run.state in ("failed", "cancelled")]
            if {run.id for run in found if run.state == "done"} >= set(runs.values()):
                return
            await asyncio.sleep(1)


async def judge(home: Path, url: str | None, runs: dict[str, str], world: World) -> None:
    async with App.open(Settings(home=home, store=url), {}) as app:
        found = {run.id: run for run in await app.flows.runs(limit=100_000)}
        kept = {f"c{n}": await asyncio.to_thread(app.store.conversations.read, f"c{n}") for n in range(CONVERSATIONS)}
    assert len(set(runs.values())) == len(runs) == len(found)  # an event, a run
    assert {run.state for run in found.values()} == {"done"}
    recorded = checkpoints(home, url)
    nothing_finished_is_asked_again(runs, found, world, recorded)
    deliveries_keep_their_key(runs, found, world)
    conversations_keep_their_order(runs, found, world, kept)
    assert any(run.recovered for run in found.values())  # else nothing was tested


def nothing_finished_is_asked_again(
    runs: dict[str, str], found: dict[str, RunRecord], world: World, recorded: dict[str, float]
) -> None:
    asked: dict[str, list[float]] = defaultdict(list)
    for at, text in world.completions:
        asked[text].append(at)
    assert asked.keys() == runs.keys()
    for event, times in asked.items():
        reply, _ = found[runs[event]].steps
        assert max(times) <= recorded[runs[event]], (event, times, recorded[runs[event]])
        assert len(times) == 1 or reply.maybe_repeated, (event, times, reply)


def deliveries_keep_their_key(runs: dict[str, str], found: dict[str, RunRecord], world: World) -> None:
    bodies: dict[str, set[str]] = defaultdict(set)
    for _, key, body in world.deliveries:
        bodies[key].add(body)
    assert bodies.keys() == {f"{run}:tell" for run in runs.values()}
    count = Counter(key for _, key, _ in world.deliveries)
    for event, id in runs.items():
        assert bodies[f"{id}:tell"] == {f"{event} | {found[id].outputs['message']}"}
        assert count[f"{id}:tell"] == 1 or found[id].steps[1].maybe_repeated


def conversations_keep_their_order(
    runs: dict[str, str], found: dict[str, RunRecord], world: World, kept: dict[str, Any]
) -> None:
    first: dict[str, float] = {}
    for at, _, body in world.deliveries:
        first.setdefault(body.partition(" | ")[0], at)
    for conversation, messages in kept.items():
        events = [event for event in runs if event.startswith(f"{conversation}-")]
        said = [message.text for message in messages if message.author == Author("user")]
        assert said == events
        times = [first[event] for event in events]
        assert times == sorted(times)
        replies = [message for message in messages if message.author == Author("Robin")]
        assert [(reply.reply_to, reply.text) for reply in replies] == [
            (event, found[runs[event]].outputs["message"]) for event in events
        ]
        records = [found[runs[event]] for event in events]
        for earlier, later in pairwise(records):
            assert (earlier.ended or 0) <= later.steps[0].began


def checkpoints(home: Path, url: str | None) -> dict[str, float]:
    """When the completion of each run was put on record, by DBOS's own table."""
    query = "SELECT workflow_uuid, completed_at_epoch_ms FROM {}operation_outputs WHERE function_name = 'reply'"
    if url is not None:
        with psycopg.connect(url) as connection:
            rows = connection.execute(query.format("chatstep_runs.").encode()).fetchall()
        return {run: at / 1000 for run, at in rows}
    engine = sa.create_engine(f"sqlite:///{home / 'runs.db'}")
    with engine.connect() as database:
        stored = database.execute(sa.text(query.format(""))).all()
    engine.dispose()
    return {run: at / 1000 for run, at in stored}


async def test_a_worker_on_sqlite_is_killed_7_times(tmp_path: Path) -> None:
    await killed(tmp_path, None, workers=1, kills=7, pause=1.5)


async def test_three_workers_on_postgres_are_killed_6_times(tmp_path: Path, postgres_server: str) -> None:
    await killed(tmp_path, new_database(postgres_server), workers=3, kills=6, pause=1.5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_worker_on_sqlite_is_killed_200_times(tmp_path: Path) -> None:
    await killed(tmp_path, None, workers=1, kills=200, pause=2.0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_three_workers_on_postgres_are_killed_200_times(tmp_path: Path, postgres_server: str) -> None:
    await killed(tmp_path, new_database(postgres_server), workers=3, kills=200, pause=4.0)
