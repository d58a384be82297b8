"""``make dev-aws`` as a developer uses it: in one terminal it runs, in the other an application publishes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.dagster_harness import subprocess_environment
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

PUBLISH = """
from audit_pipeline.producer import AuditEvent, AuditPublisher, Entity, EntityChange, EventBridge
with AuditPublisher("shop", EventBridge("audit")) as publisher:
    publisher.publish(AuditEvent([EntityChange(Entity("1", "Order #1"))], action="Create", event_id="{event_id}"))
"""


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The servers, and the variables of the file that they write."""
    process = subprocess.Popen(
        [sys.executable, REPOSITORY / "tools" / "dev_aws.py", "--folder", folder, "--buffer-seconds", "300"],
        env=subprocess_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    give_up = threading.Timer(240, process.kill)
    give_up.start()
    try:
        assert process.stdout
        said = "".join(iter(process.stdout.readline, "Ctrl-C ends them; what Firehose holds is written first.\n"))
        assert "are ready" in said
        shell = f"set -a; . {folder / 'env'}; env -0"
        shown = subprocess.run(["sh", "-c", shell], env={}, capture_output=True, text=True, check=True).stdout
        yield dict(line.split("=", 1) for line in shown.split("\0") if "=" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        give_up.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(variables: dict[str, str], *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        env=subprocess_environment(**variables),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_is_published_is_in_the_table_also_after_the_servers_were_stopped_and_started(tmp_path: Path) -> None:
    with running(tmp_path / "dev") as variables:
        run(variables, "-c", PUBLISH.format(event_id="first"))
        run(variables, "-c", PUBLISH.format(event_id="second"))
    with running(tmp_path / "dev") as variables:  # ending, Firehose wrote what it held
        first = variables["AUDIT_START_DATE"]
        command = ("-m", "audit_pipeline.cli")
        run(variables, *command, "materialize", "--from", first, "--to", first)
        found = run(variables, *command, "query", "--from", first, "--to", first, "--format", "csv")
    assert ("first" in found, "second" in found) == (True, True)
