"""A real daemon: a backfill, then late raw, with all sensors on; runs are queued, each in a process of its own."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import msgspec
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorTick

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.orchestration.alerts import ALERT_SENSOR, Alert
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.late_files import LATE_FILES_TAG
from audit_pipeline.orchestration.names import ASSETS, CHECKS, LATE_FILES_SENSOR, PARQUET, RAW, TABLE
from audit_pipeline.quality.builtin import READABLE_SHARE
from audit_pipeline.settings import load_settings
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.objects import open_store
from tests.support.dagster_harness import Deployment, Instance, order_change, subprocess_environment
from tests.support.dagster_programs import dagster_daemon
from tests.support.lake import key
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DAYS_PER_RUN: Final = 3
HOURS: Final = 24
LATE_EVENTS: Final = 7
#: Of the 24 of its day as many again are bad: more than the share that holds a day back.
BAD_EVENTS: Final = 24
_LATE_HOUR: Final = 10

Reported = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class Site:
    """A deployment with five days of raw, its daemon and all its sensors."""

    deployment: Deployment
    environment: dict[str, str]
    days: tuple[str, ...]
    log: Path

    @property
    def late_day(self) -> str:
        return self.days[1]

    @property
    def bad_day(self) -> str:
        return self.days[2]

    @property
    def busy_day(self) -> str:
        """In the second run of the backfill, with another day."""
        return self.days[3]

    @property
    def other_days(self) -> list[str]:
        return [day for day in self.days if day != self.busy_day]

    def deliver(self, day: str, hour: int, name: str, *times: str, sound: bool = True) -> str:
        """An object, written a while ago: the sensor waits until no more files come."""
        path = key(date.fromisoformat(day), hour, name)
        self.deployment.write(path, *(order_change(time, sound=sound) for time in times))
        a_while_ago = time.time() - 600
        os.utime(self.deployment.raw / path, (a_while_ago, a_while_ago))
        return path

    def start_sensors(self) -> None:
        """As a person does it on the command line."""
        command = [Path(sys.executable).with_name("dagster"), "sensor", "start", "--start-all"]
        subprocess.run(
            [*command, "-w", REPOSITORY / "workspace.yaml"],
            env=subprocess_environment(**self.environment),
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
        )

    def submit_backfill(self) -> None:
        with self.deployment.instance() as instance:
            backfill = PartitionBackfill.from_asset_partitions(
                backfill_id="backfill",
                asset_graph=build_defs().resolve_asset_graph(),
                partition_names=self.days,
                asset_selection=[dg.AssetKey(asset) for asset in ASSETS],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance.dagster,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
            instance.dagster.add_backfill(backfill)

    def backfill_status(self) -> BulkActionStatus:
        with self.deployment.instance() as instance:
            backfill = instance.dagster.get_backfill("backfill")
            assert backfill is not None
            return backfill.status

    def reported(self) -> Counter[Reported]:
        path = self.deployment.home / "alerts.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        alerts = [msgspec.json.decode(line, type=Alert) for line in lines]
        return Counter((alert.status, alert.severity, alert.kind, alert.partition) for alert in alerts)

    def expected(self) -> Counter[Reported]:
        return Counter(
            [
                ("open", "error", "failed_run", self.busy_day),
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

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        wait_until(holds, lambda: f"{what}; reported {self.reported()}: {self.log.read_text()[-5000:]}", every=1)

    def wait_for_a_tick(self, sensor: str) -> None:
        before = len(self.ticks(sensor))
        self.wait_until(lambda: len(self.ticks(sensor)) > before, f"one more look of {sensor}")


@dataclass(frozen=True)
class Shown:
    """What Dagster shows of the days, by asset or check, and day."""

    statuses: dict[str, dict[str, str | None]]
    materializations: dict[tuple[str, str], int]
    rows: dict[str, tuple[int, int]]
    checks: dict[tuple[str, str], list[tuple[str, str | None]]]

    @classmethod
    def of(cls, site: Site, instance: Instance) -> "Shown":
        return cls(
            instance.all_statuses(site.days),
            {(asset, day): len(instance.materializations(asset, day)) for asset in ASSETS for day in site.days},
            {
                day: (
                    instance.metadata(PARQUET, day)["rows"],
                    instance.metadata(TABLE, day)["rows_of_partition"],
                )
                for day in site.other_days
            },
            {(check, day): list(_records(instance, check, day)) for check in CHECKS for day in site.days},
        )


def _records(instance: Instance, check: str, day: str) -> Iterator[tuple[str, str | None]]:
    for record in instance.check_history(check, day):
        yield record.status.value, record.partition


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    today = datetime.now(UTC).date()
    days = tuple(str(today - timedelta(days=ago)) for ago in range(5, 0, -1))
    deployment = Deployment(tmp_path_factory.mktemp("daemon") / "it").create(with_examples=False)
    settings: dict[str, Any] = {"days_per_run": DAYS_PER_RUN, "late_days": 5, "quarantine_error_share": 0.05}
    # no deadline has passed: no day has run when the sensors are started
    environment = deployment.environment(start_date=days[0], deadline_hours=720, **settings)
    site = Site(deployment, environment, days, deployment.root / "daemon.log")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for day in days:
            for hour in range(HOURS):
                site.deliver(day, hour, "in-time", f"{day}T{hour:02}:30:00Z")
        with dagster_daemon(deployment, environment, site.log):
            site.start_sensors()
            for sensor in (ALERT_SENSOR, LATE_FILES_SENSOR):
                site.wait_for_a_tick(sensor)
            yield site


@pytest.fixture(scope="module")
def backfilled(site: Site) -> Shown:
    """All days in two runs, of which the second finds that someone else is writing one of its days."""
    with Locks(open_store(str(site.deployment.lake), create=True), owner="someone else") as locks:
        locks.acquire(f"partition={site.busy_day}")
        site.submit_backfill()
        under_way = (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING)
        site.wait_until(lambda: site.backfill_status() not in under_way, "the end of the backfill")
    with site.deployment.instance() as instance:
        return Shown.of(site, instance)


@pytest.fixture(scope="module")
def late(site: Site, backfilled: Shown) -> Site:
    """After files came late for two of the days, bad ones for one of them, and all was reported."""
    seconds = range(LATE_EVENTS), range(BAD_EVENTS)
    good, bad = ([f"{{}}T{_LATE_HOUR:02}:40:{second:02}Z" for second in chosen] for chosen in seconds)
    site.deliver(site.late_day, _LATE_HOUR, "late", *(time.format(site.late_day) for time in good))
    site.deliver(site.bad_day, _LATE_HOUR, "bad", *(time.format(site.bad_day) for time in bad), sound=False)
    site.wait_until(lambda: site.reported() >= site.expected(), "all alerts")
    for sensor in (ALERT_SENSOR, LATE_FILES_SENSOR):
        site.wait_for_a_tick(sensor)
    return site


def test_a_backfill_gives_every_day_its_own_statuses_checks_and_metadata(site: Site, backfilled: Shown) -> None:
    for day in site.other_days:
        assert [backfilled.statuses[asset][day] for asset in ASSETS] == ["MATERIALIZED"] * 3
        assert [backfilled.materializations[asset, day] for asset in ASSETS] == [1, 1, 1]
        assert backfilled.rows[day] == (HOURS, HOURS)
        for check in CHECKS:
            assert backfilled.checks[check, day] == [("SUCCEEDED", day)]


def test_a_day_that_fails_in_a_backfill_fails_alone(site: Site, backfilled: Shown) -> None:
    assert site.backfill_status() == BulkActionStatus.COMPLETED_FAILED
    statuses = [backfilled.statuses[asset][site.busy_day] for asset in ASSETS]
    assert statuses == ["MATERIALIZED", "FAILED", "FAILED"]
    with site.deployment.instance() as instance:
        runs = [run for run in instance.dagster.get_runs() if LATE_FILES_TAG not in run.tags]
    assert [run.status for run in sorted(runs, key=lambda run: run.tags["dagster/asset_partition_range_start"])] == [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
    ]


def test_late_files_run_their_days_again_and_no_others(late: Site, backfilled: Shown) -> None:
    with late.deployment.instance() as instance:
        requested = [run for run in instance.dagster.get_runs() if LATE_FILES_TAG in run.tags]
        shown = Shown.of(late, instance)
    runs = {run.tags["dagster/partition"]: run for run in requested}
    assert sorted(runs) == [late.late_day, late.bad_day]
    assert len(requested) == 2
    assert runs[late.late_day].status == dg.DagsterRunStatus.SUCCESS
    assert runs[late.bad_day].status == dg.DagsterRunStatus.FAILURE
    for day, name in ((late.late_day, "late"), (late.bad_day, "bad")):
        assert key(date.fromisoformat(day), _LATE_HOUR, name) in runs[day].tags[LATE_FILES_TAG]
    again = [(RAW, late.late_day), (PARQUET, late.late_day), (TABLE, late.late_day)]
    again += [(RAW, late.bad_day), (PARQUET, late.bad_day)]
    assert shown.materializations == backfilled.materializations | dict.fromkeys(again, 2)


def test_the_late_rows_are_in_the_table(late: Site) -> None:
    with late.deployment.instance() as instance:
        assert instance.metadata(TABLE, late.late_day)["rows_of_partition"] == HOURS + LATE_EVENTS
    day = date.fromisoformat(late.late_day)
    with AuditLogClient(load_settings()) as client:
        query = AuditLogQuery(from_date=day, to_date=day + timedelta(days=1), sources=["myapp.orderservice"])
        found = [item.id for item in client.iterate(query)]
    assert Counter(found).most_common(1)[0][1] == 1
    assert sum(f"T{_LATE_HOUR:02}:40" in event_id for event_id in found) == LATE_EVENTS


def test_the_check_that_the_bad_files_fail_holds_their_day_back(late: Site) -> None:
    with late.deployment.instance() as instance:
        assert instance.evaluation(READABLE_SHARE, late.bad_day).severity == dg.AssetCheckSeverity.ERROR
        failed = {late.bad_day, late.busy_day}
        assert instance.statuses(TABLE, late.days) == {
            day: "FAILED" if day in failed else "MATERIALIZED" for day in late.days
        }
        assert instance.statuses(PARQUET, late.days)[late.bad_day] == "MATERIALIZED"


def test_each_finding_is_reported_once_in_the_alert_file(late: Site) -> None:
    assert late.reported() == late.expected()


def test_the_sensors_end_every_look_well(late: Site) -> None:
    for sensor in (ALERT_SENSOR, LATE_FILES_SENSOR):
        ticks = late.ticks(sensor)
        assert ticks
        assert {tick.error for tick in ticks} == {None}
    assert len([run_id for tick in late.ticks(LATE_FILES_SENSOR) for run_id in tick.run_ids]) == 2
