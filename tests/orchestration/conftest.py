"""A deployment of the examples with its Dagster instance, for every test on what runs and sensors do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_pipeline.orchestration import assets
from tests.support.dagster_harness import Deployment, Instance


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Its settings are those of the environment."""
    made = Deployment(tmp_path).create()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def instance(deployment: Deployment) -> Iterator[Instance]:
    with deployment.instance() as instance:
        yield instance


@pytest.fixture(autouse=True)
def without_a_pause_before_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "_RETRY_SECONDS", (0, 0))
