"""Runs at the same time: of one partition only one works, of several each event still stands once in the table."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from audit_pipeline.engines import run_partition
from audit_pipeline.errors import AuditPipelineError, PartitionBusyError
from audit_pipeline.settings import Settings
from audit_pipeline.simulate import Shares, simulate
from audit_pipeline.store.objects import Store, open_store
from tests.support.crash_child import PROCESSES, Job, run_to_end, start
from tests.support.lake import DAY1, DAY2, DAY3, Lake, entity, event, key, reasons, zipped

pytestmark = pytest.mark.slow

WEEK = tuple(DAY1 + timedelta(days=n) for n in range(7))
#: Much more of everything that reaches across days than there is in reality.
SHARES = Shares(duplicate=0.15, late=0.2, malformed=0.01, conflict=0.01, delayed=0.1)


def settings(lake: Lake) -> dict[str, Any]:
    return {"raw_url": str(lake.raw), "lake_url": str(lake.path), "start_date": DAY1, "workers": 1}


def files_of(lake: Lake) -> dict[str, bytes]:
    return lake.files() | lake.files("auditlog_quarantine") | lake.files("auditlog_manifest")


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw store of a week in which a third of all events arrives late, twice or differently."""
    raw = tmp_path_factory.mktemp("week") / "raw"
    simulate(open_store(str(raw), create=True), WEEK[0], WEEK[-1], events_per_day=300, seed=3, shares=SHARES)
    return raw


def lake_over(raw: Path, root: Path) -> Lake:
    root.mkdir()
    (root / "raw").symlink_to(raw)
    return Lake(root)


# -- two runs of one partition


def test_of_two_processes_that_run_one_partition_one_commits_and_the_other_changes_nothing(
    week: Path, tmp_path: Path
) -> None:
    alone = lake_over(week, tmp_path / "alone")
    alone.run(DAY2)
    busy = 0
    for number in range(10):
        lake = lake_over(week, tmp_path / str(number))
        jobs = [Job(settings(lake), (DAY2,), outcomes=lake.root / str(n)) for n in range(2)]
        processes = []
        for job in jobs:
            processes.append(start(job))
            time.sleep(random.uniform(0, 0.05))
        for process in processes:
            process.join(60)
        outcomes = sorted(json.loads((lake.root / str(n)).read_text())[str(DAY2)] for n in range(2))
        assert outcomes in (["PartitionBusyError", "committed"], ["committed", "committed"])
        busy += "PartitionBusyError" in outcomes
        assert lake.files() == alone.files()
        assert lake.files("auditlog_quarantine") == alone.files("auditlog_quarantine")
        assert not lake.files("auditlog_pending") | lake.files("auditlog_staging")
    assert busy >= 5  # the others came after each other


def test_while_a_run_is_at_work_another_one_says_so_in_one_line_and_changes_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(key(DAY1), zipped(event()))
    lake.run()
    lake.write(key(DAY1, 11), zipped(event("e2", time="2026-05-01T11:00:00Z")))
    reading, may_read = threading.Event(), threading.Event()
    get_many = Store.get_many

    def slow_get_many(store: Store, objects: Any) -> Iterator[Any]:
        reading.set()
        assert may_read.wait(30)
        return get_many(store, objects)

    monkeypatch.setattr(Store, "get_many", slow_get_many)
    at_work = threading.Thread(target=lake.run)
    at_work.start()
    assert reading.wait(30)
    before = {path: data for path, data in lake.files("").items() if "auditlog_lock" not in path}
    with pytest.raises(PartitionBusyError) as busy:
        lake.run()
    outcomes = lake.root / "outcomes"
    assert run_to_end(Job(settings(lake), (DAY1,), outcomes=outcomes)) == 0
    assert json.loads(outcomes.read_text()) == {str(DAY1): "PartitionBusyError"}
    assert {path: data for path, data in lake.files("").items() if "auditlog_lock" not in path} == before
    may_read.set()
    at_work.join()
    assert lake.manifest()["events"]["kept"] == 2
    assert "\n" not in str(busy.value)
    assert f"partition={DAY1}" in str(busy.value)


