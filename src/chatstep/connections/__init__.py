"""Connections: what a name stands for, opened for use, and what has to be right about one before it is stored."""

from chatstep.connections.adding import RESERVED, check_has_cost, kind_named, nanodollars_of, settings_of
from chatstep.connections.opening import (
    ENVIRONMENT,
    MODELS,
    REHEARSAL,
    Connections,
    OpenConnection,
    Origin,
    serves,
    undone_if_cancelled,
)

__all__ = [
    "ENVIRONMENT",
    "MODELS",
    "REHEARSAL",
    "RESERVED",
    "Connections",
    "OpenConnection",
    "Origin",
    "check_has_cost",
    "kind_named",
    "nanodollars_of",
    "serves",
    "settings_of",
    "undone_if_cancelled",
]
