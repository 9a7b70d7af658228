"""What lies in deploy/: the commands in it are commands, the files agree, and a backup is one."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml

from chatstep.errors import InvalidInput
from chatstep.message import Message
from chatstep.secret import Secret
from chatstep.settings import SETTINGS
from chatstep.store import Store, StoredConnection
from chatstep.store.backup import back_up
from command_line import Commands
from serving import running

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
KNOWN = {setting.variable for setting in SETTINGS}
FLOW = """
name: shop
steps: [{id: keep, uses: flow.set, with: {values: {said: "${{ trigger.text }}"}}}]
outputs: {said: "${{ steps.keep.values.said }}"}
"""


def check_command(chatstep: Commands, words: list[str]) -> None:
    """The command exists and takes these options."""
    said = chatstep(words[0], "--help").stdout
    for word in words:
        assert not word.startswith("--") or f"{word} " in said, word


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = ruamel.yaml.YAML(typ="safe").load(DEPLOY / "compose.yaml")
    return loaded


def test_compose_starts_a_server_and_three_workers_on_postgres(chatstep: Commands) -> None:
    services = compose()["services"]
    for name in ("server", "worker"):
        check_command(chatstep, services[name]["command"])
        assert set(services[name]["environment"]) <= KNOWN
        assert services[name]["depends_on"]["database"]["condition"] == "service_healthy"
        assert (DEPLOY / services[name]["build"]["context"] / services[name]["build"]["dockerfile"]).exists()
    assert services["worker"]["deploy"]["replicas"] == 3
    assert all(port.startswith("127.0.0.1:") for port in services["server"]["ports"])


def test_the_containerfile_copies_what_there_is_and_runs_as_nobody_special(chatstep: Commands) -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for name in line.split():
            assert (ROOT / name).exists(), name
    assert "\nUSER chatstep\n" in text
    command = re.search(r"^CMD (\[.*\])$", text, re.M)
    assert command is not None
    check_command(chatstep, ruamel.yaml.YAML(typ="safe").load(command[1]))


def test_the_unit_starts_the_server_and_waits_longer_than_its_grace(chatstep: Commands) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "chatstep.service")
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program.endswith("/bin/chatstep")
    check_command(chatstep, words)
    assert int(service["TimeoutStopSec"]) >= int(words[words.index("--grace") + 1]) + 5
    assert service["Environment"].partition("=")[0] in KNOWN


def test_proxies_pass_streams_on_and_keep_the_host() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    for line in ("proxy_buffering off;", "proxy_set_header Host $host;", "client_max_body_size 32m;"):
        assert line in nginx
    assert "flush_interval -1" in (DEPLOY / "Caddyfile").read_text()


def test_a_backup_of_a_running_server_is_whole(chatstep: Commands, tmp_path: Path) -> None:
    home = chatstep.folder / "home"
    (tmp_path / "shop.yaml").write_text(FLOW)
    chatstep("flow", "publish", str(tmp_path / "shop.yaml"))
    with Store.open(home) as store:
        store.connections.add(StoredConnection("work", "openai", "openai", {}), {"api_key": Secret("sk-marker-1")})
        store.conversations.create("chat")
        store.conversations.append("chat", Message("Ana", "Roses"))
    with running(chatstep):
        made = chatstep.json("flow", "run", "shop", "--text", "Hello")
        said = chatstep("backup", str(tmp_path / "saved"))
    assert [Path(line).name for line in said.stdout.splitlines()] == ["runs.db", "chatstep.db"]
    assert "seal.key" in said.stderr
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "saved").iterdir())
    assert not (tmp_path / "saved" / "seal.key").exists()
    (tmp_path / "saved" / "seal.key").write_text((home / "seal.key").read_text())
    (tmp_path / "saved" / "seal.key").chmod(0o600)
    chatstep.env["CHATSTEP_HOME"] = str(tmp_path / "saved")
    assert chatstep.json("flow", "show", made["id"])["outputs"] == {"said": "Hello"}
    with Store.open(tmp_path / "saved") as store:
        assert store.connections.secrets("work")["api_key"].reveal() == "sk-marker-1"
        assert store.conversations.read("chat")[0].text == "Roses"


def test_what_cannot_be_backed_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to back up"):
        back_up(tmp_path / "none", None, tmp_path / "saved")
    with pytest.raises(InvalidInput, match="Postgres"):
        back_up(tmp_path, "postgresql://h/d", tmp_path / "saved")
    with Store.open(tmp_path / "home"):
        pass
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(InvalidInput, match="not empty"):
        back_up(tmp_path / "home", None, tmp_path / "full")
