"""The command line: what a person sees, what a script reads, and what the exit code says."""

import base64
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit_pipeline.cli.exits import MEANINGS
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.objects import open_store
from tests.support.cli_harness import Commands
from tests.support.dagster_harness import Deployment
from tests.support.lake import DAY1, DAY2, DAY3, Lake, event, key, zipped
from tests.support.waiting import HANGS_SECONDS

#: Escape sequences that clear the screen and set the title, C1's CSI, a right-to-left override, and rich's markup.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[red]x[/red][link=http://x]"


@pytest.fixture
def cli(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> "Cli":
    monkeypatch.chdir(lake.root)
    for name in [name for name in os.environ if name.startswith("AUDIT_")]:
        monkeypatch.delenv(name)
    return Cli(lake)


class Cli(Commands):
    """Runs commands on one lake; without Dagster until :meth:`with_dagster`."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        super().__init__(
            {
                "COLUMNS": None,  # xdist sets it
                "AUDIT_RAW_URL": str(lake.raw),
                "AUDIT_LAKE_URL": str(lake.path),
                "AUDIT_START_DATE": str(DAY1),
                "AUDIT_WORKERS": "1",
                "DAGSTER_HOME": None,
            }
        )

    def with_dagster(self) -> "Cli":
        self.env["DAGSTER_HOME"] = str(Deployment(self.lake.root).create(with_examples=False).home)
        return self

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        return json_lines(self.shows(*arguments, "--json"))

    def refuses(self, *arguments: str) -> str:
        """The one line that says what is wrong with the settings."""
        return one_error(self.refusal(*arguments))


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def one_error(stderr: str) -> str:
    assert stderr.startswith("error: "), stderr
    assert stderr.count("\n") == 1, stderr
    return stderr.removeprefix("error: ").strip()


def in_a_process(
    *arguments: str, env: dict[str, str | None] | None = None, cwd: Path
) -> "subprocess.CompletedProcess[str]":
    given = {k: v for k, v in (os.environ | (env or {})).items() if v is not None}
    given["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "audit_pipeline.cli", *arguments]
    return subprocess.run(
        command, env=given, cwd=cwd, capture_output=True, text=True, check=False, timeout=HANGS_SECONDS
    )


# help and usage


def test_help_lists_every_command_and_what_each_exit_code_says(tmp_path: Path) -> None:
    shown = in_a_process("--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    for text in (
        "simulate",
        "materialize",
        "status",
        "quarantine",
        "query",
        "history",
        "sql",
        "cost",
        "demo",
        *MEANINGS.values(),
    ):
        assert text in shown.stdout
    assert [int(code) for code in MEANINGS] == [0, 1, 2, 3, 130]


def test_help_does_not_wait_for_dagster_duckdb_or_arrow() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, audit_pipeline.cli.app; print(*sys.modules)"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"dagster", "duckdb", "pyarrow", "numpy", "obstore", "pydantic_settings"} & set(loaded.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "--from", "1.5.2026"], "is no date"),
        (["status", "--from", "20260501"], "is no date"),
        (["status", "--to", "2026-02-30"], "is no date"),
        (["status", "--from", "2026-05-02", "--to", "2026-05-01"], "is after"),
        (["quarantine", "--from", "2026-05-02", "--to", "2026-05-01"], "is after"),
        (["quarantine", "--reason", "boredom"], "is none of not_json"),
        (["materialize", "--from", "2026-05-02", "--to", "2026-05-01"], "is after"),
        (["materialize", "--from", "2026-05-02"], "--to"),
        (["simulate", "--from", "2026-05-02", "--to", "2026-05-01", "--events-per-day", "1"], "is after"),
        (["simulate", "--from", "2026-05-01", "--to", "2026-05-01", "--events-per-day", "0"], "events-per-day"),
        (["demo", "--days", "0"], "days"),
        (["rewrite-history"], "rewrite-history"),
    ],
)
def test_wrong_usage_is_told_on_stderr_with_code_2(cli: "Cli", arguments: list[str], says: str) -> None:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in " ".join(result.stderr.replace("│", " ").split())


# settings


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"AUDIT_RAW_URL": None}, "AUDIT_RAW_URL is not set"),
        ({"AUDIT_LAKE_URL": None}, "AUDIT_LAKE_URL is not set"),
        ({"AUDIT_START_DATE": "yesterday"}, "AUDIT_START_DATE is wrong"),
        ({"AUDIT_GRACE_HOURS": "24"}, "AUDIT_GRACE_HOURS is wrong"),
        ({"AUDIT_ENGINE": "abacus"}, "AUDIT_ENGINE is wrong"),
        ({"AUDIT_RAW_URL": "gopher://x"}, "AUDIT_RAW_URL is wrong"),
        ({"AUDIT_RAW_URL": "/no/such/folder"}, "AUDIT_RAW_URL is wrong: the folder /no/such/folder does not exist"),
        ({"AUDIT_LAKE_URL": "/no/such/folder"}, "AUDIT_LAKE_URL is wrong"),
    ],
)
def test_a_wrong_setting_is_one_line_and_code_2(cli: "Cli", changed: dict[str, str | None], says: str) -> None:
    cli.lake.path.mkdir()
    cli.env |= changed
    assert says in cli.refuses("status", "--from", str(DAY1), "--to", str(DAY1))


def test_a_wrong_setting_is_one_line_of_a_real_process_too(tmp_path: Path) -> None:
    env = {"AUDIT_RAW_URL": None, "AUDIT_LAKE_URL": "lake", "AUDIT_START_DATE": "2026-05-01"}
    result = in_a_process("quarantine", env=env, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "AUDIT_RAW_URL is not set" in one_error(result.stderr)


@pytest.mark.parametrize(
    ("home", "says"), [(None, "is not set"), ("relative", "absolute path"), ("/no/such/folder", "absolute path")]
)
def test_materialize_says_what_is_wrong_with_dagster_home(cli: "Cli", home: str | None, says: str) -> None:
    cli.env["DAGSTER_HOME"] = home
    said = cli.refuses("materialize", "--from", str(DAY1), "--to", str(DAY1))
    assert said.startswith("DAGSTER_HOME")
    assert says in said


def test_materialize_refuses_days_before_the_first_partition_and_days_to_come(cli: "Cli") -> None:
    cli.with_dagster()
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))
    assert "AUDIT_START_DATE=2026-04-30" in cli.refuses("materialize", "--from", "2026-04-30", "--to", "2026-05-01")
    assert "has not begun yet" in cli.refuses("materialize", "--from", "2026-05-01", "--to", tomorrow)


def test_simulated_events_do_not_get_into_a_bucket_by_accident(cli: "Cli") -> None:
    cli.env["AUDIT_RAW_URL"] = "s3://production/raw"
    said = cli.refuses("simulate", "--from", str(DAY1), "--to", str(DAY1), "--events-per-day", "1")
    assert "--allow-s3" in said


# simulate, materialize, status


def test_a_day_goes_from_simulated_traffic_to_a_table_that_status_and_quarantine_show(cli: "Cli") -> None:
    cli.with_dagster()
    both = ("--from", str(DAY1), "--to", str(DAY2))
    simulated = cli.json("simulate", *both, "--events-per-day", "2000", "--seed", "7")
    assert [day["day"] for day in simulated] == [str(DAY1), str(DAY2)]

    ran = cli.json("materialize", *both)
    assert [(day["partition"], day["succeeded"], day["error"]) for day in ran] == [
        (str(DAY1), True, None),
        (str(DAY2), True, None),
    ]
    assert all(day["failed_checks"] == [] and day["seconds"] > 0 for day in ran)

    status = cli.json("status")
    assert [day["partition"] for day in status] == [str(DAY1), str(DAY2)]
    for day, delivered, run in zip(status, simulated, ran, strict=True):
        manifest = cli.lake.manifest(date.fromisoformat(day["partition"]))
        assert day["has_run"]
        assert day["objects"]["read"] >= delivered["objects"]
        assert day["rows"] == run["rows"] == manifest["rows"] > 2000
        assert day["events"] == run["events"] == manifest["events"]
        assert day["checks"]
        assert set(day["checks"].values()) <= {"passed", "warns"}
        assert day["raw_changes"] == {"new": 0, "changed": 0, "vanished": 0}

    malformed = sum(sum(day["malformed"].values()) for day in simulated)
    quarantined = cli.json("quarantine")
    assert len(quarantined) == sum(day["quarantined_records"] for day in status) >= malformed > 0

    shown = cli.shows("status")
    assert f"{status[0]['rows']:,}" in shown
    assert "unchanged" in shown
    assert quarantined[0]["reason"] in cli.shows("quarantine")


@pytest.mark.usefixtures("without_quality_checks")
def test_materialize_shows_a_line_a_day_and_runs_a_day_again(cli: "Cli") -> None:
    cli.with_dagster()
    for hour in range(24):
        cli.lake.write(key(DAY1, hour), zipped(event(f"e{hour}")))
        cli.lake.write(key(DAY2, hour), b"")
    for _ in range(2):
        shown = cli.shows("materialize", "--from", str(DAY1), "--to", str(DAY2)).splitlines()
        assert [line.split()[:4] for line in shown] == [
            ["✓", str(DAY1), "24", "events"],
            ["✓", str(DAY2), "0", "events"],
        ]


@pytest.mark.usefixtures("without_quality_checks")
def test_a_check_that_warns_is_told_and_stays_in_the_status_but_is_no_error(cli: "Cli") -> None:
    cli.with_dagster()
    cli.lake.write(key(DAY1), zipped(event("e1")))
    result = cli("materialize", "--from", str(DAY1), "--to", str(DAY1))
    assert result.exit_code == 0
    assert "check hour_coverage warns" in result.stdout
    checks = cli.json("status")[0]["checks"]
    assert (checks["conservation"], checks["hour_coverage"]) == ("passed", "warns")
    assert "hour_coverage warns" in cli.shows("status")


@pytest.mark.usefixtures("without_quality_checks")
def test_a_day_that_fails_is_told_with_code_1_and_the_others_run(cli: "Cli") -> None:
    cli.with_dagster()
    broken = cli.lake.path / f"auditlog_manifest/{DAY1}.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    result = cli("materialize", "--from", str(DAY1), "--to", str(DAY2), "--json")
    assert result.exit_code == 1
    first, second = json_lines(result.stdout)
    assert (first["succeeded"], second["succeeded"]) == (False, True)
    assert "cannot be read" in first["error"]
    assert "rows" not in first


@pytest.mark.usefixtures("without_quality_checks")
def test_a_day_that_another_run_holds_is_told_with_code_3(cli: "Cli") -> None:
    cli.with_dagster()
    with Locks(open_store(str(cli.lake.path), create=True), owner="somebody") as locks:
        locks.acquire(f"partition={DAY1}")
        result = cli("materialize", "--from", str(DAY1), "--to", str(DAY1))
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


def test_an_interrupt_ends_the_range_and_not_only_the_day_that_runs(cli: "Cli") -> None:
    cli.with_dagster()
    arguments = ("materialize", "--from", str(DAY1), "--to", str(DAY3))
    env = {name: value for name, value in (os.environ | cli.env).items() if value is not None}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", MATERIALIZE_AND_STOP_AFTER_A_DAY, *arguments]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, stderr = process.communicate(timeout=HANGS_SECONDS)
    assert str(DAY1) in first
    assert str(DAY3) not in rest
    assert process.returncode == 130
    assert stderr.endswith("interrupted\n")


def test_status_tells_what_raw_gained_changed_and_lost_since_the_day_ran(cli: "Cli") -> None:
    for name in ("a", "b", "c"):
        cli.lake.write(key(DAY1, 10, name), zipped(event(name)))
    cli.lake.run(DAY1)
    cli.lake.write(key(DAY1, 11, "late"), zipped(event("late")))
    cli.lake.write(key(DAY2, 0, "in the grace hour"), zipped(event("grace")))
    cli.lake.write(key(DAY2, 1, "after it"), zipped(event("after")))
    cli.lake.write(key(DAY1, 10, "b"), zipped(event("b", time="2026-05-01T11:00:00Z")))
    vanishing = cli.lake.raw / key(DAY1, 10, "c")
    kept = vanishing.rename(cli.lake.root / "kept")

    (day,) = cli.json("status")
    assert day["raw_changes"] == {"new": 2, "changed": 1, "vanished": 1}
    shown = cli.shows("status")
    assert "2 new, 1 changed, 1 vanished" in shown
    assert "raw has vanished since 1 of these days ran" in shown
    assert "materialize --from" not in shown

    kept.rename(vanishing)
    assert f"materialize --from {DAY1} --to {DAY1}" in cli.shows("status")
    cli.lake.run(DAY1)
    assert "unchanged" in cli.shows("status")


def test_status_shows_a_day_without_a_run_and_what_waits_for_it(cli: "Cli") -> None:
    cli.lake.write(key(DAY2), zipped(event("e1")))
    cli.lake.run(DAY1)
    days = cli.json("status", "--from", str(DAY1), "--to", str(DAY2))
    assert [(day["has_run"], day["rows"]) for day in days] == [(True, 0), (False, None)]
    shown = cli.shows("status", "--to", str(DAY2))
    assert "not run" in shown
    assert "1 waiting" in shown


def test_status_shows_the_last_month_unless_told_otherwise(cli: "Cli") -> None:
    for day in (DAY1, DAY1 + timedelta(days=40)):
        cli.lake.run(day)
    days = [day["partition"] for day in cli.json("status")]
    assert (days[0], days[-1], len(days)) == ("2026-05-11", "2026-06-10", 31)
    assert len(cli.json("status", "--from", "2026-05-01", "--to", "2026-06-10")) == 41


# quarantine


def quarantined(cli: "Cli", *texts: str | bytes) -> "Cli":
    for number, text in enumerate(texts):
        cli.lake.write(key(DAY1, 10, f"{number}"), zipped(text))
    cli.lake.run(DAY1)
    return cli


def test_a_hostile_text_is_shown_harmless(cli: "Cli") -> None:
    hostile = event("e1", time=HOSTILE, source=HOSTILE)
    quarantined(cli, f"{{{HOSTILE}", hostile.encode().replace(b"\\u001b", b"\x1b"))
    for arguments in ((), ("--full",), ("--json",)):
        shown = cli.shows("quarantine", *arguments)
        assert not set(shown) & set("\x1b\x07\x9b\u202e"), arguments
        assert "[red]" in shown, arguments


def test_the_original_text_comes_back_byte_for_byte(cli: "Cli") -> None:
    texts: list[bytes] = [b'{"a": nope, "b": "\xc3\xa9\\u0041"}', b"\xff\xfe\x00 no UTF-8"]
    records = quarantined(cli, *texts).json("quarantine")
    assert [record.get("raw") for record in records] == [texts[0].decode(), None]
    assert base64.b64decode(records[1]["raw_base64"]) == texts[1]
    assert "raw" not in records[1]
    assert "\\xff\\xfe\\x00" in cli.shows("quarantine")


def test_quarantine_filters_by_reason_and_says_how_many_there_are_of_each(cli: "Cli") -> None:
    quarantined(cli, "{nope", event("e1", time="noon"), event("e2", time="dusk"))
    assert [r["reason"] for r in cli.json("quarantine", "--reason", "bad_time")] == ["bad_time"] * 2
    shown = cli.shows("quarantine", "--reason", "not_json")
    assert "not_json" in shown
    assert "bad_time" not in shown
    assert "nothing is in quarantine" in cli.shows("quarantine", "--reason", "unsafe_source")
    assert "nothing is in quarantine" in cli.shows("quarantine", "--from", str(DAY2), "--to", str(DAY2))


def test_long_texts_and_long_lists_are_shortened_unless_told_otherwise(cli: "Cli") -> None:
    quarantined(cli, "{" + "x" * 5000 + "END", "{nope", "{no")
    short, full = cli.shows("quarantine"), cli.shows("quarantine", "--full")
    assert "5,004 bytes; --full shows all" in short
    assert "END" not in short
    assert "END" in full
    assert "2 more" in cli.shows("quarantine", "--limit", "1")
    assert len(cli.json("quarantine", "--limit", "1")) == 1