def test_of_several_threads_that_run_one_partition_one_commits_at_a_time(week: Path, tmp_path: Path) -> None:
    alone = lake_over(week, tmp_path / "alone")
    alone.run(DAY2)
    lake = lake_over(week, tmp_path / "together")
    outcomes: list[str] = []
    periods: list[tuple[float, float]] = []

    def work() -> None:
        began = time.monotonic()
        committing: list[float] = []
        try:
            run_partition(Settings(**settings(lake)), DAY2, progress=lambda *_: committing.append(time.monotonic()))
            outcomes.append("committed")
            periods.append((committing[0], committing[-1]))
        except PartitionBusyError:
            outcomes.append("busy")
            assert committing == [], f"at work since {began}"

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 6
    assert "busy" in outcomes
    assert "committed" in outcomes
    assert all(end <= begin for (_, end), (begin, _) in pairwise(sorted(periods)))
    assert lake.files() == alone.files()


# -- many partitions


def check_each_event_stands_once(lake: Lake, wanted: set[tuple[str, str]]) -> None:
    rows: Counter[tuple[str, str, int]] = Counter()
    owners: dict[tuple[str, str], set[date]] = {}
    for row in lake.rows():
        rows[row["source"], row["Id"], row["EntityIndex"]] += 1
        owners.setdefault((row["source"], row["Id"]), set()).add(row["owner"])
    assert [key for key, times in rows.items() if times > 1] == []
    assert [key for key, days in owners.items() if len(days) > 1] == []
    assert set(owners) == wanted
    manifests = [lake.manifest(day) for day in WEEK]
    assert sum(m["events"]["kept"] for m in manifests) == len(owners)
    assert sum(m["rows"] for m in manifests) == rows.total()
    for manifest in manifests:
        events = manifest["events"]
        assert events["read"] == sum(events[n] for n in ("kept", "duplicate", "deferred", "quarantined"))
    listed = {output["path"] for m in manifests for output in m["outputs"]}
    assert listed == set(lake.files())
    assert not lake.files("auditlog_pending") | lake.files("auditlog_staging")


@pytest.fixture(scope="module")
def distinct(week: Path, tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """The (source, Id) of all events, by a run of one day after the other."""
    lake = lake_over(week, tmp_path_factory.mktemp("distinct") / "lake")
    late = sum(lake.run(day).late_rows for day in WEEK)
    assert late > 100
    return {(row["source"], row["Id"]) for row in lake.rows()}


@pytest.mark.parametrize("seed", range(3))
def test_all_days_of_a_week_at_once_in_several_processes_hold_each_event_once(
    seed: int, week: Path, distinct: set[tuple[str, str]], tmp_path: Path
) -> None:
    lake = lake_over(week, tmp_path / "lake")
    days = list(WEEK)
    random.Random(seed).shuffle(days)
    for _ in range(2):  # the second time over what stands already
        processes = [start(Job(settings(lake), (day,))) for day in days]
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0] * len(days)
        check_each_event_stands_once(lake, distinct)


@pytest.mark.parametrize("seed", range(3))
def test_the_days_of_a_week_in_any_order_and_repeated_hold_each_event_once(
    seed: int, week: Path, distinct: set[tuple[str, str]], tmp_path: Path
) -> None:
    lake = lake_over(week, tmp_path / "lake")
    chosen = random.Random(seed)
    order = [*chosen.sample(WEEK, len(WEEK)), *chosen.sample(WEEK, 3)]
    for day in order:
        lake.run(day)
    check_each_event_stands_once(lake, distinct)


def test_days_that_run_at_once_while_some_of_them_are_killed_hold_each_event_once_after_a_re_run(
    week: Path, distinct: set[tuple[str, str]], tmp_path: Path
) -> None:
    lake = lake_over(week, tmp_path / "lake")
    chosen = random.Random(7)
    for _ in range(3):
        processes = [start(Job(settings(lake), (day,))) for day in chosen.sample(WEEK, len(WEEK))]
        time.sleep(chosen.uniform(0.1, 0.6))
        for process in chosen.sample(processes, 3):
            process.kill()
        for process in processes:
            process.join(120)
    for day in WEEK:
        lake.run(day)
    check_each_event_stands_once(lake, distinct)


# -- a run beside another one's commit


