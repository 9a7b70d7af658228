"""HTTP: a step that asks any service, and connections that hold what it must not tell."""

from chatstep.modules.http.connection import http_kind, webhook_kind
from chatstep.modules.http.request import request
from chatstep.step import Module

__all__ = ["module"]

module = Module("http", "HTTP", steps=(request,), connection_kinds=(http_kind, webhook_kind))
