"""What a run of one day, or of several, leaves in Dagster: statuses, metadata and checks of each day."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from audit_pipeline.engines import run_partition
from audit_pipeline.errors import RawChangedError
from audit_pipeline.orchestration import days
from audit_pipeline.orchestration.names import ASSETS, CHECKS, CONSERVATION, HOUR_COVERAGE, PARQUET, RAW, TABLE
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.quality.builtin import KEY_UNIQUE
from audit_pipeline.settings import Settings, load_settings
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.manifest import Manifest, read_manifest
from audit_pipeline.store.objects import open_store
from tests.support.dagster_harness import DAYS, OWN_CHECKS, Deployment, Instance, event, failure_text

pytestmark = pytest.mark.slow

ALL_MATERIALIZED = {asset: dict.fromkeys(DAYS, "MATERIALIZED") for asset in ASSETS}


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The deployment of the examples after a run of the first day, with all checks."""
    made = Deployment(tmp_path_factory.mktemp("first-day")).create()
    with pytest.MonkeyPatch.context() as patch, made.instance() as instance:
        for name, value in made.environment().items():
            patch.setenv(name, value)
        assert instance.run("2026-05-01", checks=CHECKS).success
    return made


@pytest.fixture
def ran(first_day: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The first day has run; a copy of the test's own."""
    made = first_day.copy(tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def ran_instance(ran: Deployment) -> Iterator[Instance]:
    with ran.instance() as instance:
        yield instance


def manifest_of(partition: str) -> Manifest:
    manifest = read_manifest(open_store(load_settings().lake_url), date.fromisoformat(partition))
    assert manifest is not None
    return manifest


def spoil_manifest(deployment: Deployment, partition: str) -> None:
    path = deployment.manifest_path(partition)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"partition": ')


# --- one day ---------------------------------------------------------------------------------------------------------


def test_a_day_that_ran_shows_its_numbers(ran_instance: Instance) -> None:
    manifest = manifest_of("2026-05-01")
    shown = ran_instance.metadata(PARQUET, "2026-05-01")
    assert shown["dagster/row_count"] == shown["rows"] == manifest.rows == 31
    assert {name: shown[f"events{name}"] for name in ("", "_kept", "_duplicate", "_deferred", "_quarantined")} == {
        "": 31,
        "_kept": 19,
        "_duplicate": 6,
        "_deferred": 2,
        "_quarantined": 4,
    }
    assert (shown["objects"], shown["rows_late"], shown["files"]) == (16, 0, 4)
    assert shown["bytes_in"] == sum(item.size for item in manifest.inputs)
    assert shown["bytes_out"] == sum(output.size for output in manifest.outputs)
    assert shown["seconds"] == pytest.approx((manifest.finished_at - manifest.started_at).total_seconds(), abs=0.001)
    assert "| not_json | 2 |" in shown["quarantined_by_reason"]
    assert "| myapp.orderservice | 14 |" in shown["rows_per_source"]


def test_a_day_shows_its_hours_as_a_table_and_a_chart(ran_instance: Instance) -> None:
    for asset in (RAW, PARQUET):
        shown = ran_instance.metadata(asset, "2026-05-01")
        assert "| 03 | 3 | 1,587 |" in shown["delivery_hours"]
        assert "| +0 | 1 | 691 |" in shown["delivery_hours"]  # the grace hour, of the next day
        assert "█" in shown["delivery_hours_chart"]
    by_hour = ran_instance.metadata(TABLE, "2026-05-01")
    assert "| 03 | 7 |" in by_hour["event_hours"]
    assert "█" in by_hour["event_hours_chart"]


def test_a_day_links_to_its_manifest_and_files(first_day: Deployment, ran_instance: Instance) -> None:
    shown = ran_instance.metadata(PARQUET, "2026-05-01")
    assert shown["manifest"] == str(first_day.manifest_path("2026-05-01"))
    assert Path(shown["quarantine"]).is_file()
    for path in first_day.data_files("2026-05-01"):
        assert f"`{path}`" in shown["data_files"]
    assert Path(ran_instance.metadata(RAW, "2026-05-01")["folder"]).is_dir()


def test_the_links_of_a_lake_in_aws_lead_to_its_console(monkeypatch: pytest.MonkeyPatch) -> None:
    from audit_pipeline.orchestration.report import link

    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    store = open_store("s3://bucket/analytics")
    assert link(store, "a b/x.json") == dg.MetadataValue.url(
        "https://s3.console.aws.amazon.com/s3/object/bucket?prefix=analytics/a%20b/x.json"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert link(store, "x.json") == dg.MetadataValue.path("s3://bucket/analytics/x.json")


def test_the_table_shows_the_rows_of_the_date_whoever_owns_them(instance: Instance) -> None:
    instance.run(*DAYS)
    instance.run(*DAYS, assets=[TABLE])  # the late rows of one day belong to the date of another
    for day in DAYS:
        shown = instance.metadata(TABLE, day)
        assert shown["rows_of_partition"] == manifest_of(day).rows
        of_date = sum(o.rows for owner in DAYS for o in manifest_of(owner).outputs if str(o.dt) == day)
        assert shown["rows_of_date"] == shown["dagster/row_count"] == of_date


def test_a_day_without_any_object_is_an_empty_day(instance: Instance) -> None:
    assert instance.run("2026-05-20").success
    assert instance.metadata(PARQUET, "2026-05-20")["rows"] == 0
    assert instance.metadata(TABLE, "2026-05-20")["rows_of_date"] == 0
    assert instance.evaluation(CONSERVATION, "2026-05-20").passed
    assert instance.evaluation(HOUR_COVERAGE, "2026-05-20").description == "no object in the hours 00-23 (UTC)"


def test_the_checks_are_of_the_partition_and_of_its_materialization(ran_instance: Instance) -> None:
    (run,) = ran_instance.dagster.get_runs()
    for check, asset in CHECKS.items():
        evaluation = ran_instance.evaluation(check, "2026-05-01")
        target = evaluation.target_materialization_data
        assert target is not None
        assert (target.run_id, evaluation.partition) == (run.run_id, "2026-05-01")
        assert ran_instance.materializations(asset, "2026-05-01")
        assert ran_instance.check_history(check, "2026-05-02") == []


def test_the_conservation_check_shows_the_equation(ran_instance: Instance) -> None:
    shown = {name: value.value for name, value in ran_instance.evaluation(CONSERVATION, "2026-05-01").metadata.items()}
    assert shown["equation"] == "31 events read = 19 kept + 6 duplicate + 2 deferred + 4 quarantined"
    counted = (shown["events_in_files"], shown["rows_in_files"], shown["records_in_quarantine"])
    assert counted == (19, 31, 5)
    assert (shown["files_checked"], shown["files_hashed"]) == (5, 4)


def test_hour_coverage_warns_and_names_the_hours_but_stops_nothing(deployment: Deployment, instance: Instance) -> None:
    shutil.rmtree(deployment.raw)
    for hour in range(24):
        if hour not in (3, 4, 17):
            time_of = f"2026-05-01T{hour:02}:10:00Z"
            deployment.write(f"year=2026/month=05/day=01/hour={hour:02}/a", event(f"e{hour}", time_of))
    assert instance.run("2026-05-01").success
    evaluation = instance.evaluation(HOUR_COVERAGE, "2026-05-01")
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluation.description == "no object in the hours 03-04, 17 (UTC)"
    for hour in (3, 4, 17):
        time_of = f"2026-05-01T{hour:02}:10:00Z"
        deployment.write(f"year=2026/month=05/day=01/hour={hour:02}/a", event(f"e{hour}", time_of))
    instance.run("2026-05-01")
    assert instance.evaluation(HOUR_COVERAGE, "2026-05-01").passed


# --- the conservation check proves -----------------------------------------------------------------------------------


def lose_a_file(deployment: Deployment) -> str:
    path = deployment.data_files("2026-05-01")[0]
    path.unlink()
    return f"{path.relative_to(deployment.lake)} is missing"


def lose_the_manifest(deployment: Deployment) -> str:
    deployment.manifest_path("2026-05-01").unlink()
    return "partition 2026-05-01 has no manifest: materialize audit_log_parquet first"


def test_the_check_alone_finds_what_was_changed_after_the_run(ran: Deployment, ran_instance: Instance) -> None:
    expected = lose_a_file(ran)
    result = ran_instance.run("2026-05-01", check=CONSERVATION)
    evaluation = ran_instance.evaluation(CONSERVATION, "2026-05-01")
    assert (result.success, evaluation.passed, evaluation.severity) == (False, False, dg.AssetCheckSeverity.ERROR)
    assert expected in str(evaluation.description)
    assert expected in failure_text(result)


def test_the_check_alone_says_that_a_day_never_ran(ran: Deployment, ran_instance: Instance) -> None:
    expected = lose_the_manifest(ran)
    assert expected in failure_text(ran_instance.run("2026-05-01", check=CONSERVATION))


def test_the_check_alone_passes_where_nothing_was_changed(ran_instance: Instance) -> None:
    for check in (*OWN_CHECKS, KEY_UNIQUE, "known_actions"):
        assert ran_instance.run("2026-05-01", check=check).success
        assert len(ran_instance.check_history(check, "2026-05-01")) == 2


def test_where_conservation_fails_the_table_is_not_materialized(
    deployment: Deployment, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_and_tamper(settings: Settings, partition: date, **run: Any) -> Manifest:
        manifest = run_partition(settings, partition, **run)
        lose_a_file(deployment)
        return manifest

    monkeypatch.setattr(days, "run_partition", run_and_tamper)
    result = instance.run("2026-05-01")
    assert not result.success
    assert "2026-05-01: FailedCheckError: check conservation failed" in failure_text(result)
    assert [instance.statuses(asset)["2026-05-01"] for asset in ASSETS] == ["MATERIALIZED", "MATERIALIZED", "FAILED"]
    assert not instance.evaluation(CONSERVATION, "2026-05-01").passed


def test_the_table_alone_can_be_materialized_again(ran_instance: Instance) -> None:
    assert ran_instance.run("2026-05-01", assets=[TABLE]).success
    assert [len(ran_instance.materializations(asset, "2026-05-01")) for asset in ASSETS] == [1, 1, 2]


def test_a_table_that_does_not_show_all_rows_is_not_materialized(ran: Deployment, ran_instance: Instance) -> None:
    lose_a_file(ran)
    result = ran_instance.run("2026-05-01", assets=[TABLE])
    assert "shows 20 rows of partition 2026-05-01, but 31 were written" in failure_text(result)
    assert len(ran_instance.materializations(TABLE, "2026-05-01")) == 1


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_second_run_of_a_partition_says_who_holds_it_and_is_not_repeated(
    deployment: Deployment, instance: Instance
) -> None:
    lake = open_store(str(deployment.lake), create=True)
    with Locks(lake, owner="the first run") as locks:
        locks.acquire("partition=2026-05-01")
        result = instance.run("2026-05-01")
    said = failure_text(result)
    assert said.startswith("2026-05-01: PartitionBusyError: partition=2026-05-01 is being written by the first run")
    assert not [e for e in result.all_events if e.is_step_up_for_retry]
    assert instance.run("2026-05-01").success


def test_another_grace_than_the_lake_has_is_one_clear_line(
    ran_instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_GRACE_HOURS", "2")
    said = failure_text(ran_instance.run("2026-05-02"))
    assert "GraceMismatchError" in said
    assert "Set AUDIT_GRACE_HOURS=1" in said
    assert "\n" not in said


def test_a_raw_object_that_changes_under_the_run_makes_it_run_again(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[date] = []

    def fail_once(settings: Settings, partition: date, **run: Any) -> Manifest:
        attempts.append(partition)
        if attempts == [date(2026, 5, 1), date(2026, 5, 2)]:
            raise RawChangedError("it changed")
        return run_partition(settings, partition, **run)

    monkeypatch.setattr(days, "run_partition", fail_once)
    result = instance.run(*DAYS)
    assert result.success
    # the first attempt goes on with the days after the failed one, the second repeats only that one
    assert [day.day for day in attempts] == [1, 2, 3, 2]
    assert instance.all_statuses() == ALL_MATERIALIZED
    for day in DAYS:
        assert [len(instance.materializations(asset, day)) for asset in ASSETS] == [1, 1, 1]
        assert [len(instance.check_history(check, day)) for check in OWN_CHECKS] == [1] * len(OWN_CHECKS)


def test_a_failure_that_stays_is_reported_after_the_retries(
    deployment: Deployment, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[date] = []

    def fail(settings: Settings, partition: date, **run: Any) -> Manifest:
        attempts.append(partition)
        raise RawChangedError("it changed")

    monkeypatch.setattr(days, "run_partition", fail)
    result = instance.run("2026-05-01")
    assert failure_text(result) == "2026-05-01: RawChangedError: it changed"
    assert len(attempts) == 3
    assert [instance.statuses(asset)["2026-05-01"] for asset in ASSETS] == ["MATERIALIZED", "FAILED", "FAILED"]
    assert len(instance.materializations(RAW, "2026-05-01")) == 1


def test_a_defect_of_the_pipeline_fails_the_day_with_its_cause(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(settings: Settings, partition: date, **run: Any) -> Manifest:
        raise KeyError("a defect")

    monkeypatch.setattr(days, "run_partition", defect)
    (failure,) = instance.run("2026-05-01").get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.cls_name == "KeyError"
    assert "in defect" in error.cause.to_string()


def test_a_resource_override_decides_what_the_assets_work_on(deployment: Deployment, instance: Instance) -> None:
    elsewhere = deployment.root / "elsewhere"
    lake = AuditLake(load_settings().model_copy(update={"lake_url": str(elsewhere)}))
    assert instance.run("2026-05-01", overrides={"lake": lake}).success
    assert (elsewhere / "auditlog_manifest/2026-05-01.json").exists()
    assert not deployment.lake.exists()


# --- a run of several days -------------------------------------------------------------------------------------------


def shown_of_days(instance: Instance) -> dict[str, Any]:
    """What Dagster shows of the days, but for what differs between any two runs."""
    passing = ("seconds", "run_of_manifest")
    metadata = {
        (asset, day): {k: v for k, v in instance.metadata(asset, day).items() if k not in passing}
        for asset in ASSETS
        for day in DAYS
    }
    checks = {}
    for check in CHECKS:
        for day in DAYS:
            (record,) = instance.check_history(check, day)
            evaluation = instance.evaluation(check, day)
            shown = {k: v.value for k, v in evaluation.metadata.items() if k not in passing}
            about_this_run = evaluation.target_materialization_data.run_id == record.run_id  # type: ignore[union-attr]
            checks[check, day] = (record.status.value, evaluation.severity, evaluation.blocking, about_this_run, shown)
    numbers = {(asset, day): len(instance.materializations(asset, day)) for asset in ASSETS for day in DAYS}
    return {"statuses": instance.all_statuses(), "metadata": metadata, "checks": checks, "numbers": numbers}


def test_a_run_of_several_days_leaves_the_same_as_a_run_for_each(deployment: Deployment, instance: Instance) -> None:
    for day in DAYS:
        assert instance.run(day, checks=CHECKS).success
    one_a_day = shown_of_days(instance)
    shutil.rmtree(deployment.lake)
    shutil.rmtree(deployment.home)
    deployment.home.mkdir()
    with deployment.instance() as fresh:
        assert fresh.run(*DAYS, checks=CHECKS).success
        assert shown_of_days(fresh) == one_a_day
        for check in CHECKS:  # none that is planned for ever, and none of no partition
            assert {(r.partition, r.status.value) for r in fresh.check_history(check)} == {
                (day, one_a_day["checks"][check, day][0]) for day in DAYS
            }
    assert one_a_day["statuses"] == ALL_MATERIALIZED


def test_a_bad_day_fails_alone(deployment: Deployment, instance: Instance) -> None:
    spoil_manifest(deployment, "2026-05-02")
    result = instance.run(*DAYS)
    assert not result.success
    said = failure_text(result)
    assert said.startswith("2026-05-02: StoreError: manifest file://")
    assert "2026-05-01" not in said
    assert "2026-05-03" not in said
    good = {"2026-05-01": "MATERIALIZED", "2026-05-03": "MATERIALIZED"}
    assert instance.all_statuses() == {
        RAW: good | {"2026-05-02": "MATERIALIZED"},
        PARQUET: good | {"2026-05-02": "FAILED"},
        TABLE: good | {"2026-05-02": "FAILED"},
    }
    for day in good:
        assert instance.evaluation(CONSERVATION, day).passed
        assert instance.metadata(TABLE, day)["rows_of_partition"] == manifest_of(day).rows
    for day in DAYS:
        assert instance.evaluation(HOUR_COVERAGE, day).partition == day


def test_a_bad_day_in_a_run_of_several_leaves_the_same_as_in_a_run_of_its_own(
    deployment: Deployment, instance: Instance
) -> None:
    spoil_manifest(deployment, "2026-05-02")
    for day in DAYS:
        instance.run(day)
    one_a_day = instance.all_statuses()
    shutil.rmtree(deployment.lake)
    shutil.rmtree(deployment.home)
    deployment.home.mkdir()
    spoil_manifest(deployment, "2026-05-02")
    with deployment.instance() as fresh:
        fresh.run(*DAYS)
        assert fresh.all_statuses() == one_a_day


def test_the_bad_day_can_be_run_again_when_it_is_fixed(deployment: Deployment, instance: Instance) -> None:
    spoil_manifest(deployment, "2026-05-02")
    instance.run(*DAYS)
    deployment.manifest_path("2026-05-02").unlink()
    assert instance.run("2026-05-02").success
    assert instance.all_statuses() == ALL_MATERIALIZED
    assert instance.evaluation(CONSERVATION, "2026-05-02").passed


def test_a_failed_check_in_a_run_of_several_days_stops_only_its_day(
    deployment: Deployment, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_and_tamper(settings: Settings, partition: date, **run: Any) -> Manifest:
        manifest = run_partition(settings, partition, **run)
        if partition == date(2026, 5, 1):
            lose_a_file(deployment)
        return manifest

    monkeypatch.setattr(days, "run_partition", run_and_tamper)
    assert not instance.run(*DAYS).success
    assert instance.statuses(PARQUET) == dict.fromkeys(DAYS, "MATERIALIZED")
    assert list(instance.statuses(TABLE).values()) == ["FAILED", "MATERIALIZED", "MATERIALIZED"]
    assert [instance.evaluation(CONSERVATION, day).passed for day in DAYS] == [False, True, True]


def test_the_checks_of_several_days_can_run_alone(instance: Instance) -> None:
    instance.run(*DAYS)
    assert instance.run(*DAYS, check=CONSERVATION).success
    for day in DAYS:
        assert [record.status.value for record in instance.check_history(CONSERVATION, day)] == ["SUCCEEDED"] * 2
