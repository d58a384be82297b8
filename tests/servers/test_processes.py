"""A server process of the tests ends with all its children."""

import signal
import time
from pathlib import Path

from tests.servers.processes import server_process


def test_the_end_of_a_server_leaves_no_process_behind(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "sleep 600 & echo $!; wait"]
    with server_process(command, tmp_path / "log") as process:
        while not (written := (tmp_path / "log").read_text()).endswith("\n"):
            assert process.poll() is None
            time.sleep(0.01)
    child = int(written)
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10  # it is killed already, but on a busy machine has yet to die
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
