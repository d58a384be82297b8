"""The bench must run and say how the engine compares; what it says is not a test's business."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

#: It ends at once, and leaves behind a process that works for half a second.
_LEAVES_AN_ORPHAN = """
import os, time
if not os.fork():
    while time.process_time() < 0.5:
        pass
"""
_MEASURES_IT = f"""
import os, sys
from bench.measure import measure
print(measure([sys.executable, "-c", {_LEAVES_AN_ORPHAN!r}], os.environ).cpu_seconds)
"""


def test_a_small_bench_of_engine_and_duckdb_prints_their_ratio(tmp_path: Path) -> None:
    sizes = ["--quick", "--events", "2000", "--case", "large-newline", "--folder", str(tmp_path)]
    command = [sys.executable, "-m", "bench", "--only", "engine,duckdb", *sizes]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "engine, 1 worker / duckdb" in run.stdout
    assert "engine, 2 workers / duckdb" in run.stdout
    assert "left out" not in run.stdout
    assert not list(tmp_path.glob("*/out-*")), "a contender's output was left behind"


@pytest.mark.skipif(sys.platform != "linux", reason="processes without a parent can be adopted on Linux only")
def test_what_a_process_that_nobody_waits_for_takes_is_counted() -> None:
    # in a process of its own, which has no other orphans
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURES_IT], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert float(measured.stdout) >= 0.5
