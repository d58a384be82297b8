"""Which messages come of what happens in Dagster: one a finding, and one when it is over."""

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest
from dagster._core.storage.tags import WILL_RETRY_TAG

from audit_pipeline.engines import run_partition
from audit_pipeline.errors import SettingsError, StoreError
from audit_pipeline.orchestration import days
from audit_pipeline.orchestration.alerts import ALERT_SENSOR, Alert, build_alert_sensor, event_log, look
from audit_pipeline.orchestration.alerts.state import decode
from audit_pipeline.orchestration.names import CONSERVATION, HOUR_COVERAGE, PARQUET, RAW, TABLE
from audit_pipeline.settings import Settings, load_settings
from audit_pipeline.store.manifest import Manifest
from tests.support.alerts_harness import Watch
from tests.support.dagster_harness import DAYS, Deployment, Instance, event, subprocess_environment
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def said(alerts: list[Alert]) -> list[tuple[str, str, str, str | None]]:
    return [(alert.status, alert.severity, alert.kind, alert.partition) for alert in alerts]


def break_manifest(deployment: Deployment, partition: str) -> Path:
    path = deployment.manifest_path(partition)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"partition": ')
    return path


def tamper_with(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, *partitions: str) -> None:
    """A file of these days is lost between its being written and its being checked."""

    def run_and_tamper(settings: Settings, partition: date, **run: Any) -> Manifest:
        manifest = run_partition(settings, partition, **run)
        if partition.isoformat() in partitions:
            deployment.data_files(partition.isoformat())[0].unlink()
        return manifest

    monkeypatch.setattr(days, "run_partition", run_and_tamper)


def without_warnings(alerts: list[Alert]) -> list[Alert]:
    """Without the warnings that the examples, with their few hours and odd values, always give."""
    return [alert for alert in alerts if (alert.kind, alert.severity) != ("failed_check", "warn")]


# --- checks ----------------------------------------------------------------------------------------------------------


def test_a_failed_check_is_reported_once_however_often_is_looked(watch: Watch) -> None:
    watch.evaluate()
    (alert,) = watch.tick()
    assert said([alert]) == [("open", "error", "failed_check", "2026-05-01")]
    assert alert.title == "Check sources failed for 2026-05-01"
    assert [watch.tick() for _ in range(3)] == [[]] * 3


def test_a_check_that_passes_again_is_reported_as_recovered_once(watch: Watch) -> None:
    watch.evaluate(severity=WARN)
    (opened,) = watch.tick()
    watch.evaluate(passed=True)
    watch.evaluate(passed=True)
    (recovered,) = watch.tick()
    assert said([recovered]) == [("recovered", "warn", "failed_check", "2026-05-01")]
    assert recovered.finding == opened.finding
    assert recovered.id != opened.id
    assert watch.tick() == []


def test_a_check_that_has_always_passed_is_no_message(watch: Watch) -> None:
    watch.evaluate(passed=True)
    assert watch.tick() == []


def test_a_check_that_fails_again_while_it_is_open_is_no_second_message(watch: Watch) -> None:
    watch.evaluate()
    assert len(watch.tick()) == 1
    watch.evaluate()
    watch.evaluate(severity=WARN)
    assert watch.tick() == []


def test_a_warning_that_becomes_an_error_is_one_message_more_and_not_reported_again(watch: Watch) -> None:
    watch.evaluate(severity=WARN)
    (opened,) = watch.tick()
    watch.evaluate(severity=ERROR)
    (worse,) = watch.tick()
    assert said([opened, worse]) == [
        ("open", "warn", "failed_check", "2026-05-01"),
        ("open", "error", "failed_check", "2026-05-01"),
    ]
    assert opened.finding == worse.finding
    assert opened.id != worse.id
    for severity in (WARN, ERROR):
        watch.evaluate(severity=severity)
    assert watch.tick() == []


