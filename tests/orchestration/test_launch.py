"""Runs from Python on the instance of DAGSTER_HOME, as the command line starts them."""

import dataclasses
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from audit_pipeline.errors import SettingsError
from audit_pipeline.orchestration import days as day_work
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.launch import DayResult, check_results, materialize
from audit_pipeline.orchestration.names import ASSETS, CHECKS, CONSERVATION, HOUR_COVERAGE
from audit_pipeline.settings import Settings
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.objects import open_store
from tests.support.dagster_harness import DAYS, Deployment, subprocess_environment
from tests.support.paths import REPOSITORY
from tests.support.waiting import HANGS_SECONDS

pytestmark = pytest.mark.slow

FIRST, SECOND, LAST = (date.fromisoformat(day) for day in DAYS)

#: Each day of the examples has hours without objects.
SUCCEEDED = [
    DayResult(day, succeeded=True, failed_checks=(), warnings=(HOUR_COVERAGE,), error=None)
    for day in (FIRST, SECOND, LAST)
]
#: And each has values that these checks warn of.
ODD_VALUES = ("known_actor_types", "known_actions", "before_after_are_json_objects", "update_has_before_and_after")


@pytest.mark.usefixtures("without_quality_checks")
@pytest.mark.parametrize(("days_per_run", "runs"), [(1, 3), (2, 2), (3, 1), (30, 1)])
def test_a_range_is_materialized_in_runs_of_so_many_days(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, days_per_run: int, runs: int
) -> None:
    monkeypatch.setenv("AUDIT_DAYS_PER_RUN", str(days_per_run))
    reported: list[DayResult] = []
    assert materialize(FIRST, LAST, on_day=reported.append) == reported == SUCCEEDED
    with deployment.instance() as instance:
        assert len(instance.dagster.get_runs()) == runs
        assert instance.all_statuses() == {asset: dict.fromkeys(DAYS, "MATERIALIZED") for asset in ASSETS}
        for day in DAYS:
            assert instance.evaluation(CONSERVATION, day).passed


@pytest.mark.usefixtures("without_quality_checks")
def test_a_run_belongs_to_the_code_location_that_the_ui_loads_lest_its_timeline_lack_it(deployment: Deployment) -> None:
    materialize(FIRST, FIRST)
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    cloud = yaml.safe_load((REPOSITORY / "dagster_cloud.yaml").read_text())
    with deployment.instance() as instance:
        (run,) = instance.dagster.get_runs()
    assert run.remote_job_origin is not None
    origin = run.remote_job_origin.repository_origin
    assert origin.repository_name == build_defs().get_repository_def().name
    assert origin.code_location_origin.location_name == workspace["load_from"][0]["python_module"]["location_name"]
    assert origin.code_location_origin.location_name == cloud["locations"][0]["location_name"]


