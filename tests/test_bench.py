"""The bench must run and say how the engine compares; what it says is not a test's business."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_small_bench_of_engine_and_duckdb_prints_their_ratio(tmp_path: Path) -> None:
    sizes = ["--quick", "--events", "2000", "--case", "large-newline", "--folder", str(tmp_path)]
    command = [sys.executable, "-m", "bench", "--only", "engine,duckdb", *sizes]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "engine, 1 worker / duckdb" in run.stdout
    assert "engine, 2 workers / duckdb" in run.stdout
    assert "left out" not in run.stdout
    assert not list(tmp_path.glob("*/out-*")), "a contender's output was left behind"
