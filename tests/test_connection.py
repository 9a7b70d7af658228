"""Ways to reach a server: addresses, headers, presets, and what a wrong value says without showing a key."""

from __future__ import annotations

from typing import Any

import pytest

from chatstep.errors import InvalidInput, UnknownName
from chatstep.modules.openai.connection import KINDS, PRESETS, Endpoint, checked_key, checked_url
from chatstep.modules.openai.environment import from_environment
from chatstep.secret import Secret

BY_NAME = {kind.name: kind for kind in KINDS}
KEY = "sk-MARKER-0123456789"
AZURE = "https://res.openai.azure.com"


def opened(kind: str, key: str | None = KEY, **settings: Any) -> Endpoint:
    endpoint = BY_NAME[kind].open(settings, {} if key is None else {"api_key": Secret(key)})
    assert isinstance(endpoint, Endpoint)
    return endpoint


@pytest.mark.parametrize(
    ("kind", "settings", "chat", "models"),
    [
        ("openai", {}, "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/models"),
        (
            "openai",
            {"base_url": "http://127.0.0.1:8/v1/"},
            "http://127.0.0.1:8/v1/chat/completions",
            "http://127.0.0.1:8/v1/models",
        ),
        ("azure", {"endpoint": AZURE}, f"{AZURE}/openai/v1/chat/completions", f"{AZURE}/openai/v1/models"),
        (
            "azure",
            {"endpoint": f"{AZURE}/openai/v1/"},
            f"{AZURE}/openai/v1/chat/completions",
            f"{AZURE}/openai/v1/models",
        ),
        (
            "azure",
            {"endpoint": f"{AZURE}/", "api_version": "2025-04-01-preview"},
            f"{AZURE}/openai/deployments/my%2Fdep/chat/completions?api-version=2025-04-01-preview",
            f"{AZURE}/openai/models?api-version=2025-04-01-preview",
        ),
        (
            "compatible",
            {"preset": "ollama"},
            "http://127.0.0.1:11434/v1/chat/completions",
            "http://127.0.0.1:11434/v1/models",
        ),
        (
            "compatible",
            {"base_url": "https://h/v1/chat/completions"},
            "https://h/v1/chat/completions",
            "https://h/v1/models",
        ),
        (
            "compatible",
            {"base_url": "http://[::1]:8080/v1"},
            "http://[::1]:8080/v1/chat/completions",
            "http://[::1]:8080/v1/models",
        ),
    ],
)
def test_addresses(kind: str, settings: dict[str, str], chat: str, models: str) -> None:
    endpoint = opened(kind, **settings)
    assert (endpoint.chat_url("my/dep"), endpoint.models_url()) == (chat, models)


def test_the_address_of_one_model() -> None:
    assert opened("openai").models_url("ft:gpt:org::id").endswith("/models/ft:gpt:org::id")
    assert opened("openai").models_url("a/b?c").endswith("/models/a%2Fb%3Fc")


def test_headers() -> None:
    assert opened("openai", organization="org-1", project="proj_1").headers() == {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {KEY}",
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj_1",
    }
    assert opened("azure", endpoint=AZURE).headers() == {"Content-Type": "application/json", "api-key": KEY}
    assert opened("compatible", None, preset="ollama").headers() == {"Content-Type": "application/json"}


@pytest.mark.parametrize("kind", ["openai", "azure", "compatible"])
def test_a_key_is_never_printed(kind: str) -> None:
    endpoint = opened(kind, endpoint=AZURE, base_url="https://h/v1")
    assert "MARKER" not in f"{endpoint!r} {endpoint} {[endpoint]}"


def test_what_servers_are_known_to_take() -> None:
    assert opened("openai").dialect.limit_field == "max_completion_tokens"
    assert opened("azure", endpoint=AZURE).dialect.limit_field == "max_completion_tokens"
    assert opened("compatible", base_url="https://h/v1").dialect.limit_field == "max_tokens"
    assert (opened("openai").dialect.names, opened("compatible", base_url="https://h/v1").dialect.names) == (
        True,
        False,
    )
    assert opened("openai").dialect.obfuscation
    assert not opened("openai", base_url="http://127.0.0.1:8/v1").dialect.obfuscation
    assert {"ollama", "llama.cpp", "vllm", "lmstudio", "groq", "mistral", "openrouter", "anthropic"} == set(PRESETS)
    for name in ("ollama", "mistral", "lmstudio", "openrouter"):
        assert PRESETS[name].dialect.limit_field == "max_tokens"
    assert not any(preset.dialect.names for preset in PRESETS.values())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_whole_connection_and_can_be_changed(name: str) -> None:
    endpoint = opened("compatible", None, preset=name)
    assert endpoint.base_url == PRESETS[name].base_url
    assert endpoint.dialect == PRESETS[name].dialect
    changed = opened(
        "compatible",
        preset=name,
        base_url="http://h:1/v1",
        names="yes",
        alternate="no",
        limit_field="max_completion_tokens",
    )
    assert changed.base_url == "http://h:1/v1"
    assert (changed.dialect.names, changed.dialect.alternate) == (True, False)
    assert changed.dialect.limit_field == "max_completion_tokens"


