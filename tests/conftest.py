"""Fixtures and the hypothesis profile of all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from lake import Lake

# hypothesis would derandomize by itself on CI; new inputs every night are worth more, and the blob repeats a failure
settings.register_profile(
    "ci", deadline=None, derandomize=False, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)
