"""The application: help, exit codes, wrong usage, settings, and JSON for scripts."""

import os
import subprocess
import sys

import pytest
import typer

from audit_pipeline.cli.app import app
from audit_pipeline.cli.exits import MEANINGS
from tests.support.cli_harness import Commands, LakeCommands, QueryCommands, json_lines, one_error
from tests.support.lake import DAY1

MAY = ("--from", "2026-05-11", "--to", "2026-05-17")


#: Commands whose output a script may read, with arguments that need no store.
FOR_SCRIPTS = [
    "simulate",
    "materialize",
    "status",
    "quarantine",
    "quality",
    "query",
    "history",
    "sql",
    "ddl",
    "cost",
]


def test_help_lists_every_command_and_what_each_exit_code_says() -> None:
    shown = Commands({}).in_a_process("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for text in (*FOR_SCRIPTS, "demo", "--json", *MEANINGS.values()):
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
        (["status", "--from", "1.5.2026"], "is not a date"),
        (["status", "--from", "20260501"], "is not a date"),
        (["status", "--to", "2026-02-30"], "is not a date"),
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
def test_wrong_usage_is_reported_on_stderr_with_code_2(commands: LakeCommands, arguments: list[str], says: str) -> None:
    assert says in commands.refuses(*arguments)


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
def test_a_wrong_setting_is_one_line_and_code_2(
    commands: LakeCommands, changed: dict[str, str | None], says: str
) -> None:
    commands.lake.path.mkdir()
    commands.env |= changed
    assert says in one_error(commands.refusal("status", "--from", str(DAY1), "--to", str(DAY1)))


def test_a_wrong_setting_is_one_line_of_a_real_process_too(commands: LakeCommands) -> None:
    commands.env["AUDIT_RAW_URL"] = None
    result = commands.in_a_process("quarantine")
    assert (result.returncode, result.stdout) == (2, "")
    assert "AUDIT_RAW_URL is not set" in one_error(result.stderr)


def test_only_the_lake_must_be_set(queries: QueryCommands) -> None:
    queries.env |= {"AUDIT_RAW_URL": None, "AUDIT_START_DATE": None}
    assert queries.json("query", *MAY, "--limit", "1")
    assert queries.json("history", "Order", "500", *MAY)
    assert queries.json("sql", "SELECT 1 AS x") == [{"x": 1}]
    queries.env["AUDIT_LAKE_URL"] = None
    for arguments in (["query"], ["history", "Order", "1"], ["sql", "SELECT 1"]):
        assert "AUDIT_LAKE_URL is not set" in queries.refuses(*arguments)


@pytest.mark.parametrize("command", FOR_SCRIPTS)
def test_every_command_that_a_script_reads_has_the_same_option_for_json(command: str) -> None:
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    assert [parameter.name for parameter in parameters if "--json" in parameter.opts] == ["as_json"]


@pytest.mark.parametrize(
    "arguments",
    [("query", *MAY), ("history", "Order", "500", *MAY), ("sql", "SELECT Id FROM auditlog ORDER BY Id")],
    ids=lambda arguments: arguments[0],
)
def test_json_is_short_for_the_format_of_that_name(queries: QueryCommands, arguments: tuple[str, ...]) -> None:
    short, long = (queries.shows(*arguments, *more) for more in (["--json"], ["--format", "json"]))
    assert short == long
    assert len(json_lines(short)) > 4
    assert queries.shows(*arguments, "--json", "--format", "json") == short
    assert "--json contradicts --format table" in queries.refuses(*arguments, "--json", "--format", "table")


def test_json_of_the_definitions_is_glues(commands: LakeCommands) -> None:
    commands.env["AUDIT_LAKE_URL"] = "s3://bucket/lake"
    assert commands.shows("ddl", "--json") == commands.shows("ddl", "--format", "glue")
    assert [table["Name"] for table in commands.json("ddl")] == ["auditlog", "auditlog_quarantine"]
    assert commands.shows("ddl") == commands.shows("ddl", "--format", "ddl")
    assert "--json contradicts --format ddl" in commands.refuses("ddl", "--json", "--format", "ddl")
