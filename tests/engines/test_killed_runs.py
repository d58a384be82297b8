"""A run that is killed at any moment: the run after it ends in the same bytes as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import psutil
import pytest

from tests.support.crash_child import KILLED, Job, run_to_end, start
from tests.support.lake import DAY1, DAY2, DAY3, DAY4, DAY5, Lake, Record, entity, event, key, reasons, zipped
from tests.support.waiting import HANGS_SECONDS

pytestmark = pytest.mark.slow

#: The partition that is killed.
D = DAY3
BROKEN = '{"id":"broken","source":"shop","ti'
BAD_ENTITY = '{"entity":{"name":"no id"}}'


def at(day: date, hour: int = 10) -> str:
    return f"{day}T{hour:02}:00:00Z"


def write_raw(lake: Lake) -> None:
    """Five days whose events also lie in each other's hour folders, with copies across the days."""
    for day in (DAY1, DAY2, DAY4, DAY5):
        own = [event(f"{day.day}-{n}", time=at(day, n), source=("shop", "crm")[n % 2]) for n in range(6)]
        late = [event(f"late-{day.day}", time=at(D, 11), source="shop")] if day > D else []
        lake.write(key(day), zipped("".join(own + late)))
    of_d = [
        *(event(f"3-{n}", time=at(D, n), source=("shop", "crm", "bill")[n % 3]) for n in range(9)),
        event("late-1", time=at(DAY1), source="shop"),
        event("late-2", time=at(DAY2), source="bill"),
        event("2-1", time=at(DAY2, 1), source="crm"),  # stands in DAY2's own file
        event("2-2", entity(after="1"), time=at(DAY2, 2), source="shop"),  # differs from what stands there
        event("late-4", time=at(D, 11), source="shop"),  # DAY4 has delivered it as a late event
        event("half-bad", entity(after="1"), BAD_ENTITY, time=at(D, 12), source="crm"),
        event("5-again", BAD_ENTITY, entity(after="2"), time=at(D, 13), source="crm"),
        BROKEN,
    ]
    lake.write(key(D), zipped("\n".join(of_d)))
    lake.write(key(D, 11, "unreadable"), b"\x1f\x8bno gzip")
    again = event("5-again", BAD_ENTITY, entity(after="2"), time=at(D, 13), source="crm")
    lake.write(key(DAY5, 11), zipped(again + event("3-0", time=at(D, 0), source="shop")))


def change_raw(lake: Lake) -> None:
    """Afterwards D has no event of ``bill``, no late one of DAY2, nothing to quarantine, and a new source."""
    events = [event(f"3-{n}", time=at(D, n), source=("shop", "crm")[n % 2]) for n in range(7)]
    lake.write(key(D), zipped("".join(events) + event("new", time=at(DAY1), source="web")))
    lake.write(key(D, 11, "unreadable"), b"")


def copy_of(lake: Lake, root: Path) -> Lake:
    """The same lake elsewhere, over the same raw store."""
    root.mkdir()
    (root / "raw").symlink_to(lake.raw.resolve())
    shutil.copytree(lake.path, root / "lake")
    return Lake(root)


def job(lake: Lake, **more: object) -> Job:
    settings = {"raw_url": str(lake.raw), "lake_url": str(lake.path), "start_date": DAY1, "workers": 1}
    return Job(settings=settings, partitions=(D,), **more)  # type: ignore[arg-type]


def outcome(lake: Lake) -> Record:
    """All files of the table and the quarantine, and the manifests without what differs between two runs."""
    manifests = {
        path: {k: v for k, v in json.loads(data).items() if k not in ("run_id", "started_at", "finished_at")}
        for path, data in lake.files("auditlog_manifest").items()
    }
    return lake.files() | lake.files("auditlog_quarantine") | manifests


def leftovers(lake: Lake) -> list[str]:
    """What no run should leave. The half-written record of a lock may wait for the next taker of that lock."""
    staged = {path: data for path, data in lake.files("auditlog_staging").items() if b'"process_started"' not in data}
    return [*lake.files("auditlog_pending"), *staged]


def events_standing_twice(lake: Lake) -> list[tuple[str, str]]:
    seen = Counter((row["source"], row["Id"], row["EntityIndex"]) for row in lake.rows())
    return [event_id[:2] for event_id, times in seen.items() if times > 1]


