"""The alerts of a deployment of the examples."""

from collections.abc import Iterator

import pytest

from tests.support.alerts_harness import Watch
from tests.support.dagster_harness import Deployment


@pytest.fixture
def watch(deployment: Deployment) -> Iterator[Watch]:
    """Its first look is done."""
    with deployment.instance() as instance:
        watch = Watch(deployment, instance)
        assert watch.tick() == []
        yield watch
