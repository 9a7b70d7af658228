"""docs/rehearsal.md and the examples say what is true: every fault and key is there, and every block runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatstep.rehearsal import FAULTS, Fault, load_script
from chatstep.rehearsal.script_reader import SETTINGS, TABLES

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "rehearsal.md").read_text("utf-8")
EXAMPLES = sorted((ROOT / "examples" / "rehearsal").glob("*.yaml"))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_every_fault_has_its_entry(fault: Fault) -> None:
    _, heading, entry = PAGE.partition(f"#### `{fault.name}`\n")
    assert heading
    entry = entry.partition("\n###")[0]
    assert fault.help in entry
    assert f"```yaml\n- {fault.example}\n```" in entry
    for parameter in fault.parameters:
        assert f"| `{parameter.name}` |" in entry
        assert parameter.help in entry


def test_no_fault_is_made_up() -> None:
    assert set(re.findall(r"(?m)^#### `(\w+)`", PAGE)) == set(FAULTS)


@pytest.mark.parametrize("key", [*SETTINGS, *(key for table in TABLES for key in table)])
def test_every_key_is_explained(key: str) -> None:
    assert re.search(rf"\| `{key}` \||[{{,] ?{key}[,}}]", PAGE)


@pytest.mark.parametrize("block", re.findall(r"(?s)```yaml\n(.*?)```", PAGE))
def test_every_script_on_the_page_is_one(block: str) -> None:
    assert load_script(block).rules


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_script(path: Path) -> None:
    assert load_script(path) != load_script("[]")


@pytest.mark.parametrize("block", re.findall(r"(?s)```python\n(.*?)```", PAGE))
def test_every_program_on_the_page_runs(block: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
