"""``materialize``: days through Dagster, and what the exit code says of them."""

import signal
import subprocess
from datetime import UTC, date, datetime, timedelta

import pytest

from audit_pipeline.store.locks import Locks
from audit_pipeline.store.objects import open_store
from tests.support.cli_harness import LakeCommands, json_lines, one_error
from tests.support.lake import DAY1, DAY2, DAY3, event, key, zipped
from tests.support.waiting import HANGS_SECONDS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("home", "says"), [(None, "is not set"), ("relative", "absolute path"), ("/no/such/folder", "absolute path")]
)
def test_materialize_says_what_is_wrong_with_dagster_home(commands: LakeCommands, home: str | None, says: str) -> None:
    commands.env["DAGSTER_HOME"] = home
    said = one_error(commands.refusal("materialize", "--from", str(DAY1), "--to", str(DAY1)))
    assert said.startswith("DAGSTER_HOME")
    assert says in said


def test_materialize_refuses_days_before_the_first_partition_and_days_to_come(commands: LakeCommands) -> None:
    commands.with_dagster()
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))
    assert "AUDIT_START_DATE=2026-04-30" in one_error(
        commands.refusal("materialize", "--from", "2026-04-30", "--to", "2026-05-01")
    )
    assert "has not begun yet" in one_error(commands.refusal("materialize", "--from", "2026-05-01", "--to", tomorrow))


def test_a_day_goes_from_simulated_traffic_to_a_table_that_status_and_quarantine_show(commands: LakeCommands) -> None:
    commands.with_dagster()
    both = ("--from", str(DAY1), "--to", str(DAY2))
    simulated = commands.json("simulate", *both, "--events-per-day", "2000", "--seed", "7")
    assert [day["day"] for day in simulated] == [str(DAY1), str(DAY2)]

    ran = commands.json("materialize", *both)
    assert [(day["partition"], day["succeeded"], day["error"]) for day in ran] == [
        (str(DAY1), True, None),
        (str(DAY2), True, None),
    ]
    assert all(day["failed_checks"] == [] and day["seconds"] > 0 for day in ran)

    status = commands.json("status")
    assert [day["partition"] for day in status] == [str(DAY1), str(DAY2)]
    for day, delivered, run in zip(status, simulated, ran, strict=True):
        manifest = commands.lake.manifest(date.fromisoformat(day["partition"]))
        assert day["has_run"]
        assert day["objects"]["read"] >= delivered["objects"]
        assert day["rows"] == run["rows"] == manifest["rows"] > 2000
        assert day["events"] == run["events"] == manifest["events"]
        assert day["checks"]
        assert set(day["checks"].values()) <= {"passed", "warns"}
        assert day["raw_changes"] == {"new": 0, "changed": 0, "vanished": 0}

    malformed = sum(sum(day["malformed"].values()) for day in simulated)
    quarantined = commands.json("quarantine")
    assert len(quarantined) == sum(day["quarantined_records"] for day in status) >= malformed > 0

    shown = commands.shows("status")
    assert f"{status[0]['rows']:,}" in shown
    assert "unchanged" in shown
    assert quarantined[0]["reason"] in commands.shows("quarantine")


@pytest.mark.usefixtures("without_quality_checks")
def test_materialize_shows_a_line_a_day_and_runs_a_day_again(commands: LakeCommands) -> None:
    commands.with_dagster()
    for hour in range(24):
        commands.lake.write(key(DAY1, hour), zipped(event(f"e{hour}")))
        commands.lake.write(key(DAY2, hour), b"")
    for _ in range(2):
        shown = commands.shows("materialize", "--from", str(DAY1), "--to", str(DAY2)).splitlines()
        assert [line.split()[:4] for line in shown] == [
            ["✓", str(DAY1), "24", "events"],
            ["✓", str(DAY2), "0", "events"],
        ]


@pytest.mark.usefixtures("without_quality_checks")
def test_a_check_that_warns_is_reported_and_stays_in_the_status_but_is_no_error(commands: LakeCommands) -> None:
    commands.with_dagster()
    commands.lake.write(key(DAY1), zipped(event("e1")))
    result = commands("materialize", "--from", str(DAY1), "--to", str(DAY1))
    assert result.exit_code == 0
    assert "check hour_coverage warns" in result.stdout
    checks = commands.json("status")[0]["checks"]
    assert (checks["conservation"], checks["hour_coverage"]) == ("passed", "warns")
    assert "hour_coverage warns" in commands.shows("status")


@pytest.mark.usefixtures("without_quality_checks")
def test_a_day_that_fails_is_reported_with_code_1_and_the_others_run(commands: LakeCommands) -> None:
    commands.with_dagster()
    broken = commands.lake.path / f"auditlog_manifest/{DAY1}.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    result = commands("materialize", "--from", str(DAY1), "--to", str(DAY2), "--json")
    assert result.exit_code == 1
    first, second = json_lines(result.stdout)
    assert (first["succeeded"], second["succeeded"]) == (False, True)
    assert "cannot be read" in first["error"]
    assert "rows" not in first


@pytest.mark.usefixtures("without_quality_checks")
def test_a_day_that_another_run_holds_is_reported_with_code_3(commands: LakeCommands) -> None:
    commands.with_dagster()
    with Locks(open_store(str(commands.lake.path), create=True), owner="somebody") as locks:
        locks.acquire(f"partition={DAY1}")
        result = commands("materialize", "--from", str(DAY1), "--to", str(DAY1))
    assert result.exit_code == 3
    assert "is being written by somebody" in result.stdout


MATERIALIZE_AND_STOP_AFTER_A_DAY = """
import time
from audit_pipeline.cli import main
from audit_pipeline.orchestration import checks, days

run_partition = days.run_partition

def run_or_wait(settings, partition, **run):
    if partition > settings.start_date:
        time.sleep(3600)
    return run_partition(settings, partition, **run)

days.run_partition = run_or_wait
checks.quality_checks = lambda settings: []
main()
"""


def test_an_interrupt_ends_the_range_and_not_only_the_day_that_runs(commands: LakeCommands) -> None:
    commands.with_dagster()
    arguments = ("materialize", "--from", str(DAY1), "--to", str(DAY3))
    (python, *_), env = commands.command()
    command = [python, "-c", MATERIALIZE_AND_STOP_AFTER_A_DAY, *arguments]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, stderr = process.communicate(timeout=HANGS_SECONDS)
    assert str(DAY1) in first
    assert str(DAY3) not in rest
    assert process.returncode == 130
    assert stderr.endswith("interrupted\n")
