"""What the Glue job has pip install: just that, in a Python of its own, runs the script on a real Spark."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import py4j
import pyspark
import pytest

from audit_pipeline.engines.glue.engine import GlueEngine
from audit_pipeline.settings import Settings
from tests.servers.glue_jobs import JOB, GlueJobs
from tests.support.installer import require_uv
from tests.support.lake import DAY1, Lake, event, key, zipped
from tests.support.paths import REPOSITORY
from tests.support.stack_template import STACK, Deployed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package() -> ModuleType:
    """``aws/glue/package.py``."""
    spec = importlib.util.spec_from_file_location("package", REPOSITORY / "aws" / "glue" / "package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_stacks_job_has_the_list_of_the_package(package: ModuleType) -> None:
    arguments = Deployed(STACK, CodeBucket="code").properties("GlueJob")["DefaultArguments"]
    wheel, *modules = arguments["--additional-python-modules"].split(",")
    assert wheel == "s3://code/glue/audit_pipeline-0.1.0-py3-none-any.whl"
    assert modules == package.pinned_modules()
    assert arguments["--python-modules-installer-option"] == "--no-deps"


def test_the_script_runs_on_what_the_list_names_and_pyspark_alone(
    package: ModuleType, tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = package.build_wheel(tmp_path / "dist")
    uv = require_uv()
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps"]
    subprocess.run([*install, wheel, *package.pinned_modules()], check=True)
    of_glue = tmp_path / "of-glue"
    of_glue.mkdir()
    for brought in (pyspark, py4j):
        folder = Path(str(brought.__file__)).parent
        (of_glue / folder.name).symlink_to(folder)
    (tmp_path / "glue").mkdir()
    jobs = GlueJobs(tmp_path / "glue", python=python, variables={"PYTHONPATH": str(of_glue)})
    lake.write(key(DAY1), zipped(event("a") + event("b")))
    settings = Settings(raw_url=str(lake.raw), lake_url=str(lake.path), start_date=lake.first, workers=1)
    with jobs:
        for name, value in jobs.environment().items():
            monkeypatch.setenv(name, value)
        engine = GlueEngine(JOB, poll_seconds=0.5)
        manifest = engine.run(settings, DAY1, "packaged", lambda *_: None, accept_vanished_raw=False)
    assert (manifest.engine, manifest.rows) == ("glue", 2)
    # and nothing of the list is missing for another to bring it by chance
    check = subprocess.run([uv, "pip", "check", "--python", python], capture_output=True, text=True, check=False)
    found = [line for line in check.stderr.splitlines() if "requires" in line]
    assert all(line.startswith("The package `audit-pipeline`") for line in found), check.stderr
