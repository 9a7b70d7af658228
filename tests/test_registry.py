"""Modules found by entry points: our own, a stranger's, clashes, and names that are nearly right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatstep import registry
from chatstep.errors import InvalidInput, UnknownName
from chatstep.registry import near, unknown

PLUGIN = """
from msgspec import Struct
from chatstep.step import ConnectionKind, Module, step

class Nothing(Struct):
    pass

@step({step!r}, title="T", inputs=Nothing, output=Nothing)
async def run(inputs, ctx):
    return Nothing()

module = Module({module!r}, "T", steps=(run,), connection_kinds=(ConnectionKind({kind!r}, "K", (), dict),))
"""


class Site:
    """A folder of installed packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, entry: str | None = None, code: str | None = None, **names: str) -> None:
        names = {"module": package, "step": f"{package}.run", "kind": package, **names}
        (self.folder / f"{package}.py").write_text(PLUGIN.format(**names) if code is None else code)
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[chatstep.modules]\n{package} = {entry or package + ':module'}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    registry.modules.cache_clear()
    yield Site(tmp_path)
    registry.modules.cache_clear()
    for installed in tmp_path.glob("*.py"):
        sys.modules.pop(installed.stem, None)


def test_our_own_modules_enter_by_the_same_door() -> None:
    names = [module.name for module in registry.modules()]
    assert names == sorted(names)
    assert {"openai", "rehearsal"} <= set(names)
    assert registry.step_named("openai.make_chat_completion").title == "Make Chat Completion"
    assert {"openai", "azure", "compatible", "rehearsal"} <= registry.connection_kinds().keys()
    assert registry.connection_kind("azure").title == "Azure OpenAI"


def test_every_step_is_named_after_its_module() -> None:
    for module in registry.modules():
        for step in module.steps:
            assert step.name.startswith(f"{module.name}.")
            assert step.doc


def test_a_strangers_module_is_found(site: Site) -> None:
    site.install("plugin_a")
    assert "plugin_a" in [module.name for module in registry.modules()]
    assert registry.step_named("plugin_a.run").name == "plugin_a.run"


@pytest.mark.parametrize(
    ("names", "ask", "said"),
    [
        ({"module": "openai"}, registry.modules, "module 'openai'"),
        ({"step": "openai.make_chat_completion"}, registry.steps, "step"),
        ({"kind": "azure"}, registry.connection_kinds, "connection kind 'azure'"),
    ],
)
def test_a_clash_is_an_error(site: Site, names: dict[str, str], ask: object, said: str) -> None:
    site.install("plugin_b", **names)
    assert callable(ask)
    with pytest.raises(InvalidInput, match=said) as caught:
        ask()
    assert caught.value.place


@pytest.mark.parametrize(
    ("entry", "code"),
    [(None, "import a_package_that_is_not_there"), ("plugin_c:missing", None), ("plugin_c:Nothing", None)],
)
def test_a_module_that_cannot_be_loaded_says_which(site: Site, entry: str | None, code: str | None) -> None:
    site.install("plugin_c", entry, code)
    with pytest.raises(InvalidInput) as caught:
        registry.modules()
    assert "plugin_c" in str(caught.value)


def test_names_that_are_nearly_right() -> None:
    with pytest.raises(UnknownName) as caught:
        registry.step_named("openai.make_chat_completon")
    assert caught.value.details["near"] == ["openai.make_chat_completion"]
    assert "Did you mean 'openai.make_chat_completion'?" in str(caught.value)
    with pytest.raises(UnknownName) as caught:
        registry.connection_kind("Azur")
    assert caught.value.details["near"] == ["azure"]


def test_nearness_ignores_case_and_gives_three_at_most() -> None:
    assert near("WORK", ["work", "home"]) == ["work"]
    assert near("zzz", ["work", "home"]) == []
    assert len(near("work", [f"work{number}" for number in range(9)])) == 3
    assert near("x", []) == []


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    error = unknown("connection", "zzz", ["work", "home"], place="connection")
    assert str(error) == "connection: There is no connection 'zzz'. Known: home, work."
    assert unknown("connection", "x", []).hint is None
    many = unknown("connection", "zzz", [f"name{number:02}" for number in range(30)]).hint or ""
    assert "name19 ..." in many
    assert "name20" not in many