def test_fields_are_described_and_keys_are_secret() -> None:
    for kind in KINDS:
        assert all(field.help and field.title for field in kind.fields)
        assert [field.name for field in kind.fields if field.secret] == ["api_key"]


@pytest.mark.parametrize(("value", "seconds"), [(None, None), ("", None), ("30", 30.0), (0.5, 0.5), (86_400, 86_400.0)])
def test_time_outs(value: Any, seconds: float | None) -> None:
    assert opened("openai", timeout=value).total == seconds


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("openai", {"timeout": "soon"}, "timeout"),
    ("openai", {"timeout": 0}, "timeout"),
    ("openai", {"timeout": -1}, "timeout"),
    ("openai", {"timeout": "nan"}, "timeout"),
    ("openai", {"timeout": "inf"}, "timeout"),
    ("openai", {"timeout": 86_401}, "timeout"),
    ("openai", {"base_url": "api.openai.com"}, "base_url"),
    ("openai", {"organization": "org\r\nX-Evil: 1"}, "organization"),
    ("openai", {"project": "proj ü"}, "project"),
    ("azure", {}, "endpoint"),
    ("azure", {"endpoint": "res"}, "endpoint"),
    ("azure", {"endpoint": AZURE, "api_version": "2025&x=1"}, "api_version"),
    ("azure", {"endpoint": AZURE, "api_version": "x" * 65}, "api_version"),
    ("compatible", {}, "base_url"),
    ("compatible", {"base_url": "https://h/v1", "names": "perhaps"}, "names"),
    ("compatible", {"base_url": "https://h/v1", "alternate": 2}, "alternate"),
    ("compatible", {"base_url": "https://h/v1", "limit_field": "max_output_tokens"}, "limit_field"),
]


@pytest.mark.parametrize(("kind", "settings", "place"), WRONG)
def test_a_wrong_setting_says_which(kind: str, settings: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened(kind, **settings)
    assert caught.value.place == place
    assert "MARKER" not in str(caught.value.to_data())


def test_an_unknown_preset_comes_with_near_ones() -> None:
    with pytest.raises(UnknownName, match="'ollama'"):
        opened("compatible", preset="olama")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h/v1",
        "ftp://h/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://h:0/v1",
        "http://h:99999/v1",
        "http://h:x/v1",
        "http://[::1/v1",
        "http://h /v1",
        "http://h/v1\nX: 1",
        "http://h\x00/v1",
        "http://h\ud800/v1",
        "http://u:MARKER@h/v1",
        "https://MARKER@h/v1",
        "ftp://u:MARKER@h",
        "sk-MARKER",
        "https://h/v1?api-version=1",
        "https://h/v1#x",
        None,
        7,
        b"https://h",
    ],
)
def test_what_is_no_address(text: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_url(text)
    assert caught.value.place == "base_url"
    assert caught.value.hint
    assert "MARKER" not in str(caught.value.to_data())


def test_an_address_is_trimmed() -> None:
    assert checked_url(" https://h/v1/// ") == "https://h/v1"


@pytest.mark.parametrize(
    "text", ["", "  ", "sk-MARKER\nsk-b", "sk-MARKER b", "sk-MARKER\x00", "sk-MARKERü", "sk-MARKER\x7f"]
)
def test_what_is_no_key_is_not_shown(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_key(text)
    assert "MARKER" not in str(caught.value.to_data())


def test_a_key_is_trimmed() -> None:
    assert checked_key(f" {KEY}\n").reveal() == KEY


# --- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "kind", "settings"),
    [
        ({"OPENAI_API_KEY": KEY}, "openai", {}),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_ORG_ID": "o", "OPENAI_PROJECT_ID": "p"},
            "openai",
            {"organization": "o", "project": "p"},
        ),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"},
            "openai",
            {"base_url": "https://eu.api.openai.com/v1"},
        ),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://h/v1/", "OPENAI_ORG_ID": "o"},
            "compatible",
            {"base_url": "http://h/v1"},
        ),
        ({"OPENAI_BASE_URL": "https://notopenai.com/v1"}, "compatible", {"base_url": "https://notopenai.com/v1"}),
    ],
)
def test_the_connection_of_the_environment(environ: dict[str, str], kind: str, settings: dict[str, str]) -> None:
    found = from_environment(environ)
    assert found is not None
    assert (found.kind, found.settings) == (kind, settings)
    assert set(found.secrets) == ({"api_key"} if "OPENAI_API_KEY" in environ else set())
    assert "MARKER" not in repr(found)
    assert isinstance(BY_NAME[kind].open(found.settings, found.secrets), Endpoint)


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_ORG_ID": "o"}])
def test_an_environment_without_a_connection(environ: dict[str, str]) -> None:
    assert from_environment(environ) is None


@pytest.mark.parametrize(
    ("environ", "place"),
    [({"OPENAI_API_KEY": "sk-MARKER\nx"}, "OPENAI_API_KEY"), ({"OPENAI_BASE_URL": "h"}, "OPENAI_BASE_URL")],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_environment(environ)
    assert caught.value.place == place
    assert "MARKER" not in str(caught.value.to_data())
