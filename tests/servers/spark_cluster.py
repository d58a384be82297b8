"""A standalone Spark cluster on this machine: a master, and two workers on loopback addresses of their own.

Spark takes these for two machines, and starts a speculative attempt of a slow task on the other one; it never does on
the machine of the first.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pyspark

from audit_pipeline.engines.spark.session import find_java_home
from tests.servers.processes import free_port

__all__ = ["HOSTS", "spark_cluster"]

HOSTS: Final = ("127.0.0.1", "127.0.0.2")
_HOME: Final = Path(str(pyspark.__file__)).parent
_MASTER: Final = "org.apache.spark.deploy.master.Master"
_WORKER: Final = "org.apache.spark.deploy.worker.Worker"
_START_SECONDS: Final = 60


@contextmanager
def spark_cluster(folder: Path) -> Iterator[str]:
    """The master's URL; a worker has one core. Logs are in ``folder``."""
    with ExitStack() as stack:
        port = free_port()
        address = f"spark://{HOSTS[0]}:{port}"
        stack.enter_context(_daemon(folder / "master.log", _MASTER, "--host", HOSTS[0], "--port", port))
        _wait_for("I have been elected leader", folder / "master.log")
        for host in HOSTS:
            work = ("--work-dir", folder / f"work-{host}")
            log = folder / f"worker-{host}.log"
            stack.enter_context(_daemon(log, _WORKER, "--host", host, "--cores", 1, "--memory", "1g", *work, address))
        for host in HOSTS:
            _wait_for("Successfully registered with master", folder / f"worker-{host}.log")
        yield address


@contextmanager
def _daemon(log: Path, name: str, *arguments: Any) -> Iterator[None]:
    environment = os.environ | {
        "JAVA_HOME": find_java_home(),
        "SPARK_HOME": str(_HOME),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "PYSPARK_PYTHON": sys.executable,
    }
    command = [_HOME / "bin" / "spark-class", name, "--webui-port", "0", *map(str, arguments)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()


def _wait_for(message: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while message not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
