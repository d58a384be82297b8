"""All sensors on in a real daemon: the days of late raw run again, and alerts report them and what the checks find."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import msgspec
import pytest
from dagster._core.scheduler.instigation import InstigatorTick

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.orchestration.alerts import ALERT_SENSOR, Alert
from audit_pipeline.orchestration.late_files import LATE_FILES_TAG
from audit_pipeline.orchestration.names import LATE_FILES_SENSOR, PARQUET, RAW, TABLE
from audit_pipeline.quality.builtin import QUARANTINE_SHARE
from audit_pipeline.settings import load_settings
from tests.support.dagster_harness import Deployment, Instance, order_change, subprocess_environment
from tests.support.dagster_programs import dagster_daemon
from tests.support.lake import key
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

LATE_EVENTS: Final = 7
#: Of the 24 of its day as many again are bad: more than the share that holds a day back.
BAD_EVENTS: Final = 24
_LATE_HOUR: Final = 10
_WAIT_SECONDS: Final = 240

Reported = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class Watched:
    """A deployment of five days that have run, in which files then came late, with its daemon and sensors."""

    deployment: Deployment
    environment: dict[str, str]
    days: tuple[str, ...]

    @property
    def late_day(self) -> str:
        return self.days[1]

    @property
    def bad_day(self) -> str:
        return self.days[2]

    def deliver(self, day: str, hour: int, name: str, *times: str, sound: bool = True) -> str:
        """An object, written a while ago: the sensor waits until no more files come."""
        path = key(date.fromisoformat(day), hour, name)
        self.deployment.write(path, *(order_change(time, sound=sound) for time in times))
        a_while_ago = time.time() - 600
        os.utime(self.deployment.raw / path, (a_while_ago, a_while_ago))
        return path

    def start(self, sensor: str) -> None:
        """As a person does it on the command line."""
        subprocess.run(
            [Path(sys.executable).with_name("dagster"), "sensor", "start", sensor, "-w", REPOSITORY / "workspace.yaml"],
            env=subprocess_environment(**self.environment),
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
        )

    def reported(self) -> Counter[Reported]:
        path = self.deployment.home / "alerts.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        alerts = [msgspec.json.decode(line, type=Alert) for line in lines]
        return Counter((alert.status, alert.severity, alert.kind, alert.partition) for alert in alerts)

    def expected(self) -> Counter[Reported]:
        return Counter(
            [
                ("open", "info", "late_files", self.late_day),
                ("recovered", "info", "late_files", self.late_day),
                ("open", "info", "late_files", self.bad_day),
                ("open", "error", "failed_check", self.bad_day),
            ]
        )

    def ticks(self, sensor: str) -> list[InstigatorTick]:
        with self.deployment.instance() as instance:
            states = [state for state in instance.dagster.all_instigator_state() if state.name == sensor]
            return [
                tick
                for state in states
                for tick in instance.dagster.get_ticks(state.instigator_origin_id, state.selector_id)
                if tick.status.value != "STARTED"
            ]

    def wait_until(self, holds: Callable[[], bool], what: str, log: Path) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail(f"not {what}; reported {self.reported()}: {log.read_text()[-5000:]}")
            time.sleep(1)

    def runs(self) -> list[dg.DagsterRun]:
        """Those that the sensor requested."""
        with self.deployment.instance() as instance:
            return [run for run in instance.dagster.get_runs() if LATE_FILES_TAG in run.tags]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    today = datetime.now(UTC).date()
    days = tuple(str(today - timedelta(days=ago)) for ago in range(5, 0, -1))
    deployment = Deployment(tmp_path_factory.mktemp("sensors") / "it").create(with_examples=False)
    environment = deployment.environment(start_date=days[0], late_days=5, quarantine_error_share=0.05)
    watched = Watched(deployment, environment, days)
    log = deployment.root / "daemon.log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for day in days:
            for hour in range(24):
                watched.deliver(day, hour, "in-time", f"{day}T{hour:02}:30:00Z")
        with deployment.instance() as instance:
            assert instance.run(days[0], days[-1]).success
        with dagster_daemon(deployment, environment, log):
            watched.start(ALERT_SENSOR)
            watched.wait_until(lambda: bool(watched.ticks(ALERT_SENSOR)), "a first look for alerts", log)
            late = [f"{watched.late_day}T{_LATE_HOUR:02}:40:{second:02}Z" for second in range(LATE_EVENTS)]
            watched.deliver(watched.late_day, _LATE_HOUR, "late", *late)
            bad = [f"{watched.bad_day}T{_LATE_HOUR:02}:40:{second:02}Z" for second in range(BAD_EVENTS)]
            watched.deliver(watched.bad_day, _LATE_HOUR, "bad", *bad, sound=False)
            watched.start(LATE_FILES_SENSOR)
            watched.wait_until(lambda: watched.reported() >= watched.expected(), "all alerts", log)
            ticks = len(watched.ticks(ALERT_SENSOR))
            watched.wait_until(lambda: len(watched.ticks(ALERT_SENSOR)) > ticks, "one more look for alerts", log)
        yield watched


def materializations(watched: Watched, instance: Instance, asset: str) -> dict[str, int]:
    return {day: len(instance.materializations(asset, day)) for day in watched.days}


def test_late_files_run_their_days_again_and_no_others(watched: Watched) -> None:
    late_runs = {run.tags["dagster/partition"]: run for run in watched.runs()}
    assert sorted(late_runs) == [watched.late_day, watched.bad_day]
    assert len(watched.runs()) == 2
    assert late_runs[watched.late_day].status == dg.DagsterRunStatus.SUCCESS
    assert late_runs[watched.bad_day].status == dg.DagsterRunStatus.FAILURE
    for day, name in ((watched.late_day, "late"), (watched.bad_day, "bad")):
        assert key(date.fromisoformat(day), _LATE_HOUR, name) in late_runs[day].tags[LATE_FILES_TAG]
    once = dict.fromkeys(watched.days, 1)
    with watched.deployment.instance() as instance:
        assert len(instance.dagster.get_runs()) == 3
        assert materializations(watched, instance, RAW) == once | {watched.late_day: 2, watched.bad_day: 2}
        assert materializations(watched, instance, PARQUET) == once | {watched.late_day: 2, watched.bad_day: 2}
        assert materializations(watched, instance, TABLE) == once | {watched.late_day: 2}


def test_the_late_rows_are_in_the_table(watched: Watched) -> None:
    with watched.deployment.instance() as instance:
        assert instance.metadata(TABLE, watched.late_day)["rows_of_partition"] == 24 + LATE_EVENTS
    day = date.fromisoformat(watched.late_day)
    with AuditLogClient(load_settings()) as client:
        query = AuditLogQuery(from_date=day, to_date=day + timedelta(days=1), sources=["myapp.orderservice"])
        found = [item.id for item in client.iterate(query)]
    assert Counter(found).most_common(1)[0][1] == 1
    assert sum(f"T{_LATE_HOUR:02}:40" in event_id for event_id in found) == LATE_EVENTS


def test_the_check_that_the_bad_files_fail_holds_their_day_back(watched: Watched) -> None:
    with watched.deployment.instance() as instance:
        assert instance.evaluation(QUARANTINE_SHARE, watched.bad_day).severity == dg.AssetCheckSeverity.ERROR
        assert instance.statuses(TABLE, watched.days) == {
            day: "FAILED" if day == watched.bad_day else "MATERIALIZED" for day in watched.days
        }
        assert instance.all_statuses(watched.days)[PARQUET] == dict.fromkeys(watched.days, "MATERIALIZED")


def test_each_finding_is_reported_once_in_the_alert_file(watched: Watched) -> None:
    assert watched.reported() == watched.expected()


def test_the_sensors_end_every_look_well(watched: Watched) -> None:
    for sensor in (ALERT_SENSOR, LATE_FILES_SENSOR):
        ticks = watched.ticks(sensor)
        assert ticks
        assert {tick.error for tick in ticks} == {None}
    first, *later = sorted(watched.ticks(LATE_FILES_SENSOR), key=lambda tick: tick.timestamp)
    assert len(first.run_ids) == 2
    assert [tick.run_ids for tick in later] == [[]] * len(later)