@pytest.mark.usefixtures("without_quality_checks")
def test_the_days_that_end_are_reported_before_the_next_begin(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    run_partition = day_work.run_partition
    monkeypatch.setattr(
        day_work,
        "run_partition",
        lambda s, d, **run: order.append(f"run {d.day}") or run_partition(s, d, **run),
    )
    materialize(FIRST, SECOND, on_day=lambda result: order.append(f"reported {result.partition.day}"))
    assert order == ["run 1", "reported 1", "run 2", "reported 2"]


@pytest.mark.usefixtures("without_quality_checks")
@pytest.mark.parametrize("days_per_run", [1, 3])
def test_a_day_that_fails_is_reported_with_its_error_and_the_others_go_on(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, days_per_run: int
) -> None:
    monkeypatch.setenv("AUDIT_DAYS_PER_RUN", str(days_per_run))
    lake = open_store(str(deployment.lake), create=True)
    with Locks(lake, owner="another run") as locks:
        locks.acquire(f"partition={SECOND}")
        first, second, last = materialize(FIRST, LAST)
    assert [first, last] == [SUCCEEDED[0], SUCCEEDED[2]]
    assert (second.succeeded, second.failed_checks, second.warnings) == (False, (), (HOUR_COVERAGE,))
    assert (second.error or "").startswith("PartitionBusyError: partition=2026-05-02 is being written by another run")
    assert materialize(SECOND, SECOND) == [SUCCEEDED[1]]


@pytest.mark.usefixtures("without_quality_checks")
def test_a_failed_conservation_check_is_reported(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    run_partition = day_work.run_partition

    def run_and_lose(settings: Settings, partition: date, **run: Any) -> object:
        manifest = run_partition(settings, partition, **run)
        deployment.data_files(str(partition))[0].unlink()
        return manifest

    monkeypatch.setattr(day_work, "run_partition", run_and_lose)
    (result,) = materialize(FIRST, FIRST)
    assert (result.succeeded, result.failed_checks, result.warnings) == (False, (CONSERVATION,), (HOUR_COVERAGE,))
    assert (result.error or "").startswith("FailedCheckError: check conservation failed")


def test_the_newest_results_of_the_checks_are_reported_by_day(deployment: Deployment) -> None:
    warnings = (HOUR_COVERAGE, *ODD_VALUES, "readable_share")
    assert materialize(FIRST, FIRST) == [dataclasses.replace(SUCCEEDED[0], warnings=warnings)]
    results = check_results(FIRST, SECOND)
    assert results[SECOND] == dict.fromkeys(CHECKS)
    assert results[FIRST] == {check: "warns" if check in warnings else "passed" for check in CHECKS}
    deployment.data_files(DAYS[0])[0].unlink()
    with deployment.instance() as instance:
        instance.run(DAYS[0], check=CONSERVATION)
    assert check_results(FIRST, FIRST)[FIRST] == {**results[FIRST], CONSERVATION: "failed"}


def test_without_dagster_home_nothing_is_run_and_no_results_are_known(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    with pytest.raises(SettingsError, match=r"^DAGSTER_HOME is not set: .*"):
        materialize(FIRST, FIRST)
    assert check_results(FIRST, FIRST) == {}
    assert not deployment.lake.exists()


@pytest.mark.parametrize("home", ["relative", "/no/such/folder"])
def test_a_wrong_dagster_home_is_one_clear_line(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(SettingsError, match=f"^DAGSTER_HOME is wrong: '{home}' is not the absolute path"):
        materialize(FIRST, FIRST)


RUN_AND_SHOW = """
from datetime import date
from audit_pipeline.orchestration.launch import check_results, materialize
print([result.succeeded for result in materialize(date(2026, 5, 1), date(2026, 5, 3))])
print(len(check_results(date(2026, 5, 1), date(2026, 5, 3))))
"""


@pytest.mark.slow
def test_dagster_says_nothing_on_the_terminal(deployment: Deployment) -> None:
    (deployment.home / "dagster.yaml").unlink()  # Dagster would log a hint at that, and a greeting
    result = subprocess.run(
        [sys.executable, "-c", RUN_AND_SHOW],
        # a run of two days and one of one
        env=subprocess_environment(**deployment.environment(days_per_run=2)),
        cwd=deployment.root,
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )
    assert (result.stdout, result.stderr) == ("[True, True, True]\n3\n", "")


STOPPED_ON_THE_SECOND_DAY = """
import json, os, signal, sys, time
from datetime import date
from audit_pipeline.orchestration import checks, days
from audit_pipeline.orchestration.launch import materialize

run_partition = days.run_partition

def run_or_stop(settings, partition, **run):
    if partition == date(2026, 5, 2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
    return run_partition(settings, partition, **run)

days.run_partition = run_or_stop
checks.quality_checks = lambda settings: []
for environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    try:
        materialize(date(2026, 5, 1), date(2026, 5, 3), on_day=lambda day: print(day.succeeded, day.error))
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_a_run_that_is_stopped_keeps_the_days_that_were_done_and_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments = {days_per_run: Deployment(tmp_path / f"{days_per_run}").create() for days_per_run in (1, 3)}
    environments = [made.environment(days_per_run=days) for days, made in deployments.items()]
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED_ON_THE_SECOND_DAY, json.dumps(environments)],
        env=subprocess_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )
    failed = "False the run was interrupted"
    shown = ["True None", failed, "interrupted", "True None", failed, failed, "interrupted"]
    assert (stopped.stdout.splitlines(), stopped.stderr) == (shown, "")
    for days_per_run, deployment in deployments.items():
        for name, value in deployment.environment().items():
            monkeypatch.setenv(name, value)
        with deployment.instance() as instance:
            first, *others = instance.statuses("audit_log_table").values()
            assert first == "MATERIALIZED"
            assert "MATERIALIZED" not in others
            assert instance.evaluation(CONSERVATION, DAYS[0]).passed
            assert instance.check_history(CONSERVATION, DAYS[2]) == [] or days_per_run == 3
