"""Grammars of Hive and Trino that are not sqlglot's: dt-sql-parser's, run by Node.js.

Athena takes DDL in Hive's grammar and queries in Trino's. ``make grammar`` brings them in.
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
    """What the grammar finds wrong. The test is skipped where the grammar is missing, but never in CI."""
    missing = "Node.js ('node') is not installed" if not shutil.which("node") else "dt-sql-parser is not installed"
    if not shutil.which("node") or not (FOLDER / "node_modules" / "dt-sql-parser").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{missing}: run 'make grammar'")
    run = subprocess.run(
        ["node", "check.mjs", grammar], cwd=FOLDER, input=sql, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return [f"line {problem['startLine']}: {problem['message']}" for problem in found]
