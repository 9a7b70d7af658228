"""Several processes on one store, and processes that are killed: nothing is lost, doubled or spent twice."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from chatstep.errors import SpendLimitReached
from chatstep.store import Entry, Store

NOON = 1_742_040_000_000  # 2025-03-15T12:00 UTC

BEGIN = """
import sys
from pathlib import Path
from chatstep.errors import SpendLimitReached
from chatstep.message import Message
from chatstep.store import Entry, Store
home, url, me = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
NOON = 1_742_040_000_000

def start():
    print("ready", flush=True)
    sys.stdin.readline()
"""

OPEN = """
start()
with Store.open(home, url) as store:
    store.traits.put("work", me, {"here": True})
"""

APPEND = """
with Store.open(home, url) as store:
    start()
    for number in range(0, 60, 3):
        store.conversations.append("c", *(Message(me, str(number + more)) for more in range(3)))
        store.conversations.append("c", Message("both", str(number), id=f"both-{number}"))
"""

RESERVE = """
with Store.open(home, url) as store:
    start()
    got = 0
    for number in range(40):
        try:
            reservation = store.ledger.reserve("work", 100, 3000, None, NOON)
        except SpendLimitReached:
            continue
        got += 1
        if number % 4 == 0:  # a quarter turns out cheaper
            store.ledger.record(Entry(NOON, "work", "a", cost=40, reservation=reservation))
    print(got)
"""

RECORD = """
with Store.open(home, url) as store:
    start()
    for number in range(1500):
        store.ledger.record(Entry(NOON, "work", me, cost=1))
"""

HANG = """
store = Store.open(home, url)
store.ledger.reserve("work", 700, 1000, None, NOON)
store.ledger.record(Entry(NOON, "work", "a", cost=100))
store.ledger.flush()
start()
"""

FORGET = """
store = Store.open(home, url)
for number in range(500):
    store.ledger.record(Entry(NOON, "work", me, cost=1))
"""


def spawn(code: str, home: Path, url: str, me: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code, str(home), url, me],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def run_together(code: str, home: Path, url: str, names: Sequence[str]) -> list[str]:
    """Run the code in a process per name, let go at the same moment; gives what each printed."""
    processes = [spawn(code, home, url, name) for name in names]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(names)
    return printed


def test_processes_that_start_on_an_empty_database_at_once(home: Path, url: str) -> None:
    names = ["p1", "p2", "p3"]
    run_together(OPEN, home, url, names)
    with Store.open(home, url) as store:
        assert list(store.traits.all("work")) == names


def test_appends_of_two_processes_are_neither_lost_nor_reordered(store: Store, home: Path, url: str) -> None:
    store.conversations.create("c")
    run_together(APPEND, home, url, ["ana", "ben"])
    messages = store.conversations.read("c")
    for name in ("ana", "ben"):
        assert [m.text for m in messages if m.author.name == name] == [str(number) for number in range(60)]
    assert sorted(m.id for m in messages if m.id) == sorted(f"both-{number}" for number in range(0, 60, 3))
    assert store.conversations.get("c").messages == len(messages) == 140
    runs = re.findall(r"(?:ana ){1,3}|(?:ben ){1,3}", "".join(f"{m.author.name} " for m in messages if not m.id))
    assert all(len(run.split()) == 3 for run in runs), "what was appended together stands together"


def test_reservations_of_two_processes_never_pass_the_limit(store: Store, home: Path, url: str) -> None:
    got = sum(map(int, run_together(RESERVE, home, url, ["p1", "p2"])))
    (total,) = store.ledger.totals("connection")
    assert total.cost + total.reserved <= 3000
    assert total.cost + total.reserved > 2900
    assert total.calls + total.open == got
    with pytest.raises(SpendLimitReached):
        store.ledger.reserve("work", 100, 3000, None, NOON)


def test_entries_of_two_processes_all_arrive(store: Store, home: Path, url: str) -> None:
    run_together(RECORD, home, url, ["p1", "p2"])
    assert [(t.key, t.calls, t.cost) for t in store.ledger.totals("model")] == [("p1", 1500, 1500), ("p2", 1500, 1500)]
    with pytest.raises(SpendLimitReached):
        store.ledger.reserve("work", 1, 3000, None, NOON)


def test_a_kill_between_reserving_and_settling_leaves_the_worst_case_counted(home: Path, url: str) -> None:
    process = spawn(HANG, home, url, "p1")
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with Store.open(home, url) as store:
        with pytest.raises(SpendLimitReached) as caught:
            store.ledger.reserve("work", 201, 1000, None, NOON)
        assert caught.value.details["spent"] == 800
        reservation = store.ledger.reserve("work", 200, 1000, None, NOON)
        store.ledger.record(Entry(NOON, "work", "a", cost=0, reservation=reservation))
        (total,) = store.ledger.totals("connection")
        assert (total.calls, total.cost, total.reserved, total.open) == (2, 100, 700, 1)


def test_a_program_that_forgets_to_close_loses_no_entry(home: Path, url: str) -> None:
    process = spawn(FORGET, home, url, "p1")
    process.communicate(timeout=60)
    assert process.returncode == 0
    with Store.open(home, url) as store:
        assert [total.calls for total in store.ledger.totals("model")] == [500]