def test_a_check_that_fails_after_it_recovered_is_a_new_finding(watch: Watch) -> None:
    watch.evaluate()
    watch.evaluate(passed=True)
    watch.evaluate()
    first, recovered, second = watch.tick()
    assert [alert.status for alert in (first, recovered, second)] == ["open", "recovered", "open"]
    assert first.finding == recovered.finding != second.finding
    assert len({first.id, recovered.id, second.id}) == 3


def test_checks_and_days_are_findings_of_their_own(watch: Watch) -> None:
    watch.evaluate("sources", "2026-05-01")
    watch.evaluate("sources", "2026-05-02")
    watch.evaluate("keys", "2026-05-01")
    watch.evaluate("sources", "2026-05-01", asset=TABLE)
    assert len({alert.finding for alert in watch.tick()}) == 4
    watch.evaluate("sources", "2026-05-02", passed=True)
    assert said(watch.tick()) == [("recovered", "error", "failed_check", "2026-05-02")]


def test_checks_of_other_projects_are_not_ours(watch: Watch) -> None:
    watch.evaluate(asset="someone_elses")
    assert watch.tick() == []


def test_the_text_of_a_failed_check_has_its_reason_its_first_rows_and_what_to_do(watch: Watch) -> None:
    rows = [{"source": "shop", "Id": f"e{n}", "EntityIndex": n} for n in range(20)]
    watch.evaluate(
        "keys",
        description="20 keys stand twice",
        metadata={"failed": 20, "rows": rows, "what_to_do": "See who sent them.", "expectations": ["no", "no"]},
    )
    (alert,) = watch.tick()
    assert "Check keys of asset audit_log_parquet failed for 2026-05-01: 20 keys stand twice" in alert.text
    assert alert.text.count("Row: ") == 5
    assert "Row: EntityIndex=4, Id=e4, source=shop" in alert.text
    assert alert.what_to_do == "See who sent them."
    assert alert.details["rows"] == [f"EntityIndex={n}, Id=e{n}, source=shop" for n in range(5)]


def test_rows_in_a_table_are_shown_too(watch: Watch) -> None:
    records = [dg.TableRecord({"Id": f"e{n}"}) for n in range(7)]
    watch.evaluate(metadata={"rows": dg.MetadataValue.table(records)})
    assert watch.tick()[0].details["rows"] == [f"Id=e{n}" for n in range(5)]


def test_a_very_long_reason_is_cut(watch: Watch) -> None:
    watch.evaluate(description="x" * 100_000, metadata={"rows": ["y" * 100_000] * 9, "what_to_do": "z" * 100_000})
    (alert,) = watch.tick()
    assert len(msgspec.json.encode(alert)) < 10_000


def test_five_hundred_failures_at_once_are_five_hundred_messages(deployment: Deployment) -> None:
    watch = Watch(deployment, Instance(dg.DagsterInstance.ephemeral()))
    watch.tick()
    for n in range(500):
        watch.evaluate(f"check_{n}")
    assert [alert.title for alert in watch.tick()] == [f"Check check_{n} failed for 2026-05-01" for n in range(500)]
    assert watch.tick() == []
    assert watch.cursor is not None
    assert len(watch.cursor) < 20_000  # Dagster keeps it with every tick


def test_what_is_too_much_for_one_look_is_reported_by_the_next(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "_EVENTS_PER_LOOK", 25)
    monkeypatch.setattr(event_log, "_PAGE", 10)
    for n in range(60):
        watch.evaluate(f"check_{n}")
    assert [len(watch.tick()) for _ in range(4)] == [25, 25, 10, 0]
    assert len({alert.title for alert in watch.sent()}) == 60


def test_a_look_that_takes_too_long_is_continued_by_the_next(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "_SECONDS_PER_LOOK", -1.0)
    for n in range(3):
        watch.evaluate(f"check_{n}")
    assert [len(watch.tick()) for _ in range(4)] == [1, 1, 1, 0]


