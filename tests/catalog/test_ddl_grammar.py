"""The DDL in other hands than sqlglot's: a grammar of Hive's, and a real Hive that makes the table of it."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit_pipeline.catalog.definition import TableDefinition, ddl, glue_table_input
from tests.catalog.test_definition import BOTH, WRITTEN_BY_HAND, named
from tests.support.dagster_harness import subprocess_environment
from tests.support.paths import SUPPORT
from tests.support.sql_grammar import problems


@pytest.mark.parametrize("definition", BOTH, ids=["table", "quarantine"])
def test_hives_grammar_takes_the_ddl(definition: TableDefinition) -> None:
    assert problems(ddl(definition), "hive") == []


def test_hives_grammar_refuses_a_reserved_word_without_backticks() -> None:
    (problem,) = problems(WRITTEN_BY_HAND.replace("`", ""), "hive")
    assert "'Timestamp' is not valid at this position" in problem


@pytest.mark.slow
def test_hive_makes_the_same_tables_as_the_glue_input(tmp_path: Path) -> None:
    # Hive looks at the place at once, and this one has no S3
    here = [_moved(definition, f"file:{tmp_path}/") for definition in BOTH]
    found = _in_hive(
        tmp_path, ["CREATE DATABASE audit_logs_db", *(ddl(definition).strip().rstrip(";") for definition in here)]
    )
    for definition in here:
        table = dict(glue_table_input(definition))
        storage = table["StorageDescriptor"]
        made = found[definition.full_name]
        assert [(name.lower(), kind) for name, kind in made["columns"]] == named(storage["Columns"])
        assert made["partition_keys"] == [key["Name"] for key in table["PartitionKeys"]]
        described = made["described"]
        assert described["Type"] == "EXTERNAL"
        assert described["Location"] == storage["Location"].rstrip("/")
        assert described["Serde Library"] == storage["SerdeInfo"]["SerializationLibrary"]
        assert described["InputFormat"] == storage["InputFormat"]
        assert described["OutputFormat"] == storage["OutputFormat"]
        of_serde = {f"option.{name}": value for name, value in storage["SerdeInfo"]["Parameters"].items()}
        properties = {name: value for name, value in made["properties"].items() if name != "transient_lastDdlTime"}
        assert properties == definition.properties | of_serde


def _moved(definition: TableDefinition, root: str) -> TableDefinition:
    properties = {name: value.replace("s3://", root) for name, value in definition.properties.items()}
    return replace(definition, location=definition.location.replace("s3://", root), properties=properties)


def _in_hive(folder: Path, statements: list[str]) -> dict[str, Any]:
    if importlib.util.find_spec("pyspark") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("pyspark is not installed")
    run = subprocess.run(
        [sys.executable, SUPPORT / "spark_hive.py"],
        cwd=folder,
        env=subprocess_environment(SPARK_LOCAL_IP="127.0.0.1"),
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found
