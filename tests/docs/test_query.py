"""docs/ask: every example runs and gives rows, and every field and option is described."""

import json
import os
import re
import shlex
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from audit_pipeline.cli.app import app
from audit_pipeline.cli.filters import OPTIONS
from audit_pipeline.query import AuditLogItem, AuditLogQuery
from audit_pipeline.query.adhoc import run_sql
from audit_pipeline.settings import QuerySettings
from tests.support import shop
from tests.support.lake import Lake
from tests.support.paths import DOCS

PAGE = (DOCS / "ask" / "query.md").read_text(encoding="utf-8")
SQL_PAGE = (DOCS / "ask" / "sql.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Of both pages."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE + SQL_PAGE, re.MULTILINE | re.DOTALL)


COMMANDS = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


@pytest.fixture(scope="module")
def shop_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return shop.filled(Lake(tmp_path_factory.mktemp("shop")))


@pytest.fixture(autouse=True)
def _here(shop_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AUDIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUDIT_LAKE_URL", str(shop_lake.path))
    monkeypatch.setenv("AUDIT_WORKERS", "1")
    monkeypatch.chdir(tmp_path)


def test_there_are_examples_of_each_kind() -> None:
    assert len(blocks("python")) >= 8
    assert len(blocks("sql")) >= 4
    assert len(COMMANDS) >= 15
    assert {shlex.split(command)[1] for command in COMMANDS} == {"query", "history", "sql"}
    fences = re.findall("^```", PAGE + SQL_PAGE, re.MULTILINE)
    assert len(fences) == 2 * sum(map(len, map(blocks, ("python", "sql", "console"))))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gives_rows(command: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "audit-pipeline"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    if "--output" in arguments:
        (written,) = tmp_path.iterdir()
        assert written.name == arguments[arguments.index("--output") + 1]
        assert written.stat().st_size > 50
    elif "json" in arguments:
        assert all(json.loads(line) for line in result.stdout.splitlines())
        assert result.stdout
    else:
        assert re.search(r"2026-05-|myapp\.|Order", result.stdout)
        assert "no change\n" not in result.stdout
        assert "no row" not in result.stdout
    assert not re.search(r"^0 rows", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: re.sub(r"\W+", " ", code)[-60:])
def test_a_python_example_prints_rows(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "docs/ask", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out
    assert printed.strip()
    assert not re.search(r"^0 ", printed, re.MULTILINE)


@pytest.mark.parametrize("sql", blocks("sql"), ids=lambda sql: sql.split("\n", 1)[0])
def test_a_query_in_sql_gives_rows(shop_lake: Lake, sql: str) -> None:
    assert run_sql(QuerySettings(lake_url=str(shop_lake.path)), sql).table.num_rows > 0


def test_every_field_option_and_column_is_described() -> None:
    for name in (*(f.name for f in fields(AuditLogQuery)), *OPTIONS.values(), *msgspec.structs.fields(AuditLogItem)):
        word = name if isinstance(name, str) else name.name
        assert f"`{word}`" in PAGE, word
    for option in ("--include-children", "--all", "--output", "--format", "--full", "--direction"):
        assert option in PAGE
