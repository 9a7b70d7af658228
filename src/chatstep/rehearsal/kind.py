"""The connection kind `rehearsal`: a provider of its own, started on loopback when the connection is first used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from chatstep.errors import InvalidInput
from chatstep.modules.openai.connection import Endpoint
from chatstep.modules.openai.dialect import Dialect
from chatstep.secret import Secret
from chatstep.step import ConnectionKind, Field, Module

__all__ = ["module"]


class _Provider:
    """A context that starts the provider and gives the address to reach it at."""

    def __init__(self, script: str | None) -> None:
        try:
            self._script = Path(script).expanduser() if script else None
        except RuntimeError:
            raise InvalidInput(
                "The script's path begins with a home folder that is not known here.",
                place="script",
                hint="Write the whole path.",
            ) from None
        self._provider: Any = None

    async def __aenter__(self) -> Endpoint:
        from chatstep.rehearsal import Rehearsal  # brings a web server, which no other connection needs

        self._provider = Rehearsal(script=self._script, keep=1)  # nobody looks at what it received
        await self._provider.__aenter__()
        return Endpoint(
            kind="rehearsal",
            base_url=self._provider.base_url,
            dialect=Dialect(limit_field="max_completion_tokens", names=True),
            free=True,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._provider.__aexit__(kind, error, trace)


def _open(settings: Mapping[str, Any], secrets: Mapping[str, Secret]) -> _Provider:
    return _Provider(settings.get("script"))


module = Module(
    "rehearsal",
    "Rehearsal",
    connection_kinds=(
        ConnectionKind(
            "rehearsal",
            "Rehearsal provider",
            (
                Field(
                    "script", "Script", "A YAML file of replies and faults. Empty: it converses by itself.", path=True
                ),
            ),
            _open,
            serves="openai",
        ),
    ),
)
