"""`chatstep flow check` and `schema`: everything is told at once, to people and to programs, and nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from chatstep.flows.schema import flow_schema
from command_line import KEY, Commands

SHOP = """\
name: shop
on: [chat]
steps:
  - id: reply
    uses: openai.make_chat_completion
    with:
      connection: rehearsal
      message: ${{ trigger.text }}
"""
OTHER = SHOP.replace("shop", "other")


def test_a_sound_flow(chatstep: Commands) -> None:
    done = chatstep("flow", "check", chatstep.file("shop.yaml", SHOP))
    assert done.stdout.endswith("shop.yaml: flow shop, 1 step, started by chat\n")
    assert done.stderr == ""


def test_every_problem_of_every_file_is_told(chatstep: Commands) -> None:
    good = chatstep.file("good.yaml", SHOP)
    bad = chatstep.file("bad.yaml", OTHER.replace("trigger.text", "triger.text").replace("on: [", "onn: ["))
    done = chatstep("flow", "check", good, bad, code=2)
    assert done.stdout.splitlines()[1:] == [
        f"✗ {bad}: 2 problems",
        "  line 2, onn: Unknown key `onn`.",
        "      Did you mean `on`?",
        "  line 8, steps[0].with.message: `triger` is not a name that is known here.",
        "      Did you mean `trigger`?",
    ]
    assert done.stderr == "Error: 2 problems in 1 of 2 files.\n"


def test_problems_as_data(chatstep: Commands) -> None:
    good = chatstep.file("good.yaml", SHOP)
    bad = chatstep.file("bad.yaml", OTHER.replace("rehearsal", "rehersal"))
    done = chatstep("flow", "check", good, bad, "--json", code=2)
    assert json.loads(done.stdout) == [
        {"file": good, "name": "shop", "ok": True, "problems": []},
        {
            "file": bad,
            "name": "other",
            "ok": False,
            "problems": [
                {
                    "line": 7,
                    "place": "steps[0].with.connection",
                    "message": "There is no connection `rehersal` here.",
                    "hint": "Did you mean `rehearsal`?",
                }
            ],
        },
    ]
    assert json.loads(done.stderr)["message"] == "1 problem in 1 of 2 files."


def test_connections_of_the_store_and_the_environment_are_known(chatstep: Commands) -> None:
    shop = chatstep.file("shop.yaml", SHOP.replace("rehearsal", "work"))
    assert "no connection `work`" in chatstep("flow", "check", shop, code=2).stdout
    chatstep("flow", "check", shop, "--any-connection")
    chatstep("connections", "add", "work", "--preset", "ollama")
    chatstep("flow", "check", shop)
    given = chatstep.file("given.yaml", SHOP.replace("rehearsal", "environment"))
    assert "no connection `environment`" in chatstep("flow", "check", given, code=2).stdout
    chatstep.env["OPENAI_API_KEY"] = "sk-anything-at-all"
    chatstep("flow", "check", given)


def test_looking_makes_no_store(chatstep: Commands) -> None:
    chatstep("flow", "check", chatstep.file("shop.yaml", SHOP))
    assert not (chatstep.folder / "home").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name: \xff", "The flow is not UTF-8 text."),
        (b"", "line 1: The file is empty."),
        (b"name: a\n\tb: c\n", "line 2: Not YAML: a tab stands where spaces belong."),
        (b"name: a\nname: b\n", "line 2: Not YAML: the key `name` is there twice."),
        (b"x" * 10_000_000, "A flow has at most 256 kB, this one has more."),
        (b"[" * 100_000, "nested too deeply"),
        (b"name: \x1b[2Jx\nsteps: [{id: a, uses: b.c}]\n", "Not YAML"),
    ],
)
def test_a_file_that_is_no_flow(chatstep: Commands, content: bytes, told: str) -> None:
    done = chatstep("flow", "check", chatstep.file("x.yaml", content), code=2)
    assert told in done.stdout
    assert "\x1b" not in done.stdout


def test_a_file_that_is_not_there(chatstep: Commands) -> None:
    good = chatstep.file("good.yaml", SHOP)
    done = chatstep("flow", "check", "none.yaml", good, code=2)
    assert "✗ none.yaml: 1 problem\n  The flow cannot be read: No such file or directory.\n" in done.stdout
    assert "✓" in done.stdout


def test_what_a_terminal_would_obey_is_not_printed(chatstep: Commands) -> None:
    text = SHOP.replace("on: [chat]", '"o\\e[2Jn": [chat]')
    done = chatstep("flow", "check", chatstep.file("x.yaml", text), code=2)
    assert "Unknown key" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_file_that_is_named_twice_is_told_once(chatstep: Commands) -> None:
    shop = chatstep.file("shop.yaml", SHOP)
    assert len(chatstep("flow", "check", shop, shop).stdout.splitlines()) == 1


def test_two_files_with_one_name(chatstep: Commands) -> None:
    first, second = chatstep.file("a.yaml", SHOP), chatstep.file("b.yaml", SHOP)
    done = chatstep("flow", "check", first, second, code=2)
    assert f"✗ {second}: 1 problem\n  line 1, name: There is a flow `shop` already, in {first}.\n" in done.stdout


def test_the_schema(chatstep: Commands) -> None:
    schema = json.loads(chatstep("flow", "schema").stdout)
    assert schema == msgspec.json.decode(msgspec.json.encode(flow_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_symbolic_link_to_nowhere(chatstep: Commands, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").symlink_to(tmp_path / "nowhere.yaml")
    assert "cannot be read" in chatstep("flow", "check", str(tmp_path / "x.yaml"), code=2).stdout
    assert "cannot be read" in chatstep("flow", "check", str(tmp_path), code=2).stdout


def test_a_key_in_the_wrong_place_is_not_repeated(chatstep: Commands) -> None:
    shop = chatstep.file("shop.yaml", SHOP.replace("rehearsal", KEY).replace("message:", f"{KEY}:"))
    for more in ((), ("--json",)):
        done = chatstep("flow", "check", shop, *more, code=2)
        assert "no connection" in done.stdout
        assert KEY not in done.output


CALLER = "name: caller\nsteps: [{id: call, uses: flow.call, with: {flow: shop}}]\n"


def test_published_flows_may_be_called(chatstep: Commands) -> None:
    caller, shop = chatstep.file("caller.yaml", CALLER), chatstep.file("shop.yaml", SHOP)
    assert "There is no flow `shop`." in chatstep("flow", "check", caller, code=2).stdout
    assert "There is no flow `shop`." in chatstep("flow", "publish", caller, code=2).stderr
    chatstep("flow", "check", caller, shop)
    chatstep("flow", "publish", shop)
    chatstep("flow", "check", caller)
    chatstep("flow", "publish", caller)
    circle = chatstep.file("circle.yaml", CALLER.replace("shop", "caller").replace("name: caller", "name: shop"))
    assert "shop → caller → shop" in chatstep("flow", "check", circle, code=2).stdout
    assert "shop → caller → shop" in chatstep("flow", "publish", circle, code=2).stderr


def test_flows_that_call_each_other_are_published_together(chatstep: Commands) -> None:
    chatstep("flow", "publish", chatstep.file("caller.yaml", CALLER), chatstep.file("shop.yaml", SHOP))
    assert [flow["name"] for flow in chatstep.json("flow", "list")] == ["caller", "shop"]