def of_others(lake: Lake) -> dict[str, bytes]:
    files = lake.files() | lake.files("auditlog_quarantine") | lake.files("auditlog_manifest")
    return {path: data for path, data in files.items() if not Path(path).name.startswith(str(D))}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """D has not run yet; the days around it have, among them one with late events of D."""
    lake = Lake(tmp_path_factory.mktemp("first"))
    write_raw(lake)
    for day in (DAY1, DAY2, DAY4):
        lake.run(day)
    return lake


@pytest.fixture(scope="module")
def re_run(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """D has run, then its raw objects changed: the next run has files to remove."""
    lake = Lake(tmp_path_factory.mktemp("again"))
    write_raw(lake)
    for day in (DAY1, DAY2, DAY4, D):
        lake.run(day)
    change_raw(lake)
    return lake


@pytest.fixture(params=["first_run", "re_run"])
def before(request: pytest.FixtureRequest) -> Lake:
    lake: Lake = request.getfixturevalue(request.param)
    return lake


@pytest.fixture
def undisturbed(before: Lake, tmp_path: Path) -> Lake:
    lake = copy_of(before, tmp_path / "undisturbed")
    lake.run(D)
    return lake


def changes_of(before: Lake, root: Path) -> list[str]:
    """Every change that an undisturbed run makes, in order."""
    lake = copy_of(before, root)
    assert run_to_end(job(lake, changes=root / "changes")) == 0
    changes: list[str] = json.loads((root / "changes").read_bytes())
    return changes


def test_the_lakes_of_these_tests_hold_what_they_are_meant_to(first_run: Lake, re_run: Lake, tmp_path: Path) -> None:
    first, again = copy_of(first_run, tmp_path / "1"), copy_of(re_run, tmp_path / "2")
    assert {row["dt"] for row in first.rows(DAY4)} == {str(D), str(DAY4)}
    manifest, before_it = first.run(D), set(again.files())
    assert {(o.dt, o.source) for o in manifest.outputs} >= {(DAY1, "shop"), (DAY2, "bill"), (D, "bill"), (D, "crm")}
    assert manifest.events.duplicate == 2
    assert set(manifest.quarantine.by_reason) == {
        "not_json",
        "unreadable_object",
        "missing_field",
        "conflicting_duplicate",
    }
    again.run(D)
    assert sorted(path.split("/", 1)[1] for path in before_it - set(again.files())) == [
        "dt=2026-05-01/source=shop/2026-05-03.parquet",
        "dt=2026-05-02/source=bill/2026-05-03.parquet",
        "dt=2026-05-03/source=bill/2026-05-03.parquet",
    ]
    assert not again.quarantine(D)


def test_killed_at_any_change_the_next_run_ends_in_the_same_bytes(
    before: Lake, undisturbed: Lake, tmp_path: Path
) -> None:
    changes = changes_of(before, tmp_path / "counted")
    assert len(changes) > 30
    wanted, others = outcome(undisturbed), of_others(before)
    for number, change in enumerate(changes):
        lake = copy_of(before, tmp_path / str(number))
        assert run_to_end(job(lake, fatal=number)) == KILLED
        assert of_others(lake) == others, f"others' files changed before {change}"
        lake.run(D)
        assert outcome(lake) == wanted, f"after a kill before {change}"
        assert leftovers(lake) == [], f"after a kill before {change}"
        shutil.rmtree(lake.root)


def test_killed_at_random_times_and_again_in_the_runs_after_it_the_bytes_are_the_same(
    before: Lake, undisturbed: Lake, tmp_path: Path
) -> None:
    wanted = outcome(undisturbed)
    began = time.monotonic()
    run_to_end(job(copy_of(before, tmp_path / "timed")))
    usual = time.monotonic() - began
    killed = 0
    for number in range(6):
        lake = copy_of(before, tmp_path / str(number))
        for _ in range(3):
            process = start(job(lake))
            time.sleep(random.uniform(0, usual))
            process.kill()
            process.join()
            killed += process.exitcode == KILLED
        lake.run(D)
        assert outcome(lake) == wanted
        assert leftovers(lake) == []
    assert killed > 3


def test_killed_and_then_its_raw_objects_change_the_next_run_leaves_what_they_hold_now(
    first_run: Lake, tmp_path: Path
) -> None:
    changes = changes_of(first_run, tmp_path / "counted")
    changed = Lake(tmp_path / "changed")
    write_raw(changed)
    change_raw(changed)
    for day in (DAY1, DAY2, DAY4, D):
        changed.run(day)
    wanted = changed.files() | changed.files("auditlog_quarantine")
    for number in [n for n, change in enumerate(changes) if "/dt=" in change and "lock" not in change]:
        lake = copy_of(first_run, tmp_path / str(number))
        assert run_to_end(job(lake, fatal=number)) == KILLED
        (lake.root / "raw").unlink()
        (lake.root / "raw").symlink_to(changed.raw)
        lake.run(D)
        assert lake.files() | lake.files("auditlog_quarantine") == wanted, f"after a kill before {changes[number]}"
        assert leftovers(lake) == [], f"after a kill before {changes[number]}"


def test_others_can_run_before_the_killed_one_runs_again_and_each_event_stands_once(
    first_run: Lake, tmp_path: Path
) -> None:
    in_order = copy_of(first_run, tmp_path / "in order")
    for day in (D, DAY5):
        in_order.run(day)
    everything = sorted((row["source"], row["Id"], row["EntityIndex"]) for row in in_order.rows())
    changes = changes_of(first_run, tmp_path / "counted")
    for number in [n for n, change in enumerate(changes) if "auditlog_lock" not in change]:
        lake = copy_of(first_run, tmp_path / str(number))
        assert run_to_end(job(lake, fatal=number)) == KILLED
        manifests = [lake.run(day) for day in (DAY5, DAY4, D, DAY1, DAY2)]
        found = sorted((row["source"], row["Id"], row["EntityIndex"]) for row in lake.rows())
        assert found == everything, f"after a kill before {changes[number]}"
        assert sum(m.events.kept for m in manifests) == len({row[:2] for row in everything})
        assert "conflicting_duplicate" not in reasons(lake.quarantine(DAY5)), f"after a kill before {changes[number]}"


def large_day(lake: Lake) -> None:
    """A day that two workers need some seconds for."""
    for hour in range(8):
        name = f"{hour}-"
        text = "".join(event(f"{name}{n}", time=at(DAY1, hour), source="shop") for n in range(20_000))
        lake.write(key(DAY1, hour), zipped(text))


_RUN = """
import sys
from pathlib import Path
from audit_pipeline.engines import decoding, run_partition
from audit_pipeline.settings import Settings
from datetime import date
if __name__ == "__main__":
    decoding._WORKERS_FROM_BYTES = 1
    raw, lake, scratch = sys.argv[1:]
    settings = Settings(raw_url=raw, lake_url=lake, start_date=date(2026, 5, 1), workers=2, scratch_dir=scratch)
    run_partition(settings, date(2026, 5, 1))
"""


def worker_processes(parent: psutil.Process) -> Iterator[psutil.Process]:
    for child in parent.children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                yield child
        except psutil.NoSuchProcess:
            continue


@pytest.mark.parametrize("spilled", [0, 1, 4])
def test_the_workers_of_a_killed_run_die_with_it_and_the_next_run_removes_what_it_spilled(
    spilled: int, tmp_path: Path
) -> None:
    lake, scratch = Lake(tmp_path / "store"), tmp_path / "scratch"
    large_day(lake)
    program = tmp_path / "run.py"
    program.write_text(_RUN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    run = subprocess.Popen([sys.executable, str(program), str(lake.raw), str(lake.path), str(scratch)], env=environment)
    try:
        parent = psutil.Process(run.pid)
        until(lambda: len(list(worker_processes(parent))) == 2, seconds=60)
        until(lambda: len(list(scratch.glob("*/*/*.rows"))) >= spilled, seconds=60)
        processes = parent.children(recursive=True)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert len(processes) >= 2
    _, alive = psutil.wait_procs(processes, timeout=HANGS_SECONDS)
    assert alive == []
    (root,) = scratch.iterdir()
    (left,) = root.iterdir()
    (of_living := root / f"{os.getpid()}_{psutil.Process().create_time()}_other").mkdir()
    manifest = lake.run(DAY1, workers=2, scratch_dir=scratch)
    assert manifest.events.kept == 160_000
    assert leftovers(lake) == []
    assert not left.exists()
    assert of_living.exists()


def until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
