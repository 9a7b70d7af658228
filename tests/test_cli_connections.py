"""`chatstep connections`, `models` and `usage`: keys come in unseen, and stay so."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from chatstep.rehearsal import Rehearsal
from command_line import KEY, Commands

Serve = Callable[..., Rehearsal]
MODELS = """
models:
  - {id: gpt-4o-mini, shutdown_date: 2020-01-31}
  - own-model
rules:
  - reply: Hello!
"""


def test_a_key_comes_from_a_pipe_or_a_variable_and_is_never_shown(chatstep: Commands, serve: Serve) -> None:
    """It works in the call, and no output of any command has it, nor its end."""
    provider = serve(f"key: {KEY}\nrules:\n  - reply: Hello!\n")
    address = ("--set", "base_url", provider.base_url)
    del chatstep.env["OPENAI_API_KEY"], chatstep.env["OPENAI_BASE_URL"]
    outputs = [chatstep("connections", "add", "piped", *address, input=f"{KEY}\n")]
    chatstep.env["WORK_KEY"] = KEY
    outputs.append(chatstep("connections", "add", "named", *address, "--from-env", "WORK_KEY"))
    del chatstep.env["WORK_KEY"]
    for name in ("piped", "named"):
        outputs.append(chatstep("connections", "test", name))
        outputs.append(chatstep("connections", "show", name))
        outputs.append(chatstep("connections", "show", name, "--json"))
    outputs.append(chatstep("connections", "list"))
    outputs.append(chatstep("connections", "rotate", "piped", input="sk-another-key-0000\n"))
    outputs.append(chatstep("connections", "test", "piped", code=11))
    outputs.append(chatstep("connections", "rotate", "--sealing-key"))
    outputs.append(chatstep("connections", "test", "named"))
    assert all(KEY not in output.output and KEY[-4:] not in output.output for output in outputs)
    assert all(KEY.encode() not in path.read_bytes() for path in chatstep.folder.rglob("*") if path.is_file())


def test_a_connection_of_a_flow_is_told_from_one_to_models(chatstep: Commands, serve: Serve) -> None:
    http = ("--kind", "http", "--set", "base_url", "http://127.0.0.1:9/")
    assert "Added orders. Flows can name it." in chatstep("connections", "add", "orders", *http, input=KEY).stderr
    said = "'orders' is of kind http, and leads to no models"
    for args in (
        ["complete", "Hi"],
        ["complete", "Hi", "--dry-run"],
        ["models"],
        ["rehearse", "--record", "--to", "x.yaml"],
    ):
        assert said in chatstep(*args, "--connection", "orders", code=2).stderr
    assert said in chatstep("connections", "test", "orders", code=2).stderr
    assert "no connection yet" in chatstep("complete", "Hi", code=2).stderr
    assert "no spend limit" in chatstep("connections", "limit", "orders", "--daily", "5", code=2).stderr
    limited = ("connections", "add", "more", *http, "--monthly-limit", "5")
    assert "no spend limit" in chatstep(*limited, input=KEY, code=2).stderr
    address = serve("rules:\n  - reply: Hello!\n").base_url
    del chatstep.env["OPENAI_API_KEY"], chatstep.env["OPENAI_BASE_URL"]
    chatstep("connections", "add", "work", "--set", "base_url", address, input=KEY)
    assert chatstep("complete", "Hi").stdout
    listed = json.loads(chatstep("connections", "list", "--json").stdout)
    assert [row["name"] for row in listed if row["default"]] == ["work"]


@pytest.mark.parametrize(
    ("args", "input", "code", "said"),
    [
        (["work"], "sk-one\nsk-two\n", 2, "line break"),
        (["work"], "", 2, "The key is empty"),
        (["work"], "ключ", 2, "other character"),
        (["work", "--set", "api_key", KEY], None, 2, "never an argument"),
        (["work", "--set", "base_url", "not a url"], KEY, 2, "base_url: This is no address"),
        (["work", "--set", "base_url", "ftp://x/v1"], KEY, 2, "no address"),
        (["work", "--set", "base_ulr", "http://x"], KEY, 3, "Did you mean 'base_url'?"),
        (["work", "--kind", "opneai"], KEY, 3, "Did you mean 'openai'?"),
        (["work", "--kind", "azure"], KEY, 2, "endpoint"),
        (["work", "--kind", "compatible"], KEY, 2, "address or a preset"),
        (["work", "--preset", "olama"], KEY, 3, "ollama"),
        (["work", "--preset", "ollama", "--kind", "openai"], KEY, 2, "--preset"),
        (["work", "--from-env", "NOT_SET_ANYWHERE"], None, 2, "is not set"),
        (["work", "--daily-limit", "0"], KEY, 2, "--daily-limit: '0' is no amount"),
        (["work", "--daily-limit", "-3"], KEY, 2, "no amount"),
        (["work", "--monthly-limit", "much"], KEY, 2, "--monthly-limit"),
        (["work", "--monthly-limit", "NaN"], KEY, 2, "--monthly-limit"),
        (["rehearsal"], KEY, 2, "is built in"),
        (["a b"], KEY, 2, "not a usable name"),
    ],
)
def test_what_cannot_be_added(chatstep: Commands, args: list[str], input: str | None, code: int, said: str) -> None:
    """Nothing is stored, and the key is in no error."""
    result = chatstep("connections", "add", *args, input=input, code=code)
    assert said in result.stderr
    assert KEY not in result.output
    assert [row["name"] for row in chatstep.json("connections", "list")] == ["rehearsal"]


def test_presets_ask_for_a_key_only_where_one_is_needed(chatstep: Commands) -> None:
    """Groq wants one, Ollama does not."""
    chatstep("connections", "add", "local", "--preset", "ollama", input="")
    chatstep("connections", "add", "far", "--preset", "groq", input="", code=2)
    chatstep("connections", "add", "far", "--preset", "groq", input=KEY)
    chatstep(
        "connections", "add", "own", "--kind", "compatible", "--set", "base_url", "http://127.0.0.1:9/v1", input=""
    )
    assert chatstep.json("connections", "show", "local")["settings"] == {"preset": "ollama"}
    assert chatstep("connections", "add", "local", "--preset", "ollama", code=2).stderr.startswith("Error: connection:")


def test_limits(chatstep: Commands) -> None:
    """They are set when adding, changed, lifted and shown."""
    chatstep("connections", "add", "work", "--daily-limit", "5", "--monthly-limit", "20.50", input=KEY)
    shown = chatstep.json("connections", "show", "work")
    assert (shown["daily_limit"], shown["monthly_limit"]) == ("$5.00", "$20.50")
    chatstep("connections", "limit", "work", "--daily", "none", "--monthly", "1")
    shown = chatstep.json("connections", "show", "work")
    assert (shown["daily_limit"], shown["monthly_limit"], shown["daily_spent"]) == (None, "$1.00", "$0.00")
    chatstep("connections", "limit", "work", "--daily", "0", code=2)
    chatstep("connections", "limit", "work", code=2)
    chatstep("connections", "limit", "wrok", "--daily", "1", code=3)


def test_remove_asks(chatstep: Commands) -> None:
    """Without somebody to ask, --yes is wanted."""
    chatstep("connections", "add", "work", input=KEY)
    assert "--yes" in chatstep("connections", "remove", "work", code=2).stderr
    chatstep("connections", "remove", "work", "--yes")
    assert "work" in chatstep("connections", "remove", "work", "--yes", code=3).stderr
    chatstep("connections", "remove", "rehearsal", "--yes", code=2)
    chatstep("connections", "rotate", code=2)


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("- fault: {status: 401}", 11, "key was turned away"),
        ("- fault: {status: 404}", 12, "this model is not there"),
        ("- fault: {code: insufficient_quota}", 13, "no credit left"),
        ("- fault: {html: 404}", None, "gave no answer"),
    ],
)
def test_a_test_says_in_plain_words_what_is_wrong(
    chatstep: Commands, serve: Serve, script: str, code: int | None, said: str
) -> None:
    """And ends with the exit code of the error."""
    serve(script)
    result = chatstep("connections", "test", "environment", "--model", "gpt-4o-mini", code=code)
    assert result.exit_code != 0
    assert said in result.stderr


def test_the_end_of_a_model_is_learnt_and_warned_of(chatstep: Commands, serve: Serve) -> None:
    """By `connections test` and by `models`; from then on the step warns by itself."""
    serve(MODELS)
    tested = chatstep("connections", "test", "environment", "--model", "gpt-4o-mini")
    assert "was shut down on 2020-01-31" in tested.stderr
    learnt = chatstep.json("connections", "show", "environment")["learnt"]
    assert learnt == {"gpt-4o-mini": {"shutdown_date": "2020-01-31"}}
    assert "was shut down on 2020-01-31" in chatstep("complete", "Hi").stderr
    offered = chatstep.json("models")
    assert [model["id"] for model in offered] == ["gpt-4o-mini", "own-model"]
    assert offered[0]["shutdown_date"] == "2020-01-31"
    assert offered[0]["window"] == 128_000
    assert "2020-01-31" in chatstep("models").stdout


def test_models_of_a_server_that_lists_none(chatstep: Commands, serve: Serve) -> None:
    """Each is a clear error."""
    serve("- when: {path: models}\n  fault: {html: 404}\n")
    assert chatstep("models", code=None).exit_code in (12, 16, 35)


def test_usage(chatstep: Commands, serve: Serve) -> None:
    """Sums by day, model and connection; what is unknown is said."""
    assert "Nothing was recorded yet" in chatstep("usage").stderr
    serve("- reply: Fine.\n")
    for model in ("gpt-4o-mini", "gpt-4o", "gpt-4o"):
        chatstep("complete", "Hi", "--model", model)
    (day,) = chatstep.json("usage")
    assert (day["calls"], day["failed"], day["unknown_cost_calls"], day["cost"]) == (3, 0, 3, "0")
    assert [(row["key"], row["calls"]) for row in chatstep.json("usage", "--by", "model")] == [
        ("gpt-4o", 2),
        ("gpt-4o-mini", 1),
    ]
    shown = chatstep("usage", "--by", "connection", "--since", day["key"], "--until", day["key"])
    assert "environment" in shown.stdout
    assert "The cost of 3 calls is unknown" in shown.stderr
    assert chatstep.json("usage", "--until", "2020-01-01") == []
    chatstep("usage", "--since", "yesterday", code=2)
    chatstep("usage", "--since", "2026-02-01", "--until", "2026-01-01", code=2)
    assert json.loads(chatstep("usage", "--since", "x", "--json", code=2).stderr)["place"] == "--since"


def test_a_spend_limit_stops_the_command(chatstep: Commands) -> None:
    """With the exit code of its class; nothing is sent, so no server is needed."""
    chatstep("connections", "add", "work", "--daily-limit", "0.00001", input=KEY)
    assert "spend limit" in chatstep("complete", "Hi", "--connection", "work", code=14).stderr


def test_a_limit_without_a_known_price(chatstep: Commands) -> None:
    """The advice is to remove the limit, or to say whose prices hold; then a test is stopped by the limit itself."""
    address = ("--kind", "compatible", "--set", "base_url", "http://127.0.0.1:9/v1", "--daily-limit", "0.0000001")
    chatstep("connections", "add", "own", *address, input="")
    advice = chatstep("connections", "test", "own", "--model", "gpt-4o-mini", code=14).stderr
    assert "connections limit own --daily none" in advice
    assert "--set prices URL" in advice
    chatstep("connections", "add", "priced", *address, "--set", "prices", "https://api.openai.com/v1", input="")
    told = chatstep("connections", "test", "priced", "--model", "gpt-4o-mini", code=14).stderr
    assert "by chatstep's own limit" in told
    assert "--set prices" not in told


def test_one_call_of_unknown_cost(chatstep: Commands, serve: Serve) -> None:
    """It is one call, not calls."""
    serve("- reply: Fine.\n")
    chatstep("complete", "Hi")
    assert "The cost of 1 call is unknown" in chatstep("usage").stderr


def test_a_script_is_found_from_any_folder(chatstep: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is kept whole, whatever folder the connection is used in."""
    chatstep.file("talk.yaml", "- reply: From the script.\n")
    monkeypatch.chdir(chatstep.folder)
    chatstep("connections", "add", "trial", "--kind", "rehearsal", "--set", "script", "talk.yaml")
    monkeypatch.chdir("/")
    assert chatstep("complete", "Hi", "--connection", "trial").stdout == "From the script.\n"
