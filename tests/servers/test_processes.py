"""A server process of the tests ends with all its children."""

import signal
import time
from pathlib import Path

from tests.servers.processes import server_process
from tests.support.waiting import wait_until


def test_the_end_of_a_server_leaves_no_process_behind(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "sleep 600 & echo $!; wait"]
    with server_process(command, tmp_path / "log") as process:
        while not (written := (tmp_path / "log").read_text()).endswith("\n"):
            assert process.poll() is None
            time.sleep(0.01)
    child = int(written)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not is_running(child), "the end of the child")  # it is killed, but may not be dead yet


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
