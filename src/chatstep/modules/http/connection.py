"""Connection kinds: a service with its address and key, and the secret of a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.secret import Secret
from chatstep.step import PER_MINUTE, ConnectionKind, Field, per_minute

__all__ = ["Service", "http_kind", "webhook_kind"]

_PORTS = {"http": 80, "https": 443}


class Service(Struct, frozen=True, kw_only=True):
    """A service's address, and the header that opens it."""

    base_url: str
    header: str = "Authorization"
    token: Secret | None = None
    allow_private: bool = False
    per_minute: int | None = None

    def url(self, address: str) -> str:
        """The whole address for one within this service; raises InvalidInput where it leads elsewhere."""
        whole = urljoin(self.base_url, address)
        if origin(whole) != origin(self.base_url):
            raise InvalidInput(
                "The address belongs to another server than the connection, whose key is not sent there.",
                place="url",
                hint="Write a path such as /v1/items, or leave the connection out.",
            )
        return whole

    def headers(self) -> dict[str, str]:
        """The header with the key."""
        if self.token is None:
            return {}
        text = self.token.reveal()
        bare = self.header.lower() == "authorization" and " " not in text
        return {self.header: f"Bearer {text}" if bare else text}


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; raises InvalidInput for what is no http address."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower().rstrip(".")
        port = parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        scheme = host = ""
        port = 0
    if scheme not in _PORTS or not host:
        raise InvalidInput("The address needs http:// or https:// and a host.", place="url")
    return scheme, host, port


def _open_service(settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> Service:
    base = str(settings.get("base_url", ""))
    try:
        origin(base)
    except InvalidInput as error:
        raise InvalidInput(
            error.message, place="base_url", hint="Write one such as https://api.example.com/."
        ) from None
    private = str(settings.get("allow_private", "no")).lower()
    if private not in ("yes", "no"):
        raise InvalidInput("Expected yes or no.", place="allow_private")
    return Service(
        base_url=base,
        header=settings.get("header") or "Authorization",
        token=secrets.get("token"),
        allow_private=private == "yes",
        per_minute=per_minute(settings),
    )


def _open_webhook(settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> Secret | None:
    return secrets.get("secret")


http_kind = ConnectionKind(
    "http",
    "HTTP service",
    (
        Field("base_url", "Base URL", "Where the service is: https://api.example.com/", required=True),
        Field("token", "Token", "What opens it. In Authorization, a token alone is sent as a bearer.", secret=True),
        Field("header", "Header", "The header that holds the token.", default="Authorization"),
        Field(
            "allow_private",
            "Allow Private",
            "Whether the service may lie in a private network: yes or no (default).",
            default="no",
        ),
        PER_MINUTE,
    ),
    _open_service,
)

webhook_kind = ConnectionKind(
    "webhook",
    "Webhook secret",
    (Field("secret", "Secret", "What both sides know, to sign and check deliveries.", secret=True, required=True),),
    _open_webhook,
)
