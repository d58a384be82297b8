"""Fixtures and the hypothesis profile of all tests."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from lake import Lake
from trino_server import trino  # noqa: F401 - one server for the whole session

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send to themselves or to a
# child; with a handler of our own, a child begins with the system's.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first: the last one of a test process would have the other one wait."""
    items.sort(key=lambda item: not _is_long(item))


def _is_long(item: pytest.Item) -> bool:
    module = item.getparent(pytest.Module)
    return module is not None and any(mark.name == "slow" for mark in module.own_markers)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)
