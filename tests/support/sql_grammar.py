"""Grammars of Hive and Trino other than sqlglot's: those of dt-sql-parser, run by Node.js.

Athena parses DDL with Hive's grammar and queries with Trino's. ``make grammar`` installs them.
"""

import json
import os
import shutil
import subprocess
from typing import Any, Literal

import pytest

from tests.support.paths import REPOSITORY

FOLDER = REPOSITORY / "tests" / "grammars"


def problems(sql: str, grammar: Literal["hive", "trino"]) -> list[str]:
    """The errors that the grammar reports. The test is skipped where the grammar is missing, but never in CI."""
    missing = "Node.js ('node') is not installed" if not shutil.which("node") else "dt-sql-parser is not installed"
    if not shutil.which("node") or not (FOLDER / "node_modules" / "dt-sql-parser").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{missing}: run 'make grammar'")
    run = subprocess.run(
        ["node", "check.mjs", grammar], cwd=FOLDER, input=sql, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return [f"line {problem['startLine']}: {problem['message']}" for problem in found]
