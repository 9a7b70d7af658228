"""The example of a plugin: installed as pip would, its step is found, and its own tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent.parent / "examples" / "plugin"


def install(folder: Path) -> dict[str, str]:
    """What an installation leaves behind: the package on the path, and its metadata with the entry point."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"chatstep_weather-{project['version']}.dist-info"
    info.mkdir(parents=True)
    name = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(name, "utf-8")
    ((group, points),) = project["entry-points"].items()
    lines = [f"{key} = {value}" for key, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]), "utf-8")
    path = os.pathsep.join([str(folder), str(PLUGIN / "src")])
    return {**os.environ, "PYTHONPATH": path, "CHATSTEP_HOME": str(folder / "home")}


def test_its_own_tests_pass(tmp_path: Path) -> None:
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "--rootdir",
        str(PLUGIN),
        "-c",
        os.devnull,
        "-W",
        "error",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(PLUGIN / "tests")],
        env=install(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_flows_that_use_it_are_checked(tmp_path: Path) -> None:
    flow = tmp_path / "morning.yaml"
    text = "name: morning\nsteps:\n  - {id: w, uses: weather.words, with: {celsius: 20}}\n"

    def check(text: str) -> subprocess.CompletedProcess[str]:
        flow.write_text(text, "utf-8")
        command = [sys.executable, "-m", "chatstep", "flow", "check", str(flow)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    env = install(tmp_path)
    assert check(text).returncode == 0
    wrong = check(text.replace("celsius: 20", "celsius: hot"))
    assert wrong.returncode == 2
    assert "celsius" in wrong.stderr + wrong.stdout
