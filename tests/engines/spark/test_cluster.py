"""The Spark engine on a cluster: attempts that Spark starts twice, and an executor that dies with what it keeps."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from typing import Any

import pytest

from audit_pipeline.simulate import simulate
from audit_pipeline.store.objects import open_store
from tests.engines.spark.test_engine import data, leftovers
from tests.servers.spark_cluster import HOSTS, spark_cluster
from tests.support.lake import DAY1, Lake
from tests.support.paths import REPOSITORY, SUPPORT


def has_two_machines() -> bool:
    """Not so on macOS, where the second one wants an alias of the loopback interface."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((HOSTS[1], 0))
        return True
    return bool(os.environ.get("CI"))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_two_machines(), reason=f"{HOSTS[1]} is not an address of this machine"),
]


@pytest.fixture(scope="module")
def on_a_cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Lake]]:
    """What the child reports, and lakes over the same raw: of a slow task, of a dead executor, of the local engine."""
    root = tmp_path_factory.mktemp("cluster")
    simulate(open_store(str(Lake(root).raw)), DAY1, DAY1, events_per_day=2_000, since=DAY1)
    lakes = {name: Lake(root / name) for name in ("slow", "dying", "local")}
    for lake in lakes.values():
        lake.raw.rmdir()
        lake.raw.symlink_to(root / "raw")
    lakes["local"].run()
    settings = [
        json.dumps({"raw_url": str(lakes[name].raw), "lake_url": str(lakes[name].path), "start_date": str(DAY1)})
        for name in ("slow", "dying")
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with spark_cluster(root) as master:
        command = [sys.executable, SUPPORT / "spark_cluster_child.py", master, *settings]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]), lakes


def test_of_a_task_that_spark_starts_twice_the_table_has_one(
    on_a_cluster: tuple[dict[str, Any], dict[str, Lake]],
) -> None:
    report, lakes = on_a_cluster
    assert report["attempts"] == ["0", "1"], "both attempts have put their files"
    assert data(lakes["slow"]) == data(lakes["local"])
    assert leftovers(lakes["slow"]) == []


def test_an_executor_that_dies_with_its_records_is_made_up_for(
    on_a_cluster: tuple[dict[str, Any], dict[str, Lake]],
) -> None:
    report, lakes = on_a_cluster
    assert len(report["killed"]) == 1
    assert data(lakes["dying"]) == data(lakes["local"])
    assert leftovers(lakes["dying"]) == []


def test_a_driver_whose_jvm_dies_says_so_in_one_line(on_a_cluster: tuple[dict[str, Any], dict[str, Lake]]) -> None:
    report, lakes = on_a_cluster
    assert re.fullmatch(
        r"Spark could not \w+: .*\. Its JVM has probably died: .* \(spark\.driver\.memory\)", report["dead"]
    )
    assert data(lakes["dying"]) == data(lakes["local"])
