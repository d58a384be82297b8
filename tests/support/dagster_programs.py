"""Dagster's programs on a deployment in a folder, for tests: the daemon, alone or with the UI as ``dagster dev``."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.servers.processes import HOST, free_port
from tests.support.dagster_harness import Deployment, subprocess_environment
from tests.support.paths import REPOSITORY, SUPPORT
from tests.support.waiting import wait_until

DAGSTER_YAML: Final = """
telemetry:
  enabled: false
nux:  # else a dialog asks for an e-mail address first
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
concurrency:
  runs:
    max_concurrent_runs: 2
"""

_STOP_SECONDS: Final = 30


@contextmanager
def dagster_daemon(deployment: Deployment, environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A daemon with a queue that starts two runs at a time, and with shorter waits than a user's."""
    (deployment.home / "dagster.yaml").write_text(DAGSTER_YAML)
    with _running(SUPPORT / "quick_daemon.py", "run", environment=environment, log=log):
        yield


@contextmanager
def dagster_ui(deployment: Deployment, environment: Mapping[str, str], logs: Path) -> Iterator[str]:
    """The address of a UI that answers. Beside it a daemon runs what is launched there."""
    logs.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), logs / "webserver.log"
    with (
        dagster_daemon(deployment, environment, logs / "daemon.log"),
        _running(
            Path(sys.executable).with_name("dagster-webserver"),
            *("-h", HOST, "-p", str(port)),
            environment=environment,
            log=log,
        ) as webserver,
    ):
        address = f"http://{HOST}:{port}"
        _wait_until_it_answers(f"{address}/server_info", webserver, log)
        yield address


@contextmanager
def _running(
    program: Path, *arguments: str, environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """The program in a process group of its own, of which nothing is left at the end: no code server, no run."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, program, *arguments, "-w", REPOSITORY / "workspace.yaml"],
            env=subprocess_environment(**environment),
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """It does so when it has loaded the definitions."""

    def answers() -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False

    wait_until(answers, lambda: f"{url}: {log.read_text()[-4000:]}", every=0.2)
