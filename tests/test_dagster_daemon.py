"""A backfill through the real daemon: a code location, a queue, runs in processes of their own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster_harness import DAYS, REPOSITORY, Deployment, Instance, event, subprocess_environment

from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.names import ASSETS, CHECKS, CONSERVATION, HOUR_COVERAGE, PARQUET, TABLE

ALL_DAYS = (*DAYS, "2026-05-04")

DAGSTER_YAML = """
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
concurrency:
  runs:
    max_concurrent_runs: 2
"""


@contextmanager
def daemon(deployment: Deployment, days_per_run: int) -> Iterator[None]:
    with (deployment.root / "daemon.log").open("w") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-w", REPOSITORY / "workspace.yaml"],
            env=subprocess_environment(**deployment.environment(days_per_run=days_per_run)),
            cwd=REPOSITORY,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def submit_backfill(instance: Instance) -> str:
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="backfill",
        asset_graph=build_defs().resolve_asset_graph(),
        partition_names=ALL_DAYS,
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
    return backfill.backfill_id


def wait_for_backfill(instance: Instance, backfill_id: str, log: Path) -> BulkActionStatus:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        backfill = instance.dagster.get_backfill(backfill_id)
        assert backfill is not None
        if backfill.status not in (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING):
            return backfill.status
        time.sleep(0.5)
    pytest.fail(f"the backfill did not end: {log.read_text()[-5000:]}")


@pytest.mark.slow
@pytest.mark.parametrize(("days_per_run", "runs"), [(1, 4), (3, 2)], ids=["one day a run", "three days a run"])
def test_a_backfill_through_the_daemon_gives_every_day_its_own_statuses_checks_and_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days_per_run: int, runs: int
) -> None:
    deployment = Deployment(tmp_path).create()
    (deployment.home / "dagster.yaml").write_text(DAGSTER_YAML)
    for hour in range(24):  # a day on which no hour is missing
        deployment.write(
            f"year=2026/month=05/day=04/hour={hour:02}/a", event(f"e{hour}", f"2026-05-04T{hour:02}:30:00Z")
        )
    for name, value in deployment.environment(days_per_run=days_per_run).items():
        monkeypatch.setenv(name, value)
    with deployment.instance() as instance:
        backfill_id = submit_backfill(instance)
        with daemon(deployment, days_per_run):
            status = wait_for_backfill(instance, backfill_id, deployment.root / "daemon.log")
        assert status == BulkActionStatus.COMPLETED_SUCCESS, (deployment.root / "daemon.log").read_text()[-5000:]
        assert [run.status.value for run in instance.dagster.get_runs()] == ["SUCCESS"] * runs
        assert instance.all_statuses(ALL_DAYS) == {asset: dict.fromkeys(ALL_DAYS, "MATERIALIZED") for asset in ASSETS}
        for check in CHECKS:
            for day in ALL_DAYS:
                (record,) = instance.check_history(check, day)
                passes = check == CONSERVATION or day == "2026-05-04"
                assert record.status.value == ("SUCCEEDED" if passes else "FAILED")
            assert {record.partition for record in instance.check_history(check)} == set(ALL_DAYS)
        assert [instance.metadata(PARQUET, day)["rows"] for day in ALL_DAYS] == [32, 29, 20, 24]
        for day in ALL_DAYS:
            assert [len(instance.materializations(asset, day)) for asset in ASSETS] == [1, 1, 1]
            assert instance.metadata(TABLE, day)["rows_of_partition"] == instance.metadata(PARQUET, day)["rows"]
        assert instance.evaluation(HOUR_COVERAGE, "2026-05-04").description == "all 24 hours hold objects"


@pytest.mark.slow
def test_a_bad_day_in_a_backfill_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment(tmp_path).create()
    (deployment.home / "dagster.yaml").write_text(DAGSTER_YAML)
    spoiled = deployment.manifest_path("2026-05-02")
    spoiled.parent.mkdir(parents=True)
    spoiled.write_text("{")
    for name, value in deployment.environment(days_per_run=4).items():
        monkeypatch.setenv(name, value)
    with deployment.instance() as instance:
        backfill_id = submit_backfill(instance)
        with daemon(deployment, 4):
            assert wait_for_backfill(instance, backfill_id, deployment.root / "daemon.log") in (
                BulkActionStatus.COMPLETED_FAILED,
                BulkActionStatus.FAILED,
            )
        good = [day for day in ALL_DAYS if day != "2026-05-02"]
        expected = dict.fromkeys(good, "MATERIALIZED") | {"2026-05-02": "FAILED"}
        assert instance.statuses(TABLE, ALL_DAYS) == expected
        for day in good:
            assert instance.evaluation(CONSERVATION, day).passed
