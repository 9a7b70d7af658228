"""`chatstep flow` from publishing to running, showing, stopping and running again; and the worker's process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chatstep.rehearsal import Rehearsal
from command_line import KEY, Commands

SHOP = """
name: shop
description: Answers customers.
on: [chat, manual]
inputs: {tone: {type: text, default: friendly}, times: {type: whole, default: 1}}
steps:
  - id: reply
    uses: openai.make_chat_completion
    with: {connection: rehearsal, instructions: "Be ${{ inputs.tone }}.", message: "${{ trigger.text }}"}
  - id: again
    uses: openai.make_chat_completion
    with: {connection: rehearsal, message: "${{ steps.reply.message }}", max_tokens: "${{ inputs.times * 100 }}"}
outputs: {message: "${{ steps.again.message }}"}
"""


@pytest.fixture
def shop(tmp_path: Path) -> str:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    return str(file)


def test_a_file_is_published_run_and_shown(chatstep: Commands, shop: str) -> None:
    done = chatstep("flow", "run", shop, "--text", "I worry about slugs.", "--author", "Ada")
    assert done.stdout == "That is interesting. What makes interesting important to you?\n"
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Published shop, version ")
    assert lines[1].startswith("✓  reply  openai.make_chat_completion  ")
    assert lines[2].startswith("✓  again  openai.make_chat_completion  ")
    assert lines[3].startswith("✓ shop.")
    assert lines[3].endswith(" · $0")
    (run,) = chatstep.json("flow", "runs")
    assert run["event"]["author"] == {"name": "Ada"}
    assert [step["id"] for step in run["steps"]] == ["reply", "again"]
    short = run["id"][:13]
    assert short in lines[3]
    shown = chatstep("flow", "show", short)
    assert f"{run['id']}: done" in shown.stderr
    assert "started by manual" in shown.stderr
    assert "from Ada: I worry about slugs." in shown.stderr
    assert shown.stdout.endswith("That is interesting. What makes interesting important to you?\n")
    assert chatstep.json("flow", "show", short) == run


def test_screens_are_clear_at_80_columns(chatstep: Commands, shop: str) -> None:
    chatstep("flow", "run", shop, "--text", "Hi")
    (run,) = chatstep.json("flow", "runs")
    environment = {**chatstep.environment(), "COLUMNS": "80"}
    for args in (["runs"], ["show", run["id"]], ["list"]):
        made = subprocess.run(
            [sys.executable, "-m", "chatstep", "flow", *args],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert made.stdout
        assert max(map(len, made.stdout.splitlines())) <= 80, made.stdout


def test_published_flows_are_listed_and_run_by_name(chatstep: Commands, shop: str) -> None:
    assert "No flow is published yet." in chatstep("flow", "list").stderr
    assert "Published shop" in chatstep("flow", "publish", shop).stderr
    assert "Nothing changed in shop" in chatstep("flow", "publish", shop).stderr
    (listed,) = chatstep.json("flow", "list")
    assert (listed["name"], listed["on"], listed["steps"]) == ("shop", ["chat", "manual"], ["reply", "again"])
    assert listed["description"] == "Answers customers."
    assert "shop" in chatstep("flow", "list").stdout
    run = chatstep.json("flow", "run", "shop", "--text", "Hello", "--input", "tone=kind", "--input", "times=2")
    assert (run["state"], run["inputs"]) == ("done", {"tone": "kind", "times": 2})
    assert run["version"] == listed["version"]
    assert "Did you mean shop?" in chatstep("flow", "run", "shap", code=3).stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["run", "SHOP", "--input", "tone"], 2, "Expected NAME=VALUE"),
        (["run", "SHOP", "--input", "times=many"], 2, "Expected a whole as JSON"),
        (["run", "SHOP", "--input", "ton=x"], 3, "'tone'"),
        (["run", "nothing"], 3, "No flow is called 'nothing'"),
        (["run", "nothing.yaml"], 4, "nothing.yaml"),
        (["show", "shop.00"], 3, "chatstep flow runs"),
        (["cancel", "shop.00"], 3, "chatstep flow runs"),
        (["resume", "shop.00"], 3, "chatstep flow runs"),
        (["rerun", "shop.00"], 3, "chatstep flow runs"),
        (["runs", "--state", "dun"], 3, "Known: cancelled, done"),
    ],
)
def test_wrong_use_is_one_line_with_what_to_do(
    chatstep: Commands, shop: str, args: list[str], code: int, said: str
) -> None:
    made = chatstep("flow", *(shop if arg == "SHOP" else arg for arg in args), code=code)
    assert said in made.stderr
    assert made.stdout == ""


def test_a_file_with_problems_is_not_published(chatstep: Commands, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        SHOP.replace("connection: rehearsal", "connection: wrok", 1).replace("inputs.times", "inputs.tims", 1)
    )
    made = chatstep("flow", "publish", str(file), code=2)
    assert "bad.yaml line" in made.stderr
    assert "more problem" in made.stderr
    assert chatstep.json("flow", "list") == []


def test_a_failed_run_gives_the_exit_code_of_its_error(chatstep: Commands, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(SHOP.replace("${{ inputs.times * 100 }}", "${{ inputs.times - 1 }}"))
    made = chatstep("flow", "run", str(file), "--text", "Hi", code=2)
    lines = made.stderr.splitlines()
    assert lines[2].startswith("✗  again")
    assert "All that is known of it: chatstep flow show shop." in made.stderr
    assert lines[-1].startswith("Error: steps.again.with.max_tokens: Must be 1 or more")
    run = chatstep.json("flow", "run", str(file), "--text", "Hi", code=2)
    assert (run["state"], run["error"]["step"]) == ("failed", "again")
    shown = chatstep("flow", "show", run["id"])
    assert "again: steps.again.with.max_tokens · Must be 1 or more" in shown.stderr
    assert len(chatstep.json("flow", "runs", "--state", "failed", "--flow", "shop")) == 2
    assert chatstep.json("flow", "runs", "--state", "done") == []


def test_an_event_of_the_same_id_is_the_same_run(chatstep: Commands, shop: str) -> None:
    first = chatstep.json("flow", "run", shop, "--text", "Hi", "--event-id", "e1")
    again = chatstep.json("flow", "run", shop, "--text", "Hi", "--event-id", "e1")
    assert first["id"] == again["id"]
    assert len(chatstep.json("flow", "runs")) == 1


def test_a_run_is_run_again_from_a_step(chatstep: Commands, shop: str) -> None:
    first = chatstep.json("flow", "run", shop, "--text", "Hi")
    part = chatstep.json("flow", "rerun", first["id"], "--from", "again")
    assert part["id"] != first["id"]
    assert part["steps"][0] == first["steps"][0]
    assert part["steps"][1]["began"] > first["steps"][1]["began"]
    assert "There is no step 'agin'" in chatstep("flow", "rerun", first["id"], "--from", "agin", code=3).stderr
    assert "ended already" in chatstep("flow", "cancel", first["id"], code=2).stderr
    assert "cancelled or given up" in chatstep("flow", "resume", first["id"], code=2).stderr


def test_a_flow_is_taken_back(chatstep: Commands, shop: str) -> None:
    chatstep("flow", "publish", shop)
    assert "Nothing starts shop any more" in chatstep("flow", "unpublish", "shop").stderr
    assert chatstep.json("flow", "list") == []
    chatstep("flow", "run", "shop", code=3)
    assert "No flow is called 'shop'" in chatstep("flow", "unpublish", "shop", code=3).stderr
    assert "Published shop" in chatstep("flow", "publish", shop).stderr


def test_without_the_extra_there_is_a_hint(chatstep: Commands, tmp_path: Path) -> None:
    """DBOS hidden from the import system, as where only chatstep itself is installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['dbos'] = None\n")
    environment = {**chatstep.environment(), "PYTHONPATH": str(tmp_path)}
    made = subprocess.run(
        [sys.executable, "-m", "chatstep", "flow", "runs"], env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert "pip install 'chatstep[flows]'" in made.stderr
    assert "Traceback" not in made.stderr


async def test_a_worker_takes_over_and_stops_after_the_step_under_way(chatstep: Commands, shop: str) -> None:
    text = SHOP.replace("connection: rehearsal", "connection: environment")
    chatstep.file("shop.yaml", text.replace("name: shop", "name: shop\nconversation: {}"))
    async with Rehearsal("- reply: Well.\n  delay: 1") as provider:
        chatstep.env |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": KEY}
        first = await started(chatstep, "flow", "run", shop, "--text", "Hi", "--conversation", "c")
        await provider.arrived(1)
        first.kill()
        await first.communicate()
        worker = await started(chatstep, "worker")
        await provider.arrived(2)
        worker.send_signal(signal.SIGTERM)
        said = (await worker.communicate())[1].decode()
        assert worker.returncode == 0, said
        assert f"Worker {worker.pid} on " in said
        assert "Took over 1 run of a process that died." in said
        assert "Stopping: 1 run finishes the step it is in." in said
        assert said.rstrip().endswith("Stopped.")
        (halfway,) = await asyncio.to_thread(chatstep.json, "flow", "runs")
        assert (halfway["state"], [step["id"] for step in halfway["steps"]]) == ("queued", ["reply"])
        worker = await started(chatstep, "worker")
        await provider.arrived(3)
        assert worker.stderr is not None
        while " done · 2 steps" not in (line := (await worker.stderr.readline()).decode()):
            assert line, "the worker ended"
        worker.send_signal(signal.SIGINT)
        await worker.communicate()
        assert worker.returncode == 0
    run = await asyncio.to_thread(chatstep.json, "flow", "show", halfway["id"])
    assert (run["state"], run["recovered"], len(provider.requests)) == ("done", 1, 3)
    assert [step.get("maybe_repeated", False) for step in run["steps"]] == [True, False]


async def test_a_run_that_is_interrupted_says_who_goes_on(chatstep: Commands, shop: str) -> None:
    chatstep.file("shop.yaml", SHOP.replace("connection: rehearsal", "connection: environment"))
    async with Rehearsal("- reply: Well.\n  delay: 0.5") as provider:
        chatstep.env |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": KEY}
        first = await started(chatstep, "flow", "run", shop, "--text", "Hi")
        await provider.arrived(1)
        first.send_signal(signal.SIGTERM)
        said = (await first.communicate())[1].decode()
        assert first.returncode == 143, said
        assert "is kept and not done; `chatstep worker` goes on with it." in said
    (run,) = await asyncio.to_thread(chatstep.json, "flow", "runs")
    assert (run["state"], [step["id"] for step in run["steps"]]) == ("queued", ["reply"])
    assert len(provider.requests) == 1


async def started(chatstep: Commands, *args: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-W", "error", "-m", "chatstep", *args]
    return await asyncio.create_subprocess_exec(*command, env=chatstep.environment(), stderr=asyncio.subprocess.PIPE)
