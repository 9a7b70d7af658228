"""What is known about a model: limits, efforts, sampling, encoding, end of life.

The facts are rows of `models.json`, which `scripts/make_models_table.py` writes from published data; its header says
from which versions and when. A model that is not in the table works too: nothing is assumed about it, and what its
server refuses is learnt elsewhere. For prompts, the step, the `models` command and the rehearsal provider.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.json import decode

__all__ = [
    "Encoding",
    "ModelFacts",
    "Sampling",
    "TableSource",
    "facts",
    "known_models",
    "shutdown_warning",
    "table_source",
]

Encoding = Literal["o200k_base", "cl100k_base"]
Sampling = Literal["always", "without_effort", "never"]

WARN_DAYS = 90

_SNAPSHOT = re.compile(r"-20\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])$")
_PROVIDER = "openai/"
_FINE_TUNE = "ft:"


class _Row(Struct, frozen=True, omit_defaults=True):
    """A row of the table; what is left out has the default written here."""

    window: int | None = None
    max_input: int | None = None
    max_output: int | None = None
    effort: tuple[str, ...] = ()
    reasons: bool = False
    sampling: Sampling = "always"
    chat: bool = True
    encoding: Encoding = "o200k_base"
    exact: bool = True
    shutdown: str | None = None
    replacement: str | None = None


class ModelFacts(_Row, frozen=True, kw_only=True):
    """What is known about one model; None and empty mean unknown, never "none at all".

    ``window`` bounds prompt and reply together, in tokens. ``max_input`` bounds the prompt alone: sources give some
    families a smaller limit for it, for the others it equals the window. A request must respect both.
    ``max_output`` bounds the reply, thinking included.

    ``effort`` lists the values of `reasoning_effort` that chat/completions takes; empty: leave the field out.
    ``reasons`` says that the model can think before it answers. ``sampling`` says when temperature, top_p and their
    kin may be sent; `without_effort`: only beside effort `none`. ``chat`` is False for models of /responses only.

    ``exact`` says that the encoding is the model's published one; else our count is an estimate. ``shutdown`` is the
    ISO date announced when the table was made; ``replacement`` is the successor its maker names.
    """

    name: str
    known: bool


class TableSource(Struct, frozen=True):
    """From what the table was made: package versions, and the day as ISO date."""

    date: str
    versions: dict[str, str]


class _Table(Struct, frozen=True):
    made_from: TableSource
    models: dict[str, _Row]


@cache
def _table() -> _Table:
    return decode(Path(__file__).with_name("models.json").read_bytes(), type=_Table)


def table_source() -> TableSource:
    """From which data, and when, the table was made."""
    return _table().made_from


def known_models() -> tuple[str, ...]:
    """The names in the table, sorted; dated snapshots appear only where they differ from their family."""
    return tuple(_table().models)


@lru_cache(maxsize=1024)
def facts(model: str) -> ModelFacts:
    """The facts about ``model``, found through a provider prefix, a fine-tune's base and a dated snapshot.

    An unknown name is no error: it gives ``known=False``, no limits, and token counts that are estimates.
    """
    row = _find(model.removeprefix(_PROVIDER))
    if row is None:
        return ModelFacts(name=model, known=False, exact=False)
    return ModelFacts(name=model, known=True, **{field: getattr(row, field) for field in _Row.__struct_fields__})


def _find(name: str) -> _Row | None:
    if name.startswith(_FINE_TUNE):
        name = name.split(":")[1]
    models = _table().models
    return models.get(name) or models.get(_SNAPSHOT.sub("", name))


def shutdown_warning(model: str, today: date, shutdown: str | None, replacement: str | None) -> str | None:
    """A sentence when ``model`` is gone or goes within 90 days; None otherwise, also when the date cannot be read.

    ``shutdown`` is an ISO date or date-time: the server's own word where it gave one, else the table's.
    """
    if shutdown is None:
        return None
    try:
        day = date.fromisoformat(shutdown[:10])
    except ValueError:
        return None
    days = (day - today).days
    if days > WARN_DAYS:
        return None
    if days < 0:
        fate = f"was shut down on {day}"
    elif days == 0:
        fate = "is shut down today"
    else:
        fate = f"will be shut down on {day}, in {days} day{'s' if days > 1 else ''}"
    advice = f"Use {replacement} instead." if replacement else "Choose another model."
    return f"The model {model} {fate}. {advice}"
