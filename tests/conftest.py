"""Fixtures of all tests. Examples are drawn the same way each time; HYPOTHESIS_PROFILE=wild draws new ones."""

import os
import signal
from typing import Any

import pytest
from hypothesis import settings

# Where tests run in the background, Ctrl-C is ignored, and every process that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["databases", "stepping", "command_line", "flowing", "serving"]

# A deadline would fail on a busy machine.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("wild", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_make_parametrize_id(config: pytest.Config, val: Any, argname: str) -> str | None:
    """A test's name holds no bytes: those made while collecting (a packed file's date) differ between workers."""
    return argname if isinstance(val, (bytes, bytearray)) else None
