"""Fixtures and the hypothesis profile of all tests."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from tests.servers.trino import trino  # noqa: F401 - one server for the whole session
from tests.support.lake import Lake
from tests.support.lanes import FAST
from tests.support.memory_folder import MemoryFolder
from tests.support.paths import REPOSITORY

# Images for containers often have Python keep no bytecode, and uv installs none: then each of the dozens of processes
# that the tests start compiles Dagster and Great Expectations anew, twelve seconds of CPU every time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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
settings.register_profile(FAST, settings.get_profile("here"), max_examples=10)
settings.load_profile("here")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    # here, for it is to know before pytest makes a folder
    pluginmanager.register(MemoryFolder())


#: In the id of a test: its parameters have the engine among them.
_IS_ON_SPARK: Final = re.compile(r"[\[-]spark[\]-]")


#: Fixtures that start a server: who takes one of them is slow without saying so.
_SERVERS: Final = frozenset({"aws", "postgres", "s3", "trino"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first: the last one of a test process would have the other one wait.

    Of a test with many values, Spark runs the first: what reads the values is the one kernel, and a run on Spark takes
    a second.
    """
    seen: set[str] = set()
    chosen: list[pytest.Item] = []
    for item in items:
        # before the choice of "make test-fast", which leaves them out
        if _IS_ON_SPARK.search(item.nodeid) or _SERVERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)
        if not (_IS_ON_SPARK.search(item.nodeid)) or item.nodeid.partition("[")[0] not in seen:
            chosen.append(item)
        if _IS_ON_SPARK.search(item.nodeid):
            seen.add(item.nodeid.partition("[")[0])
    items[:] = sorted(chosen, key=lambda item: not (_is_long(item) or _IS_ON_SPARK.search(item.nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "_Modules":
    return _Modules(config, log)


class _Modules(LoadFileScheduling):  # type: ignore[misc]
    """A module stays in one test process, and all that need Trino in the same one: a second would take 2 GB more.

    So do all that run on Spark, for their JVM's sake; of a module that runs on every engine, only they.
    """

    _WITH_TRINO: Final = frozenset(
        path.relative_to(REPOSITORY).as_posix()
        for path in Path(__file__).parent.rglob("test_*.py")
        if "trino: TrinoServer" in path.read_text()
    )

    def _split_scope(self, nodeid: str) -> str:
        module: str = super()._split_scope(nodeid)
        if "engines/spark/" in module or _IS_ON_SPARK.search(nodeid):
            return "spark"
        return "trino" if module in self._WITH_TRINO else module


def _is_long(item: pytest.Item) -> bool:
    module = item.getparent(pytest.Module)
    return module is not None and any(mark.name == "slow" for mark in module.own_markers)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lake" in metafunc.fixturenames and getattr(metafunc.module, "ON_EVERY_ENGINE", False):
        metafunc.parametrize("lake", ["local", "spark"], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def quick_dagster_storage() -> None:
    if "dagster" in sys.modules:
        from tests.support.quick_storage import quicken

        quicken()


@pytest.fixture(autouse=True)
def no_keys_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's default session keeps the keys that it found first, and the next server refuses them."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """Of the engine that the test is run on; of the local one where it says nothing of engines."""
    engine: str = getattr(request, "param", "local")
    return Lake(tmp_path, settings={"engine": engine})


@pytest.fixture
def without_quality_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's definitions have the pipeline's own two checks: Great Expectations takes longer than a small day."""
    from audit_pipeline.orchestration import checks  # not above: it loads Dagster

    monkeypatch.setattr(checks, "quality_checks", lambda _settings: [])