def test_events_of_several_kinds_are_taken_in_their_order(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one kind fills pages of which another has hardly any."""
    monkeypatch.setattr(event_log, "_PAGE", 10)
    for n in range(25):
        watch.evaluate(f"check_{n}")
    watch.observe()
    watch.materialize()  # after the observation: the files are in the table
    for n in range(25):
        watch.evaluate(f"check_{n}", passed=True)
    alerts = watch.tick()
    assert [alert.status for alert in alerts] == ["open"] * 26 + ["recovered"] * 26
    assert [alert.kind for alert in alerts[25:27]] == ["late_files", "late_files"]


def test_an_event_that_becomes_visible_after_a_later_one_is_not_lost(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Postgres, ids are given out before the events are committed."""
    watch.evaluate("first")
    watch.evaluate("second")
    storage = watch.instance.dagster.event_log_storage
    read = storage.get_logs_for_all_runs_by_log_id

    def without_the_first(after: int, kind: Any, limit: int) -> Any:
        found = read(after, kind, limit=limit)
        return {n: entry for n, entry in found.items() if "first" not in str(entry.dagster_event)}

    with monkeypatch.context() as patched:
        patched.setattr(storage, "get_logs_for_all_runs_by_log_id", without_the_first)
        assert [alert.title for alert in watch.tick()] == ["Check second failed for 2026-05-01"]
    assert [alert.title for alert in watch.tick()] == ["Check first failed for 2026-05-01"]
    assert watch.tick() == []


def test_an_older_event_that_becomes_visible_later_does_not_end_a_newer_finding(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.observe(fingerprint="old")
    watch.materialize()
    watch.observe(fingerprint="new")
    storage = watch.instance.dagster.event_log_storage
    read = storage.get_logs_for_all_runs_by_log_id

    def without_materializations(after: int, kind: dg.DagsterEventType, limit: int) -> Any:
        return {} if kind == dg.DagsterEventType.ASSET_MATERIALIZATION else read(after, kind, limit=limit)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "get_logs_for_all_runs_by_log_id", without_materializations)
        old, new = watch.tick()
    (recovered,) = watch.tick()
    assert (recovered.status, recovered.finding) == ("recovered", old.finding)
    assert new.finding != old.finding


def test_ids_that_are_given_out_again_after_a_deletion_are_not_lost(watch: Watch) -> None:
    """SQLite does so when the newest events are deleted, as wiping an asset does."""
    watch.evaluate("before")
    watch.materialize()
    watch.materialize()
    watch.materialize()
    assert len(watch.tick()) == 1
    watch.instance.dagster.wipe_assets([dg.AssetKey(TABLE)])
    assert watch.tick() == []
    watch.evaluate("after")
    assert [alert.title for alert in watch.tick()] == ["Check after failed for 2026-05-01"]


# --- checks and runs of real days ------------------------------------------------------------------------------------


def test_a_day_that_a_check_holds_back_is_one_message_the_checks(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper_with(watch.deployment, monkeypatch, "2026-05-01")
    result = watch.instance.run("2026-05-01")
    assert not result.success
    (alert,) = without_warnings(watch.tick())
    assert said([alert]) == [("open", "error", "failed_check", "2026-05-01")]
    assert alert.title == f"Check {CONSERVATION} failed for 2026-05-01"
    assert alert.run_id == result.run_id
    assert "is missing" in alert.text
    assert "The day is held back from the table." in alert.text
    watch.instance.run("2026-05-01")
    assert watch.tick() == []


def test_a_held_back_day_that_is_fixed_recovers(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        tamper_with(watch.deployment, patched, "2026-05-01")
        watch.instance.run("2026-05-01")
    watch.tick()
    assert watch.instance.run("2026-05-01").success
    assert said(without_warnings(watch.tick())) == [("recovered", "error", "failed_check", "2026-05-01")]


def test_a_check_that_does_not_block_is_reported_though_the_run_succeeds(watch: Watch) -> None:
    assert watch.instance.run("2026-05-01").success
    (alert,) = [alert for alert in watch.tick() if HOUR_COVERAGE in alert.title]
    assert said([alert]) == [("open", "warn", "failed_check", "2026-05-01")]
    assert "The day is not held back from the table." in alert.text


def test_a_failed_run_is_reported_with_its_problem_and_recovers(watch: Watch) -> None:
    broken = break_manifest(watch.deployment, "2026-05-01")
    result = watch.instance.run("2026-05-01")
    (alert,) = without_warnings(watch.tick())
    assert said([alert]) == [("open", "error", "failed_run", "2026-05-01")]
    assert alert.text.startswith("StoreError: manifest file://")
    assert alert.run_id == result.run_id
    watch.instance.run("2026-05-01")
    assert watch.tick() == []
    broken.unlink()
    assert watch.instance.run("2026-05-01").success
    (recovered,) = without_warnings(watch.tick())
    assert said([recovered]) == [("recovered", "error", "failed_run", "2026-05-01")]
    assert recovered.finding == alert.finding


def test_of_a_run_of_several_days_only_the_bad_one_is_reported(watch: Watch) -> None:
    break_manifest(watch.deployment, "2026-05-02")
    watch.instance.run(*DAYS)
    assert said(without_warnings(watch.tick())) == [("open", "error", "failed_run", "2026-05-02")]


def test_a_run_with_a_broken_day_and_a_held_back_one_is_a_message_for_each(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_manifest(watch.deployment, "2026-05-02")
    tamper_with(watch.deployment, monkeypatch, "2026-05-03")
    watch.instance.run(*DAYS)
    assert said(without_warnings(watch.tick())) == [
        ("open", "error", "failed_check", "2026-05-03"),
        ("open", "error", "failed_run", "2026-05-02"),
    ]


_KILLED = """
import os, signal
from datetime import date
from pathlib import Path
from tests.support.alerts_harness import EARLY, Watch
from tests.support.dagster_harness import Deployment
from audit_pipeline.engines import run_partition
from audit_pipeline.orchestration import days

def run_or_die(settings, partition, **run):
    if partition == date(2026, 5, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    return run_partition(settings, partition, **run)

days.run_partition = run_or_die
with Deployment(Path({root!r})).instance() as instance:
    instance.run("2026-05-01", "2026-05-02")
"""


def test_a_killed_run_is_reported_for_each_of_its_days_and_each_recovers(watch: Watch) -> None:
    environment = subprocess_environment(**watch.deployment.environment())
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    script = _KILLED.format(root=str(watch.deployment.root))
    killed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (run,) = watch.instance.dagster.get_runs()
    assert without_warnings(watch.tick()) == []
    watch.instance.dagster.report_run_failed(run, "the run worker is gone")  # as Dagster's run monitoring does
    alerts = watch.tick()
    assert said(alerts) == [("open", "error", "failed_run", day) for day in ("2026-05-01", "2026-05-02")]
    assert "the run worker is gone" in alerts[0].text
    watch.instance.run("2026-05-02")
    assert said(without_warnings(watch.tick())) == [("recovered", "error", "failed_run", "2026-05-02")]


def test_days_that_a_killed_run_finished_are_not_reported(watch: Watch) -> None:
    run = watch.instance.run("2026-05-01", "2026-05-02").run_id
    broken = watch.instance.dagster.get_run_by_id(run)
    assert broken is not None
    watch.tick()
    watch.instance.dagster.report_run_failed(broken)
    assert watch.tick() == []


def test_a_run_that_dagster_starts_again_by_itself_is_not_reported_before_it_gave_up(watch: Watch) -> None:
    break_manifest(watch.deployment, "2026-05-01")
    result = watch.instance.run("2026-05-01")
    watch.instance.dagster.add_run_tags(result.run_id, {WILL_RETRY_TAG: "true"})
    assert without_warnings(watch.tick()) == []
    watch.instance.run("2026-05-01")
    assert said(watch.tick()) == [("open", "error", "failed_run", "2026-05-01")]


def test_a_run_that_a_person_cancelled_is_no_failure(watch: Watch) -> None:
    run = watch.instance.dagster.get_run_by_id(watch.instance.run("2026-05-01", assets=[RAW]).run_id)
    assert run is not None
    watch.tick()
    watch.instance.dagster.report_run_canceled(run)
    assert watch.tick() == []


def test_runs_of_other_projects_are_not_ours(watch: Watch) -> None:
    @dg.asset
    def someone_elses() -> None:
        raise ValueError

    assert not dg.materialize([someone_elses], instance=watch.instance.dagster, raise_on_error=False).success
    assert watch.tick() == []


def test_a_failed_run_of_one_asset_recovers_with_that_asset(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(days, "take_inventory", fail)
        watch.instance.run("2026-05-01", assets=[RAW])
    assert said(watch.tick()) == [("open", "error", "failed_run", "2026-05-01")]
    watch.instance.run("2026-05-01", assets=[RAW])
    assert said(without_warnings(watch.tick())) == [("recovered", "error", "failed_run", "2026-05-01")]


def test_a_failed_run_of_one_asset_and_then_of_all_recovers_with_the_table(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(days, "take_inventory", fail)
        watch.instance.run("2026-05-01", assets=[RAW])
        watch.instance.run("2026-05-01")
    assert said(watch.tick()) == [("open", "error", "failed_run", "2026-05-01")]
    watch.instance.run("2026-05-01", assets=[RAW])
    assert without_warnings(watch.tick()) == []
    watch.instance.run("2026-05-01")
    assert said(without_warnings(watch.tick())) == [("recovered", "error", "failed_run", "2026-05-01")]


def test_a_failed_run_of_a_check_alone_recovers_when_the_check_is_evaluated(watch: Watch) -> None:
    watch.instance.run("2026-05-01")
    watch.tick()
    manifest = watch.deployment.manifest_path("2026-05-01")
    kept = manifest.read_bytes()
    manifest.unlink()
    watch.instance.run("2026-05-01", check=CONSERVATION)
    (alert,) = watch.tick()
    assert said([alert]) == [("open", "error", "failed_run", "2026-05-01")]
    assert "has no manifest" in alert.text
    manifest.write_bytes(kept)
    watch.instance.run("2026-05-01", check=CONSERVATION)
    assert said(watch.tick()) == [("recovered", "error", "failed_run", "2026-05-01")]


# --- deadlines -------------------------------------------------------------------------------------------------------

LATE = datetime(2026, 5, 2, 6, 0, tzinfo=UTC)


def test_a_day_that_is_not_in_the_table_by_its_deadline_is_reported_once_and_recovers(watch: Watch) -> None:
    (alert,) = watch.tick(LATE)
    assert said([alert]) == [("open", "error", "missed_deadline", "2026-05-01")]
    assert (alert.at, "by 2026-05-02 06:00 UTC" in alert.text) == (LATE, True)
    assert watch.tick(LATE) == []
    watch.instance.run("2026-05-01")
    (recovered,) = without_warnings(watch.tick(LATE))
    assert said([recovered]) == [("recovered", "error", "missed_deadline", "2026-05-01")]
    assert recovered.finding == alert.finding
    assert watch.tick(LATE) == []


def test_a_day_that_ran_in_time_is_not_reported(watch: Watch) -> None:
    watch.instance.run("2026-05-01")
    assert without_warnings(watch.tick(LATE)) == []


def test_an_hourly_run_of_the_day_under_way_does_not_meet_its_deadline(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = datetime.now(UTC).date()  # events have the time of this machine
    monkeypatch.setenv("AUDIT_START_DATE", tomorrow.isoformat())
    watch.materialize(partition=tomorrow.isoformat())
    after = datetime.combine(tomorrow, datetime.max.time(), UTC).replace(microsecond=0)
    next_noon = datetime.fromtimestamp(after.timestamp() + 12 * 3600, UTC)
    assert said(watch.tick(next_noon)) == [("open", "error", "missed_deadline", tomorrow.isoformat())]
    watch.materialize(partition=tomorrow.isoformat())
    assert watch.tick(next_noon) == []


def test_only_the_newest_days_are_looked_at_and_none_before_the_first(watch: Watch) -> None:
    noon = datetime(2026, 5, 3, 12, tzinfo=UTC)
    assert [alert.partition for alert in watch.tick(noon)] == ["2026-05-01", "2026-05-02"]
    noon = datetime(2026, 5, 10, 12, tzinfo=UTC)
    assert [alert.partition for alert in watch.tick(noon)] == ["2026-05-07", "2026-05-08", "2026-05-09"]


def test_a_deadline_is_never_before_the_days_run_is_due(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_GRACE_HOURS", "5")
    monkeypatch.setenv("AUDIT_DEADLINE_HOURS", "1")
    assert watch.tick(datetime(2026, 5, 2, 5, 29, tzinfo=UTC)) == []
    assert len(watch.tick(datetime(2026, 5, 2, 5, 30, tzinfo=UTC))) == 1


def test_a_missed_deadline_names_what_else_is_open_for_the_day(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper_with(watch.deployment, monkeypatch, "2026-05-01")
    watch.instance.run("2026-05-01")
    watch.tick()
    (alert,) = watch.tick(LATE)
    assert alert.kind == "missed_deadline"
    assert alert.text.splitlines()[1:] == [f"Also open for this day: check {CONSERVATION} failed."]


# --- late files ------------------------------------------------------------------------------------------------------


def test_late_files_are_reported_once_and_when_they_are_in_the_table(watch: Watch) -> None:
    watch.observe(new=[f"hour=01/{n}" for n in range(9)], new_count=9, changed_count=2)
    (alert,) = watch.tick()
    assert said([alert]) == [("open", "info", "late_files", "2026-05-01")]
    assert "9 new, 2 changed, 0 vanished." in alert.text
    assert alert.text.count("New: hour=01/") == 5
    watch.observe()
    watch.materialize(RAW)
    watch.materialize(PARQUET)
    assert watch.tick() == []
    watch.materialize(TABLE)
    assert said(watch.tick()) == [("recovered", "info", "late_files", "2026-05-01")]


def test_more_late_files_are_another_finding(watch: Watch) -> None:
    watch.observe(fingerprint="f1")
    watch.observe(fingerprint="f2")
    assert len(watch.tick()) == 2
    watch.materialize(TABLE)
    assert said(watch.tick()) == [("recovered", "info", "late_files", "2026-05-01")] * 2


@pytest.mark.parametrize(
    ("files", "severity"),
    [({"requested": False}, "warn"), ({"requested": False, "problem": "all of them are gone"}, "error")],
)
def test_late_files_without_a_run_are_worse(watch: Watch, files: dict[str, object], severity: str) -> None:
    watch.observe(**files)
    (alert,) = watch.tick()
    assert alert.severity == severity
    assert str(files.get("problem", "0 new")) in alert.text
    assert "No run was requested" in alert.what_to_do


def test_an_observation_that_cannot_be_read_is_reported_all_the_same(watch: Watch) -> None:
    watch.observe(new="not a list")
    (alert,) = watch.tick()
    assert said([alert]) == [("open", "warn", "late_files", "2026-05-01")]
    assert "Expected `array`, got `str`" in alert.text


def test_other_observations_are_no_findings(watch: Watch) -> None:
    watch.instance.dagster.report_runless_asset_event(dg.AssetObservation(RAW, partition="2026-05-01"))
    assert watch.tick() == []


def test_a_late_file_that_the_sensor_finds_is_reported_and_recovers(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real sensor, as the daemon runs both."""
    from audit_pipeline.orchestration.build import build_defs
    from audit_pipeline.orchestration.names import LATE_FILES_SENSOR
    from audit_pipeline.orchestration.resources import AuditLake

    yesterday = date.fromordinal(datetime.now(UTC).date().toordinal() - 2).isoformat()
    monkeypatch.setenv("AUDIT_START_DATE", yesterday)
    monkeypatch.setenv("AUDIT_LATE_SETTLE_MINUTES", "0")
    assert watch.instance.run(yesterday).success
    watch.tick()
    folder = "year={}/month={}/day={}/hour=03".format(*yesterday.split("-"))
    watch.deployment.write(f"{folder}/late.gz", event("e1", f"{yesterday}T03:00:00Z"))
    context = dg.build_sensor_context(instance=watch.instance.dagster, resources={"lake": AuditLake(load_settings())})
    found = build_defs().resolve_sensor_def(LATE_FILES_SENSOR)(context)
    assert isinstance(found, dg.SensorResult)
    for observation in found.asset_events:
        watch.instance.dagster.report_runless_asset_event(observation)
    (alert,) = watch.tick()
    assert said([alert]) == [("open", "info", "late_files", yesterday)]
    assert f"New: {folder}/late.gz" in alert.text
    watch.instance.run(yesterday)
    assert ("recovered", "info", "late_files", yesterday) in said(watch.tick())


# --- the sensor ------------------------------------------------------------------------------------------------------


def test_the_first_look_at_an_old_instance_reports_nothing_of_its_history(deployment: Deployment) -> None:
    with deployment.instance() as instance:
        watch = Watch(deployment, instance)
        watch.evaluate("old")
        assert watch.tick() == []
        watch.evaluate("new")
        assert [alert.title for alert in watch.tick()] == ["Check new failed for 2026-05-01"]


@pytest.mark.parametrize("cursor", ["", "garbage", "{}", '{"version": 1}', "12345", "\N{SNOWMAN}"])
def test_a_cursor_that_cannot_be_read_begins_anew_and_says_so(
    watch: Watch, caplog: pytest.LogCaptureFixture, cursor: str
) -> None:
    watch.evaluate("before")
    watch.cursor = cursor
    assert watch.tick() == []
    assert "the cursor cannot be read" in caplog.text
    assert "Alerts start over" in caplog.text
    watch.evaluate("after")
    assert [alert.title for alert in watch.tick()] == ["Check after failed for 2026-05-01"]


def test_a_cursor_of_another_version_begins_anew_and_says_so(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    assert watch.cursor is not None
    watch.cursor = watch.cursor.replace('"version":1', '"version":2')
    assert watch.tick() == []
    assert "the cursor is of version 2, not 1" in caplog.text


def test_the_cursor_shows_a_person_what_is_open(watch: Watch) -> None:
    watch.evaluate()
    watch.tick()
    assert watch.cursor is not None
    shown = msgspec.json.decode(watch.cursor)
    assert (shown["open_findings"], shown["undelivered"]) == (1, {})
    assert decode(watch.cursor).open[0].subject == f"{PARQUET}/sources"


def test_the_sensor_is_off_requests_no_run_and_keeps_its_cursor(watch: Watch) -> None:
    built = build_alert_sensor(load_settings())
    dg.Definitions.validate_loadable(dg.Definitions(sensors=[built]))
    assert (built.name, built.default_status) == (ALERT_SENSOR, dg.DefaultSensorStatus.STOPPED)
    watch.evaluate()
    with dg.build_sensor_context(instance=watch.instance.dagster, cursor=watch.cursor) as context:
        result = built.evaluate_tick(context)
    assert result.run_requests == []
    assert result.cursor is not None
    assert [alert.partition for alert in watch.sent()[:1]] == ["2026-05-01"]


@pytest.mark.parametrize(
    ("variables", "said_of_it"),
    [
        ({"SLACK_TOKEN": "xoxb-secret"}, "set both or neither"),
        ({"SLACK_CHANNEL": "#audit"}, "set both or neither"),
        ({"WEBHOOK_URL": "hooks.example.com/secret"}, "AUDIT_ALERT_WEBHOOK_URL is wrong"),
    ],
)
def test_a_channel_that_is_set_up_by_half_is_refused(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said_of_it: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"AUDIT_ALERT_{name}", value)
    with pytest.raises(SettingsError, match=said_of_it) as refused:
        build_alert_sensor(load_settings())
    assert "secret" not in str(refused.value)
