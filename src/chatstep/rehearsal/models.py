"""The models that the rehearsal provider offers, as `GET /models` lists them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["DEFAULT_MODELS", "Model", "ModelEntry", "ModelList", "listed"]


class Model(Struct, frozen=True, kw_only=True):
    """One model; ``snapshot`` is the dated name with which it answers, ``shutdown_date`` an ISO date."""

    id: str
    snapshot: str | None = None
    created: int = 1_721_172_741
    owned_by: str = "rehearsal"
    shutdown_date: str | None = None


class ModelEntry(Struct, kw_only=True):
    """A model as the protocol writes it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = ""
    shutdown_date: str | None = None


class ModelList(Struct, kw_only=True):
    """The answer to `GET /models`."""

    object: str = "list"
    data: list[ModelEntry]


# Names and dates as OpenAI announced them by November 2026; a script may offer others.
DEFAULT_MODELS = (
    Model(id="gpt-4o-mini", snapshot="gpt-4o-mini-2024-07-18", shutdown_date="2027-01-14"),
    Model(id="gpt-4o", snapshot="gpt-4o-2024-08-06", created=1_715_367_049, shutdown_date="2027-01-14"),
    Model(id="gpt-4.1", snapshot="gpt-4.1-2025-04-14", created=1_744_316_542, shutdown_date="2027-01-14"),
    Model(id="gpt-4.1-mini", snapshot="gpt-4.1-mini-2025-04-14", created=1_744_318_173, shutdown_date="2027-01-14"),
    Model(id="gpt-5-mini", snapshot="gpt-5-mini-2025-08-07", created=1_754_425_928, shutdown_date="2026-12-11"),
    Model(id="gpt-6-luna"),
    Model(id="rehearsal"),
)


def listed(models: Iterable[Model]) -> list[ModelEntry]:
    """The models as entries of the protocol."""
    return [
        ModelEntry(id=model.id, created=model.created, owned_by=model.owned_by, shutdown_date=model.shutdown_date)
        for model in models
    ]
