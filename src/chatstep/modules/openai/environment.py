"""The connection that the environment describes, in the variables that OpenAI's own clients read."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from chatstep.modules.openai.connection import checked_header, checked_key, checked_url
from chatstep.secret import Secret

__all__ = ["FromEnvironment", "from_environment"]


class FromEnvironment(Struct, frozen=True):
    """A connection kind with its settings and secrets."""

    kind: str
    settings: dict[str, str]
    secrets: dict[str, Secret]


def from_environment(environ: Mapping[str, str]) -> FromEnvironment | None:
    """The environment's connection, or None where neither a key nor an address is set.

    ``OPENAI_BASE_URL`` elsewhere than at OpenAI means a compatible server. Raises InvalidInput for a value that is no
    key or address, naming the variable.
    """
    key, base_url = environ.get("OPENAI_API_KEY"), environ.get("OPENAI_BASE_URL")
    if not key and not base_url:
        return None
    secrets = {"api_key": checked_key(key, "OPENAI_API_KEY")} if key else {}
    settings = {}
    kind = "openai"
    if base_url:
        settings["base_url"] = checked_url(base_url, "OPENAI_BASE_URL")
        host = urlsplit(settings["base_url"]).hostname or ""
        if host != "openai.com" and not host.endswith(".openai.com"):
            kind = "compatible"
    if kind == "openai":
        for field, variable in (("organization", "OPENAI_ORG_ID"), ("project", "OPENAI_PROJECT_ID")):
            if value := checked_header(environ.get(variable), variable):
                settings[field] = value
    return FromEnvironment(kind, settings, secrets)
