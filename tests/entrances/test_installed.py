"""Each entrance alone, from the built wheel, on each Python that is here: it works, and says what it lacks."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.support.installer import require_uv
from tests.support.lake import DAY1, Lake, event, key
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

#: Of the versions that the package says it runs on, those that are here; CI's matrix has the others.
VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")

CORE: Final = {"audit-pipeline", "boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}

_PUBLISH: Final = """
import audit_pipeline, audit_pipeline.producer, audit_pipeline.producer.outbox
import audit_pipeline.contract.source, audit_pipeline.contract.values
from audit_pipeline.producer import Accepted, AuditEvent, AuditPublisher, Entity, EntityChange

class Bus:
    def put(self, entries):
        print(*(entry.source for entry in entries))
        return [Accepted(entry.event_id) for entry in entries]
    def reset(self): ...

with AuditPublisher("shop", Bus()) as publisher:
    publisher.publish(AuditEvent([EntityChange(Entity("500", "Order"), after={"status": "Paid"})], "Order", "Update"))
"""
_ASK: Final = """
from datetime import date
from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.query import *
page = AuditLogClient().query(AuditLogQuery(from_date=date(2026, 5, 1), to_date=date(2026, 5, 2)))
print(*sorted(item.id for item in page.items))
"""
_RUN: Final = """
import audit_pipeline.definitions
from datetime import date
from audit_pipeline.orchestration.launch import materialize
print(*(day.succeeded for day in materialize(date(2026, 5, 1), date(2026, 5, 1))))
"""


@cache
def python_of(version: str) -> str | None:
    """A program of that version which says so itself: a shim may stand for one that is not installed."""
    candidates = [sys.executable] if sysconfig.get_python_version() == version else []
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += [str(path / "bin" / "python") for path in sorted(home.glob(f"{version}.*"))]
    candidates += [found] if (found := shutil.which(f"python{version}")) else []
    for program in candidates:
        says = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        if says.startswith(f"Python {version}."):
            return program
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [require_uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


class Installed:
    """A virtual environment with the wheel and one extra, outside of the checkout."""

    def __init__(self, folder: Path, wheel: Path, version: str, extra: str) -> None:
        program = python_of(version)
        if program is None:
            pytest.skip(f"Python {version} is not installed")
        self._uv = require_uv()
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        constraints = str(REPOSITORY / "constraints.txt")
        subprocess.run([self._uv, "venv", "--quiet", "--python", program, str(folder / "venv")], check=True)
        command = [
            self._uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(self.python),
            "--constraint",
            constraints,
            what,
        ]
        subprocess.run([*command, "--constraint", constraints, what], check=True)

    def packages(self) -> set[str]:
        command = [self._uv, "pip", "list", "--format", "json", "--python", str(self.python)]
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
        return {package["name"].lower() for package in json.loads(listed.stdout)}

    def run(self, *command: str, settings: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "PYTHON"))}
        program = [str(self.python.with_name(command[0])), *command[1:]]
        return subprocess.run(
            program,
            cwd=self.folder,
            env={**environment, **(settings or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def shows(self, code: str, settings: Mapping[str, str] | None = None) -> str:
        done = self.run("python", "-c", code, settings=settings)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def last_line(self, code: str) -> str:
        done = self.run("python", "-c", code)
        assert done.returncode != 0
        return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_core_publishes_with_boto3_alone_and_says_what_the_rest_needs(
    tmp_path: Path, wheel: Path, version: str
) -> None:
    core = Installed(tmp_path, wheel, version, "")
    assert core.packages() == CORE
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 60e6
    assert core.shows(_PUBLISH) == "shop"
    assert "needs the extra 'query'" in core.last_line("from audit_pipeline import AuditLogClient")
    assert "pip install 'audit-pipeline[query]'" in core.last_line("import audit_pipeline.query")
    assert "pip install 'audit-pipeline[pipeline]'" in core.last_line("import audit_pipeline.definitions")
    assert "pip install 'audit-pipeline[pipeline]'" in core.last_line("import audit_pipeline.engines")
    missing = core.last_line("import audit_pipeline.producer.outbox.sqlalchemy")
    assert "pip install 'audit-pipeline[outbox]'" in missing
    done = core.run("audit-pipeline", "query", "--help")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "pip install 'audit-pipeline[query]'" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_the_query_client_and_its_commands_need_the_extra_query_alone(
    tmp_path: Path, wheel: Path, version: str
) -> None:
    lake = Lake(tmp_path / "store")
    lake.write(key(DAY1), event("a") + event("b"))
    lake.run()
    settings = {"AUDIT_LAKE_URL": str(lake.path)}
    client = Installed(tmp_path, wheel, version, "query")
    assert not client.packages() & {"dagster", "great-expectations", "pandas", "polars", "pyspark"}
    assert client.shows(_ASK, settings) == "a b"
    span = ("--from", "2026-05-01", "--to", "2026-05-01")
    done = client.run("audit-pipeline", "query", *span, "--json", settings=settings)
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(line)["Id"] for line in done.stdout.splitlines()) == ["a", "b"]
    done = client.run("audit-pipeline", "sql", "SELECT count(*) AS n FROM auditlog", "--json", settings=settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 2
    pipeline = settings | {
        "AUDIT_RAW_URL": str(lake.raw),
        "AUDIT_START_DATE": "2026-05-01",
        "DAGSTER_HOME": str(tmp_path),
    }
    done = client.run("audit-pipeline", "materialize", *span, settings=pipeline)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("pip install 'audit-pipeline[pipeline]'")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pipeline_runs_a_day(tmp_path: Path, wheel: Path, version: str) -> None:
    lake = Lake(tmp_path / "store")
    lake.write(key(DAY1), event("a") + event("b"))
    (tmp_path / "dagster").mkdir()
    pipeline = Installed(tmp_path, wheel, version, "pipeline")
    settings = {
        "AUDIT_RAW_URL": str(lake.raw),
        "AUDIT_LAKE_URL": str(lake.path),
        "AUDIT_START_DATE": "2026-05-01",
        "AUDIT_WORKERS": "1",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    assert pipeline.shows(_RUN, settings) == "True"
    assert [row["Id"] for row in lake.rows()] == ["a", "b"]
    missing = pipeline.run("audit-pipeline", "query", settings=settings | {"AUDIT_QUERY_BACKEND": "trino"})
    assert "Traceback" not in missing.stderr
    assert pipeline.shows(_ASK, settings) == "a b"
    refused = pipeline.run(
        "audit-pipeline",
        "materialize",
        "--from",
        "2026-05-01",
        "--to",
        "2026-05-01",
        settings=settings | {"AUDIT_ENGINE": "spark"},
    )
    assert refused.stderr.strip().splitlines()[-1].count("pip install 'audit-pipeline[spark]'") == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_the_other_entrances_together_resolve_on_every_python(wheel: Path, version: str) -> None:
    """Without installing them: their packages have wheels that fit, also for the versions that are not here."""
    command = [require_uv(), "pip", "compile", "--quiet", "--python-version", version, "--only-binary", ":all:", "-"]
    wanted = f"audit-pipeline[outbox,pandas,polars,trino,server,glue] @ {wheel.as_uri()}\n"
    done = subprocess.run(command, input=wanted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"sqlalchemy", "pandas", "polars", "trino", "dagster-webserver"} <= {
        line.partition("==")[0].strip() for line in done.stdout.splitlines()
    }
