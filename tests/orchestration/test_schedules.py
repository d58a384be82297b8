"""When runs start by themselves: the nightly schedule, and the hourly one of the day under way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.names import SCHEDULE, TODAY_SCHEDULE
from tests.support.dagster_harness import Deployment, Instance
from tests.support.lake import DAY1, DAY2, Lake, event, key


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    deployment = Deployment(tmp_path / "deployment").create(with_examples=False)
    for name, value in deployment.environment().items():
        monkeypatch.setenv(name, value)
    with deployment.instance() as instance:
        yield instance


def tick(instance: Instance, name: str, at: str) -> dg.RunRequest | list[dg.RunRequest] | str:
    """The requests of one tick, or why there are none."""
    repository = build_defs().get_repository_def()
    context = dg.build_schedule_context(
        instance=instance.dagster,
        scheduled_execution_time=datetime.fromisoformat(at).replace(tzinfo=UTC),
        repository_def=repository,
    )
    data = repository.get_schedule_def(name).evaluate_tick(context)
    return list(data.run_requests or []) or str(data.skip_message)


def days(requests: object) -> list[str]:
    assert isinstance(requests, list), requests
    return [request.partition_key for request in requests]


@pytest.mark.parametrize("name", [SCHEDULE, TODAY_SCHEDULE])
def test_a_schedule_is_off_until_someone_turns_it_on(instance: Instance, name: str) -> None:
    schedule = build_defs().resolve_schedule_def(name)
    assert (schedule.execution_timezone, schedule.default_status.value) == ("UTC", "STOPPED")


@pytest.mark.parametrize(("grace_hours", "at"), [(0, "00:30"), (1, "01:30"), (3, "03:30")])
def test_the_nightly_schedule_takes_yesterday_half_an_hour_after_its_grace_hours(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, grace_hours: int, at: str
) -> None:
    monkeypatch.setenv("AUDIT_GRACE_HOURS", str(grace_hours))
    hour, minute = (int(part) for part in at.split(":"))
    assert build_defs().resolve_schedule_def(SCHEDULE).cron_schedule == f"{minute} {hour} * * *"
    assert days(tick(instance, SCHEDULE, f"2026-05-03T{at}")) == ["2026-05-02"]


def test_the_nightly_schedule_skips_days_before_the_first_partition(instance: Instance) -> None:
    assert tick(instance, SCHEDULE, "2026-05-01T01:30") == "2026-04-30 is before the first partition, 2026-05-01"


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("2026-05-03T00:05", ["2026-05-02", "2026-05-03"]),  # yesterday's last hour, long before its nightly run
        ("2026-05-03T01:05", ["2026-05-03"]),  # the nightly run of yesterday is near
        ("2026-05-03T10:05", ["2026-05-03"]),
        ("2026-05-03T23:05", ["2026-05-03"]),
        ("2026-05-01T00:05", ["2026-05-01"]),  # no day before the first
    ],
)
def test_the_hourly_schedule_takes_the_day_under_way(instance: Instance, at: str, wanted: list[str]) -> None:
    assert days(tick(instance, TODAY_SCHEDULE, at)) == wanted


def test_with_a_long_grace_yesterday_is_refreshed_until_its_nightly_run_is_near(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_GRACE_HOURS", "6")
    assert days(tick(instance, TODAY_SCHEDULE, "2026-05-03T05:05")) == ["2026-05-02", "2026-05-03"]
    assert days(tick(instance, TODAY_SCHEDULE, "2026-05-03T06:05")) == ["2026-05-03"]


def test_every_hour_is_a_run_of_its_own(instance: Instance) -> None:
    ticks = [tick(instance, TODAY_SCHEDULE, f"2026-05-03T{hour:02}:05") for hour in (9, 10)]
    assert len({request.run_key for requests in ticks for request in requests}) == 2  # type: ignore[union-attr]


def test_a_day_with_a_run_under_way_is_not_refreshed(instance: Instance) -> None:
    create_run_for_test(instance.dagster, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "2026-05-03"})
    assert tick(instance, TODAY_SCHEDULE, "2026-05-03T10:05") == "runs are under way: 2026-05-03"
    assert days(tick(instance, TODAY_SCHEDULE, "2026-05-03T00:05")) == ["2026-05-02"]


# --- the day under way beside the nightly run -------------------------------------------------------------------------


def arrivals() -> list[tuple[date, int, str]]:
    """(delivery day, hour, texts): two days with late events, events in grace, duplicates and broken ones."""
    found = []
    for day in (DAY1, DAY2):
        before, after = day - timedelta(days=1), day + timedelta(days=1)
        for hour in range(0, 24, 3):
            texts = [
                event(f"{day}-{hour}-{n}", time=f"{day}T{hour:02}:{n:02}:00Z", source=f"s{n % 2}") for n in range(5)
            ]
            if day > DAY1:
                texts += [event(f"late-{hour}", time=f"{before}T{hour:02}:30:00Z"), texts[0], "{broken"]
                texts += [event(f"{DAY1}-0-1", time=f"{DAY1}T00:01:00Z", source="s1")]  # again, a day later
            texts += [event(f"early-{day}-{hour}", time=f"{after}T00:00:01Z")] if hour == 21 else []
            found.append((day, hour, "\n".join(texts)))
    return found


def rows_of(lake: Lake) -> list[str]:
    """Every row, whichever partition's file holds it: of two that read the same event, the first to run keeps it."""
    return sorted(repr(sorted((k, v) for k, v in row.items() if k != "owner")) for row in lake.rows())


def test_refreshes_of_the_day_under_way_leave_what_nightly_runs_alone_leave(tmp_path: Path) -> None:
    hourly, nightly = Lake(tmp_path / "hourly"), Lake(tmp_path / "nightly")
    for day, hour, texts in arrivals():
        for lake in (hourly, nightly):
            lake.write(key(day, hour), texts)
        hourly.run(day)
        if hour == 3 and day == DAY2:
            hourly.run(DAY1)
    for lake in (hourly, nightly):
        lake.run(DAY1)
        lake.run(DAY2)
    assert rows_of(hourly) == rows_of(nightly)
    assert len(rows_of(hourly)) == len(set(rows_of(hourly)))


def test_a_refresh_at_the_same_time_as_the_nightly_run_disturbs_neither(tmp_path: Path) -> None:
    alone = Lake(tmp_path / "alone")
    for day, hour, texts in arrivals():
        alone.write(key(day, hour), texts)
    alone.run(DAY1)
    alone.run(DAY2)
    for attempt in range(5):
        both = Lake(tmp_path / f"both{attempt}")
        for day, hour, texts in arrivals():
            both.write(key(day, hour), texts)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(both.run, (DAY1, DAY2)))
        assert rows_of(both) == rows_of(alone)
