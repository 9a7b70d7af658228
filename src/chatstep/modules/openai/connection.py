"""How to reach a server that speaks chat completions: OpenAI itself, Azure, or a compatible one.

A connection kind turns stored settings and the unsealed key into an Endpoint: addresses, headers, habits. The key stays
a Secret until the headers of a request are made.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.modules.openai.dialect import Dialect
from chatstep.registry import unknown
from chatstep.secret import Secret
from chatstep.step import PER_MINUTE, Connection, ConnectionKind, Field, per_minute

__all__ = ["KINDS", "PRESETS", "Endpoint", "Preset", "checked_header", "checked_key", "checked_url", "endpoint_of"]

OPENAI_URL = "https://api.openai.com/v1"
_VERSION = re.compile(r"[A-Za-z0-9.-]{1,64}")


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where requests go and what the server is known to take."""

    kind: str
    base_url: str
    dialect: Dialect
    key: Secret | None = None
    auth: Literal["bearer", "api-key"] = "bearer"
    organization: str | None = None
    project: str | None = None
    api_version: str | None = None
    total: float | None = None
    tries: int | None = None
    per_minute: int | None = None
    prices: str | None = None
    free: bool = False

    @property
    def priced_at(self) -> str:
        """The address of the provider whose prices hold."""
        return self.prices or self.base_url

    def chat_url(self, model: str) -> str:
        """Where a completion is asked for."""
        if self.api_version:
            return (
                f"{self.base_url}/deployments/{quote(model, safe='')}/chat/completions?api-version={self.api_version}"
            )
        return f"{self.base_url}/chat/completions"

    def models_url(self, model: str | None = None) -> str:
        """Where the models are listed, or one of them is described."""
        path = "/models" if model is None else f"/models/{quote(model, safe=':')}"
        return f"{self.base_url}{path}" + (f"?api-version={self.api_version}" if self.api_version else "")

    def headers(self) -> dict[str, str]:
        """The headers of a request, with the key."""
        headers = {"Content-Type": "application/json"}
        if self.key is not None:
            if self.auth == "bearer":
                headers["Authorization"] = f"Bearer {self.key.reveal()}"
            else:
                headers["api-key"] = self.key.reveal()
        if self.organization:
            headers["OpenAI-Organization"] = self.organization
        if self.project:
            headers["OpenAI-Project"] = self.project
        return headers


def endpoint_of(connection: Connection) -> Endpoint:
    """The server behind a connection; raises InvalidInput for a connection to something else."""
    endpoint = connection.opened
    if not isinstance(endpoint, Endpoint):
        raise InvalidInput(
            f"The connection {connection.name!r} is of kind {connection.kind}, and leads to no models.",
            place="connection",
            hint="Name another: `chatstep connections list` shows them.",
        )
    return endpoint


class Preset(Struct, frozen=True):
    """A known compatible server: its usual address, whether it wants a key, and what it takes (wire.md section 7)."""

    title: str
    base_url: str
    needs_key: bool
    dialect: Dialect


PRESETS: dict[str, Preset] = {
    "ollama": Preset("Ollama", "http://127.0.0.1:11434/v1", False, Dialect()),
    "llama.cpp": Preset("llama.cpp server", "http://127.0.0.1:8080/v1", False, Dialect(alternate=True)),
    "vllm": Preset("vLLM", "http://127.0.0.1:8000/v1", False, Dialect()),
    "lmstudio": Preset("LM Studio", "http://127.0.0.1:1234/v1", False, Dialect()),
    "groq": Preset("Groq", "https://api.groq.com/openai/v1", True, Dialect(limit_field="max_completion_tokens")),
    "mistral": Preset("Mistral", "https://api.mistral.ai/v1", True, Dialect()),
    "openrouter": Preset("OpenRouter", "https://openrouter.ai/api/v1", True, Dialect()),
    "anthropic": Preset("Anthropic, compatible endpoint", "https://api.anthropic.com/v1", True, Dialect()),
}

