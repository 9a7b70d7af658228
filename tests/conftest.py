"""Fixtures of all tests. Examples are drawn the same way each time; HYPOTHESIS_PROFILE=wild draws new ones."""

import os

from hypothesis import settings

pytest_plugins = ["databases", "stepping", "command_line"]

settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("wild")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
