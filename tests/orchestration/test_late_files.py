"""The late-files sensor: which days it requests, when, how often, and what it reports about them."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from audit_pipeline.engines import late_files as comparison
from audit_pipeline.engines import run_partition
from audit_pipeline.orchestration import late_files
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.late_files import LATE_FILES_TAG
from audit_pipeline.orchestration.names import LATE_FILES, LATE_FILES_SENSOR, TABLE
from audit_pipeline.orchestration.partitions import newest_due
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.settings import load_settings
from tests.support.dagster_harness import Deployment, Instance, event, failure_text

NEWEST = newest_due(datetime.now(UTC), 1)
D1, D2, D3, D4, D5 = (NEWEST - timedelta(days=n) for n in (4, 3, 2, 1, 0))
AN_HOUR_AGO = time.time() - 3600


@dataclass
class Sensor:
    """Ticks one after the other, each with the cursor that the one before left."""

    deployment: Deployment
    instance: Instance
    cursor: str | None = None
    skipped: str = ""
    observations: tuple[dg.AssetObservation, ...] = ()

    def tick(self) -> list[dg.RunRequest]:
        sensor = build_defs().resolve_sensor_def(LATE_FILES_SENSOR)
        context = dg.build_sensor_context(
            instance=self.instance.dagster, cursor=self.cursor, resources={"lake": AuditLake(load_settings())}
        )
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.skipped = str(result.skip_reason.skip_message) if result.skip_reason else ""
        self.observations = tuple(e for e in result.asset_events if isinstance(e, dg.AssetObservation))
        return list(result.run_requests or [])

    def days(self) -> list[date]:
        """The days that a tick requests."""
        return [date.fromisoformat(str(request.partition_key)) for request in self.tick()]

    def details(self) -> dict[str, Any]:
        (observation,) = self.observations
        value = observation.metadata[LATE_FILES].value
        assert isinstance(value, dict)
        return value

    def run(self, *days: date) -> None:
        for day in days:
            run_partition(load_settings(), day)

    def write(self, day: date, hour: int, name: str, *, age: float = 3600) -> Path:
        """An object with one event, that has lain there for ``age`` seconds."""
        key = f"year={day:%Y}/month={day:%m}/day={day:%d}/hour={hour:02}/{name}"
        self.deployment.write(key, event(f"{day}-{hour}-{name}", f"{day}T{hour:02}:10:00Z"))
        path = self.deployment.raw / key
        os.utime(path, (time.time() - age,) * 2)
        return path


@pytest.fixture(scope="module")
def five_days(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """They have run, and the newest of them was due last."""
    made = Deployment(tmp_path_factory.mktemp("five-days")).create(with_examples=False)
    with pytest.MonkeyPatch.context() as patch, made.instance() as instance:
        for name, value in made.environment(start_date=D1).items():
            patch.setenv(name, value)
        sensor = Sensor(made, instance)
        for day in (D1, D2, D3, D4, D5):
            sensor.write(day, 10, "a")
        sensor.run(D1, D2, D3, D4, D5)
    return made


@pytest.fixture
def settings() -> dict[str, object]:
    return {}


@pytest.fixture
def sensor(
    five_days: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> Iterator[Sensor]:
    """Of the five days."""
    deployment = five_days.copy(tmp_path)
    for name, value in deployment.environment(start_date=D1, **settings).items():
        monkeypatch.setenv(name, value)
    with deployment.instance() as instance:
        yield Sensor(deployment, instance)


def test_days_that_are_as_their_runs_read_them_are_not_requested(sensor: Sensor) -> None:
    assert sensor.days() == []
    assert sensor.skipped == "no late files"
    assert sensor.observations == ()


def test_a_late_object_requests_a_run_of_its_day_once(sensor: Sensor) -> None:
    sensor.write(D4, 3, "late")
    assert sensor.days() == [D4]
    assert [sensor.days() for _ in range(3)] == [[], [], []]


def test_after_its_run_the_day_is_quiet_and_its_rows_are_there(sensor: Sensor) -> None:
    sensor.write(D4, 3, "late")
    sensor.tick()
    assert sensor.instance.run(str(D4)).success
    assert sensor.instance.metadata(TABLE, str(D4))["rows_of_partition"] == 2
    assert sensor.days() == []


def test_a_second_late_object_requests_again_with_another_run_key(sensor: Sensor) -> None:
    sensor.write(D4, 3, "late")
    (first,) = sensor.tick()
    sensor.run(D4)
    sensor.write(D4, 4, "later still")
    (second,) = sensor.tick()
    assert first.run_key != second.run_key


def test_what_comes_back_as_it_was_before_is_requested_again(sensor: Sensor) -> None:
    """Dagster remembers a run key for ever: the same content after another run is another change."""
    path = sensor.write(D4, 3, "late")
    keys = [request.run_key for request in sensor.tick()]
    sensor.run(D4)
    kept = path.rename(sensor.deployment.root / "kept")
    sensor.write(D4, 3, "other")
    sensor.tick()
    kept.rename(path)
    (sensor.deployment.raw / path.parent / "other").unlink()
    sensor.write(D4, 5, "more")
    keys += [request.run_key for request in sensor.tick()]
    assert len(set(keys)) == 2


def test_an_object_in_a_grace_hour_requests_both_days_that_read_it(sensor: Sensor) -> None:
    sensor.write(D4, 0, "late")
    assert sensor.days() == [D3, D4]


def test_an_object_after_the_grace_hour_requests_its_own_day_only(sensor: Sensor) -> None:
    sensor.write(D4, 1, "late")
    assert sensor.days() == [D4]


def test_an_object_that_was_replaced_requests_its_day(sensor: Sensor) -> None:
    path = sensor.write(D4, 10, "a")
    assert sensor.days() == [D4]
    assert sensor.details()["changed"] == [str(path.relative_to(sensor.deployment.raw))]


def test_the_request_and_an_observation_of_the_asset_show_why(sensor: Sensor) -> None:
    path = sensor.write(D4, 3, "late")
    key = str(path.relative_to(sensor.deployment.raw))
    (request,) = sensor.tick()
    assert request.tags[LATE_FILES_TAG] == f"1 new: {key}"
    details = sensor.details()
    assert details["new"] == [key]
    assert (details["new_count"], details["changed_count"], details["vanished_count"]) == (1, 0, 0)
    assert (details["requested"], details["problem"]) == (True, None)
    (observation,) = sensor.observations
    assert observation.partition == str(D4)
    assert f"| {key} | new |" in str(observation.metadata["objects"].value)


def test_of_many_late_objects_the_tag_is_short_and_twenty_keys_are_shown(sensor: Sensor) -> None:
    for n in range(30):
        sensor.write(D4, 3, f"{n:02}-{'x' * 200}")
    (request,) = sensor.tick()
    assert request.tags[LATE_FILES_TAG].startswith("30 new: ")
    assert len(request.tags[LATE_FILES_TAG]) <= 600
    assert (len(sensor.details()["new"]), sensor.details()["new_count"]) == (20, 30)


def test_a_day_is_left_alone_until_no_file_has_come_for_some_minutes(sensor: Sensor) -> None:
    path = sensor.write(D4, 3, "late", age=0)
    assert sensor.days() == []
    assert "files arrived in the last 5 minutes" in sensor.skipped
    os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))
    assert sensor.days() == [D4]


def test_a_day_with_a_run_under_way_waits_for_its_end(sensor: Sensor) -> None:
    sensor.write(D4, 3, "late")
    run = create_run_for_test(
        sensor.instance.dagster, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": str(D4)}
    )
    assert sensor.days() == []
    assert "a run is under way" in sensor.skipped
    sensor.instance.dagster.delete_run(run.run_id)
    assert sensor.days() == [D4]


def test_a_day_in_a_range_that_is_under_way_waits_too(sensor: Sensor) -> None:
    sensor.write(D3, 3, "late")
    sensor.write(D5, 3, "late")
    tags = {"dagster/asset_partition_range_start": str(D2), "dagster/asset_partition_range_end": str(D4)}
    create_run_for_test(sensor.instance.dagster, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert sensor.days() == [D5]


@pytest.mark.parametrize("settings", [{"late_max_runs": 2}])
def test_at_most_so_many_runs_are_requested_at_a_time_and_the_rest_later(sensor: Sensor) -> None:
    for day in (D3, D4, D5):
        sensor.write(day, 3, "late")
    assert sensor.days() == [D3, D4]
    assert sensor.days() == [D5]
    assert sensor.days() == []


def test_older_days_are_looked_at_once_a_day(sensor: Sensor) -> None:
    sensor.write(D1, 3, "late")
    assert sensor.days() == [D1]
    sensor.write(D2, 3, "late")
    assert sensor.days() == []


def test_a_sweep_that_was_cut_short_goes_on_at_the_next_tick(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_CONCURRENCY", 3)  # so that the watched days are the first chunk
    for day in (D1, D2, D3):
        sensor.write(day, 3, "late")
    clock = iter([0.0, 1.0, 31.0, *range(100, 200)])
    monkeypatch.setattr(late_files.time, "monotonic", lambda: next(clock))
    assert sensor.days() == [D3]
    assert sensor.days() == [D1, D2]


@pytest.mark.parametrize("settings", [{"late_sweep_days": 4}])
def test_days_beyond_the_sweep_are_left_alone(sensor: Sensor) -> None:
    sensor.write(D1, 3, "late")
    assert sensor.days() == []


def test_a_day_that_never_ran_is_not_requested(sensor: Sensor) -> None:
    sensor.deployment.manifest_path(str(D4)).unlink()
    sensor.write(D4, 3, "late")
    assert sensor.days() == []


def test_the_day_under_way_is_not_requested(sensor: Sensor) -> None:
    today = D5 + timedelta(days=1)
    sensor.write(today, 3, "a")
    sensor.run(today)
    sensor.write(today, 4, "b")
    assert sensor.days() == []


def test_the_manifest_is_read_only_where_something_is_new(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[date] = []
    read_manifest = comparison.read_manifest
    monkeypatch.setattr(comparison, "read_manifest", lambda lake, day: read.append(day) or read_manifest(lake, day))
    sensor.tick()
    assert sorted(read) == [D1, D2, D3, D4, D5]
    sensor.tick()
    assert len(read) == 5
    sensor.write(D4, 3, "late")
    sensor.tick()
    assert read[5:] == [D4]


def test_a_cursor_that_cannot_be_read_is_begun_anew(sensor: Sensor) -> None:
    sensor.write(D4, 3, "late")
    sensor.cursor = "{broken"
    assert sensor.days() == [D4]


def test_a_day_with_a_broken_manifest_is_reported_once_and_the_others_go_on(sensor: Sensor) -> None:
    sensor.deployment.manifest_path(str(D3)).write_text("{")
    sensor.write(D4, 3, "late")
    assert sensor.days() == [D4]
    problems = [observation.metadata[LATE_FILES].value["problem"] for observation in sensor.observations]  # type: ignore[index]
    assert sum("cannot be compared with its raw objects" in (problem or "") for problem in problems) == 1
    assert sensor.days() == []
    assert sensor.observations == ()


# --- raw that has gone ------------------------------------------------------------------------------------------------


def test_a_day_whose_raw_has_expired_is_reported_once_and_not_run_again(sensor: Sensor) -> None:
    for path in (sensor.deployment.raw).rglob("day=" + f"{D4:%d}/hour=10/a"):
        path.unlink()
    assert sensor.days() == []
    assert (sensor.details()["requested"], sensor.details()["vanished_count"]) == (False, 1)
    assert "are gone: the table keeps their rows" in str(sensor.details()["problem"])
    assert sensor.days() == []
    assert sensor.observations == ()


def test_a_vanished_object_requests_a_run_which_refuses_to_shrink_the_table(sensor: Sensor) -> None:
    extra = sensor.write(D4, 3, "b")
    sensor.tick()
    sensor.run(D4)
    files = {path: path.read_bytes() for path in sensor.deployment.data_files(str(D4))}
    extra.unlink()
    assert sensor.days() == [D4]
    result = sensor.instance.run(str(D4))
    assert not result.success
    text = failure_text(result)
    assert "RawVanishedError: 1 of the 2 raw objects that the last run of partition" in text
    assert "hour=03/b" in text
    assert "--accept-vanished-raw" in text
    assert "the tag audit_pipeline/accept_vanished_raw: true" in text
    assert {path: path.read_bytes() for path in sensor.deployment.data_files(str(D4))} == files
    assert sensor.days() == []


@pytest.mark.usefixtures("without_quality_checks")
def test_a_run_with_the_tag_accepts_that_raw_has_vanished(sensor: Sensor) -> None:
    extra = sensor.write(D4, 3, "b")
    sensor.run(D4)
    extra.unlink()
    job = build_defs().resolve_job_def("audit_log_job")
    result = job.execute_in_process(
        instance=sensor.instance.dagster,
        partition_key=str(D4),
        tags={"audit_pipeline/accept_vanished_raw": "true"},
        raise_on_error=False,
    )
    assert result.success
    assert sensor.instance.metadata(TABLE, str(D4))["rows_of_partition"] == 1