def test_a_run_that_looks_at_a_file_while_its_owner_replaces_it_still_gets_it_right(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DAY2 delivers late events of DAY1. While DAY1 reads DAY2's file, DAY2 is run again and its file is another."""
    late = [event(f"late-{n}", entity(after=f'"{n * 7919}"'), time="2026-05-01T10:00:00Z") for n in range(400)]
    lake.write(key(DAY2), zipped("".join(late)))
    lake.write(key(DAY1), zipped("".join(late[:200]) + event("own")))
    lake.run(DAY2)
    get_range = Store.get_range
    replaced = threading.Event()

    def get_range_after_a_commit(store: Store, *given: Any, **options: Any) -> bytes:
        data = get_range(store, *given, **options)
        if not replaced.is_set():  # the footer was read: now the file becomes another
            replaced.set()
            lake.write(key(DAY2), zipped("".join(late[100:])))
            assert run_to_end(Job(settings(lake), (DAY2,))) == 0
        return data

    monkeypatch.setattr(Store, "get_range", get_range_after_a_commit)
    try:
        lake.run(DAY1)
    except AuditPipelineError:  # it may give up, with an error for a user, as long as the next run gets it right
        lake.run(DAY1)
    assert replaced.is_set()
    assert sorted(row["Id"] for row in lake.rows()) == sorted([f"late-{n}" for n in range(400)] + ["own"])


def test_a_run_that_looks_at_a_file_while_its_owner_removes_it_still_gets_it_right(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = "".join(event(f"late-{n}", time="2026-05-01T10:00:00Z") for n in range(40))
    lake.write(key(DAY2), zipped(late))
    lake.write(key(DAY1), zipped(late))
    lake.run(DAY2)
    get_range = Store.get_range
    replaced = threading.Event()

    def get_range_before_a_commit(store: Store, *given: Any, **options: Any) -> bytes:
        if not replaced.is_set():
            replaced.set()
            lake.write(key(DAY2), zipped(event("other", time="2026-05-02T10:00:00Z")))
            assert run_to_end(Job(settings(lake), (DAY2,))) == 0
        return get_range(store, *given, **options)

    monkeypatch.setattr(Store, "get_range", get_range_before_a_commit)
    try:
        lake.run(DAY1)
    except AuditPipelineError:
        lake.run(DAY1)
    assert sorted(row["Id"] for row in lake.rows()) == sorted([f"late-{n}" for n in range(40)] + ["other"])


def test_a_run_that_looks_in_the_middle_of_anothers_commit_knows_a_half_bad_event_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are in the other's data file, its bad entity in the other's quarantine: they do not appear together."""
    half_bad = event("half-bad", entity(after="1"), '{"entity":{"name":"no id"}}', time="2026-05-01T12:00:00Z")
    lake.write(key(DAY1, 12), zipped(half_bad))
    lake.write(key(DAY2), zipped(half_bad))
    committing, looked = PROCESSES.Event(), PROCESSES.Event()
    other = PROCESSES.Process(target=_commit_slowly, args=(settings(lake), DAY2, committing, looked))
    other.start()
    assert committing.wait(30)
    acquired = threading.Event()

    def on_progress(stage: str, _done: int, _total: int) -> None:
        if stage == "write":
            acquired.set()
            looked.set()

    manifest = run_partition(Settings(**settings(lake)), DAY1, progress=on_progress)
    other.join()
    assert acquired.is_set()
    assert (manifest.events.kept, manifest.events.duplicate, manifest.events.quarantined) == (0, 1, 0)
    assert reasons(lake.quarantine(DAY1)) == []


def _commit_slowly(given: dict[str, Any], partition: date, committing: Any, looked: Any) -> None:
    """Run a partition; after its first data file has appeared it waits until another run has looked at it."""
    put = Store.put

    def slow_put(store: Store, path: str, data: bytes | Path) -> None:
        put(store, path, data)
        if "auditlog_parquet" in path:
            committing.set()
            assert looked.wait(30)

    Store.put = slow_put  # type: ignore[method-assign]
    run_partition(Settings(**given), partition)


def test_the_files_of_a_lake_written_by_many_at_once_are_whole(week: Path, tmp_path: Path) -> None:
    """A reader that looks all the time never sees a file that is not a whole Parquet file."""
    lake = lake_over(week, tmp_path / "lake")
    stop = threading.Event()
    seen = Counter[str]()
    broken: list[str] = []

    def look() -> None:
        while not stop.is_set():
            for path in sorted((lake.path / "auditlog_parquet").rglob("*.parquet")):
                try:
                    seen[path.name] += pq.ParquetFile(path).read(["Id"]).num_rows
                except FileNotFoundError:
                    continue
                except Exception as error:  # whatever a reader can stumble over
                    broken.append(f"{path.name}: {error}")

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(2):
        processes = [start(Job(settings(lake), (day,))) for day in (DAY1, DAY2, DAY3)]
        for process in processes:
            process.join(60)
    stop.set()
    reader.join()
    assert broken == []
    assert seen.total() > 0
