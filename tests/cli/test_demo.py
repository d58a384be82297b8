"""The demo: what it leaves in its folder, what it says, and that its commands work as printed."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from audit_pipeline.cli.sandbox import Sandbox
from audit_pipeline.orchestration.names import LOCATION
from audit_pipeline.quality.builtin import READABLE_SHARE
from tests.support.cli_harness import Commands, one_error

pytestmark = pytest.mark.slow


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = settings_of_this_process()
    yield tmp_path / "with space"
    assert settings_of_this_process() == before


def settings_of_this_process() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("AUDIT_", "DAGSTER_"))}


def run_demo(folder: Path, *arguments: str, events: int = 300) -> Result:
    given = ["demo", "--events-per-day", str(events), "--folder", str(folder), *arguments]
    return Commands({"AUDIT_RAW_URL": "/somebody/elses", "AUDIT_GRACE_HOURS": "7"})(*given)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_demo_works_twice_and_leaves_settings_for_other_commands(demo: Path) -> None:
    first = run_demo(demo, "--days", "1")
    assert first.exit_code == 0, first.output
    for text in ("What each day holds", "Order 500", "in quarantine", "http://localhost:3000"):
        assert text in first.stdout
    assert "failed" not in first.stdout
    raw, table = files_of(demo / "raw"), files_of(demo / "lake" / "auditlog_parquet")

    again = run_demo(demo, "--days", "1")
    assert again.exit_code == 0, again.output
    assert (files_of(demo / "raw"), files_of(demo / "lake" / "auditlog_parquet")) == (raw, table)

    shell = f"set -a; . '{demo}/env'; env"
    sourced = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    for name in ("AUDIT_RAW_URL=", "AUDIT_LAKE_URL=", "DAGSTER_HOME="):
        assert f"\n{name}{demo}/" in f"\n{sourced}"


def test_a_demo_of_a_later_day_adds_to_the_days_before(demo: Path) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert run_demo(demo, "--days", "1", "--to", str(yesterday - timedelta(days=1))).exit_code == 0
    raw = files_of(demo / "raw")
    assert run_demo(demo, "--days", "2").exit_code == 0
    assert files_of(demo / "raw").items() > raw.items()


def test_a_demo_refuses_a_folder_of_another_demo_or_of_somebody_else(demo: Path) -> None:
    (demo / "raw").mkdir(parents=True)
    result = run_demo(demo)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no demo made it" in one_error(result.stderr)

    env = "AUDIT_START_DATE=2026-05-01\nDEMO_EVENTS_PER_DAY=300\nDEMO_SEED=0\n"
    (demo / "env").write_text(env)
    assert "a demo of another version" in one_error(run_demo(demo).stderr)

    (demo / "env").write_text(env + "DEMO_TRAFFIC=2\n")
    for arguments, events in (("--seed", "1"), 300), ((), 301), (("--to", "2026-05-01"), 300):
        result = run_demo(demo, *arguments, events=events)
        assert result.exit_code == 2
        assert "give the same" in one_error(result.stderr)
    assert {path.name for path in demo.iterdir()} == {"raw", "env"}


# what it says


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "with a bad day"


@pytest.fixture(scope="module")
def bad_week(folder: Path) -> Result:
    """A demo of as many days as it takes to have the bad one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        return run_demo(folder, "--days", "4", events=1000)


def settings_of(folder: Path) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split((folder / "env").read_text()))


def lines_of(shown: str, *, containing: str) -> list[str]:
    return [line for line in shown.splitlines() if containing in line]


def test_one_day_is_bad_on_purpose_and_the_others_are_green(bad_week: Result, folder: Path) -> None:
    assert bad_week.exit_code == 0, bad_week.output
    bad_day = str(date.fromisoformat(settings_of(folder)["AUDIT_START_DATE"]) + timedelta(days=3))
    assert f"{bad_day} is bad on purpose" in bad_week.stdout
    days = Commands(settings_of(folder)).json("status")
    assert len(days) == 4
    for day in days:
        if day["partition"] == bad_day:
            assert day["checks"][READABLE_SHARE] == "failed"
            assert day["quarantined_by_reason"] == {"wrong_type": day["quarantined_records"]}
        else:
            assert set(day["checks"].values()) == {"passed"}, day
            assert day["quarantined_records"] == 0
    assert [line for line in bad_week.stdout.splitlines() if line.startswith(("✓", "✗"))][3].startswith(f"✗ {bad_day}")


def test_the_commands_that_it_prints_work_as_printed_and_give_its_answer_again(bad_week: Result, folder: Path) -> None:
    printed = lines_of(bad_week.stdout, containing=" -m audit_pipeline.cli ")
    commands = {words[3]: words[3:] for line in printed if (words := shlex.split(line, comments=True))}
    assert set(commands) == {"history", "query", "sql", "quality", "quarantine", "status"}
    run = Commands(settings_of(folder))
    shown = {name: run(*arguments) for name, arguments in commands.items()}
    assert {name: result.exit_code for name, result in shown.items()} == dict.fromkeys(commands, 0) | {"quality": 1}
    answer = [line for line in shown["history"].stdout.splitlines() if line.startswith("│")]
    assert len(answer) >= 4
    assert set(answer) <= set(bad_week.stdout.splitlines())
    assert "of Order 500" in shown["history"].stdout
    assert READABLE_SHARE in shown["quality"].stdout
    assert "detail" in shown["quarantine"].stdout


def test_the_settings_that_it_prints_are_read_by_a_shell_in_any_folder(bad_week: Result, folder: Path) -> None:
    (line,) = lines_of(bad_week.stdout, containing="set -a")
    sourced = subprocess.run(
        ["sh", "-c", f"{line}\nenv"], cwd=folder.parent, capture_output=True, text=True, check=True
    )
    assert f"AUDIT_LAKE_URL={folder}/lake" in sourced.stdout.splitlines()


def test_the_ui_shows_its_runs_and_loads_the_location_that_they_name(bad_week: Result, folder: Path) -> None:
    import dagster as dg

    (line,) = lines_of(bad_week.stdout, containing="dagster dev -w")
    workspace = shlex.split(line.split("dagster dev -w ")[1])[0].removesuffix(",")
    loaded = yaml.safe_load((folder.parent / workspace).read_text())["load_from"][0]["python_module"]
    assert loaded == {"module_name": "audit_pipeline.definitions", "location_name": LOCATION}
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        runs = instance.get_runs()
    assert len(runs) == 4
    assert {run.remote_job_origin and run.remote_job_origin.location_name for run in runs} == {LOCATION}


def test_in_a_checkout_make_opens_the_ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(tmp_path / ".demo", date(2026, 5, 1), 5000, 0)
    assert sandbox.ui_command() == "dagster dev -w .demo/workspace.yaml"
    Path("Makefile").touch()
    assert sandbox.ui_command() == "make dev"
