"""Fixtures and the hypothesis profile of all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from lake import Lake
from trino_server import trino  # noqa: F401 - one server for the whole session

# New inputs at every run of a developer's, and the blob repeats a failure. On CI the same each time: a change must
# not be refused for what luck finds in another.
settings.register_profile(
    "here",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("here")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)