_TIMEOUT = Field(
    "timeout",
    "Timeout",
    "Seconds that one request may take from start to end. Default: 120, or 600 above 4,096 Max Tokens.",
)
_TRIES = Field("tries", "Tries", "How many requests one call may send when the provider is busy. Default: 5.")
_PRICES = Field(
    "prices",
    "Prices",
    "Behind a gateway: the address of the provider whose prices hold, such as https://api.openai.com/v1.",
)
_OPENAI_DIALECT = Dialect(limit_field="max_completion_tokens", names=True)


def checked_url(value: object, place: str = "base_url") -> str:
    """The address without a trailing slash; raises InvalidInput when it is no http(s) address."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or " " in text or not text.isprintable():
        shown = repr(text[:80]) if "://" in text and "@" not in text else "This"  # it may be a key, pasted amiss
        raise InvalidInput(f"{shown} is no address.", place=place, hint="Write it like https://api.example.com/v1.")
    if parts.username or parts.password:
        raise InvalidInput("An address must not hold a user or password.", place=place, hint="Use the key for that.")
    if parts.query or parts.fragment:
        raise InvalidInput(
            "An address must end with its path.", place=place, hint="Leave out everything from `?` or `#` on."
        )
    return text.rstrip("/?#").removesuffix("/chat/completions")


def checked_key(text: str, place: str = "api_key") -> Secret:
    """The key as a Secret; raises InvalidInput, without showing it, when it could not travel in a header."""
    text = text.strip()
    if not text:
        raise InvalidInput("The key is empty.", place=place, hint="Paste the key, or leave the field out.")
    if not _fits_header(text):
        raise InvalidInput(
            "The key has a line break, space or other character that no key has.",
            place=place,
            hint="Paste the key alone, on one line.",
        )
    return Secret(text)


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def checked_header(value: object, name: str) -> str | None:
    """A value that travels in a header, None for an empty one; raises InvalidInput, without showing it."""
    value = str(value or "").strip()
    if not _fits_header(value):
        raise InvalidInput(
            "It has a line break, space or other character that no such name has.", place=name, hint="Paste it alone."
        )
    return value or None


def _total(settings: Mapping[str, Any]) -> float | None:
    value = settings.get("timeout")
    if value in (None, ""):
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise InvalidInput(
            f"{reprlib.repr(value)} is no time in seconds.", place="timeout", hint="Write a number such as 120."
        )
    return seconds


def _tries(settings: Mapping[str, Any]) -> int | None:
    value = settings.get("tries")
    if value in (None, ""):
        return None
    try:
        tries = int(str(value))
    except ValueError:
        tries = 0
    if not 1 <= tries <= 20:
        raise InvalidInput(f"{value!r} is no number of tries.", place="tries", hint="Write a number from 1 to 20.")
    return tries


def _flag(settings: Mapping[str, Any], name: str, default: bool) -> bool:
    value = settings.get(name)
    if value in (None, ""):
        return default
    if str(value).lower() in ("yes", "true", "on", "1"):
        return True
    if str(value).lower() in ("no", "false", "off", "0"):
        return False
    raise InvalidInput(f"{reprlib.repr(value)} is neither yes nor no.", place=name)


def _open_openai(settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> Endpoint:
    base_url = checked_url(settings.get("base_url") or OPENAI_URL)
    own = urlsplit(base_url).hostname == "api.openai.com"
    return Endpoint(
        kind="openai",
        base_url=base_url,
        key=secrets.get("api_key"),
        organization=checked_header(settings.get("organization"), "organization"),
        project=checked_header(settings.get("project"), "project"),
        total=_total(settings),
        tries=_tries(settings),
        per_minute=per_minute(settings),
        prices=checked_url(settings["prices"], "prices") if settings.get("prices") else None,
        dialect=msgspec.structs.replace(_OPENAI_DIALECT, obfuscation=own),
    )


def _open_azure(settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> Endpoint:
    base_url = checked_url(settings.get("endpoint"), "endpoint")
    base_url = base_url.removesuffix("/openai/v1").removesuffix("/openai")
    version = settings.get("api_version") or None
    if version is not None and not _VERSION.fullmatch(str(version)):
        raise InvalidInput(
            f"{reprlib.repr(version)} is no API version.", place="api_version", hint="Such as 2025-04-01-preview."
        )
    return Endpoint(
        kind="azure",
        base_url=f"{base_url}/openai" if version else f"{base_url}/openai/v1",
        key=secrets.get("api_key"),
        auth="api-key",
        api_version=version,
        total=_total(settings),
        tries=_tries(settings),
        per_minute=per_minute(settings),
        prices=checked_url(settings["prices"], "prices") if settings.get("prices") else None,
        dialect=_OPENAI_DIALECT,
    )


def _open_compatible(settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> Endpoint:
    name = settings.get("preset")
    if name and name not in PRESETS:
        raise unknown("preset", str(name), PRESETS, place="preset")
    preset = PRESETS.get(str(name)) if name else None
    if preset is None and not settings.get("base_url"):
        raise InvalidInput(
            "A compatible connection needs an address or a preset.",
            place="base_url",
            hint=f"Presets: {', '.join(PRESETS)}.",
        )
    dialect = preset.dialect if preset else Dialect()
    limit = settings.get("limit_field") or dialect.limit_field
    if limit not in ("max_tokens", "max_completion_tokens"):
        raise InvalidInput(
            f"{reprlib.repr(limit)} is no token limit.",
            place="limit_field",
            hint="Use max_tokens or max_completion_tokens.",
        )
    return Endpoint(
        kind="compatible",
        base_url=checked_url(settings.get("base_url") or (preset.base_url if preset else "")),
        key=secrets.get("api_key"),
        total=_total(settings),
        tries=_tries(settings),
        per_minute=per_minute(settings),
        prices=checked_url(settings["prices"], "prices") if settings.get("prices") else None,
        dialect=msgspec.structs.replace(
            dialect,
            limit_field=limit,
            names=_flag(settings, "names", dialect.names),
            alternate=_flag(settings, "alternate", dialect.alternate),
        ),
    )


KINDS = (
    ConnectionKind(
        "openai",
        "OpenAI",
        (
            Field(
                "api_key", "API Key", "The secret key, from the provider's page of keys.", secret=True, required=True
            ),
            Field("base_url", "Base URL", "For servers that speak OpenAI's very dialect.", default=OPENAI_URL),
            Field("organization", "Organization", "Only for keys of several organizations: org-..."),
            Field("project", "Project", "Only for keys of several projects: proj_..."),
            _TIMEOUT,
            _TRIES,
            PER_MINUTE,
            _PRICES,
        ),
        _open_openai,
        serves="openai",
    ),
    ConnectionKind(
        "azure",
        "Azure OpenAI",
        (
            Field("api_key", "API Key", "A key of the resource.", secret=True, required=True),
            Field("endpoint", "Endpoint", "https://RESOURCE.openai.azure.com", required=True),
            Field("api_version", "API Version", "Leave empty for the v1 address; a date for the older, dated one."),
            _TIMEOUT,
            _TRIES,
            PER_MINUTE,
            _PRICES,
        ),
        _open_azure,
        serves="openai",
    ),
    ConnectionKind(
        "compatible",
        "Compatible server",
        (
            Field("preset", "Preset", f"A known server: {', '.join(PRESETS)}."),
            Field(
                "base_url", "Base URL", "The address up to and with /v1, where no preset is given or it lies elsewhere."
            ),
            Field("api_key", "API Key", "Where the server wants one.", secret=True),
            Field(
                "limit_field",
                "Limit field",
                "How the server calls the token limit: max_tokens (default) or max_completion_tokens.",
            ),
            Field("names", "Names", "Whether it takes a `name` beside each message: yes or no (default)."),
            Field("alternate", "Alternate", "Whether user and assistant must take turns: yes or no (default)."),
            _TIMEOUT,
            _TRIES,
            PER_MINUTE,
            _PRICES,
        ),
        _open_compatible,
        serves="openai",
    ),
)
