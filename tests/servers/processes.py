"""Server processes on this machine: started in a process group of their own, awaited, and ended with their children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.support.waiting import HANGS_SECONDS

__all__ = ["HOST", "free_port", "server_process", "wait_until_ready"]

HOST: Final = "127.0.0.1"
_LOG_CHARACTERS: Final = 4000


def free_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server_process(command: Sequence[object], log: Path, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """The process of a command, with its output in ``log``; at the end its whole process group is killed.

    ``options`` are those of :class:`subprocess.Popen`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            **{"cwd": log.parent} | options,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(
    process: "subprocess.Popen[bytes]",
    log: Path,
    attempt: Callable[[], object],
    *errors: type[Exception],
) -> None:
    """Repeat ``attempt`` until it raises none of ``errors``; AssertionError with the log's end if it never does."""
    deadline = time.monotonic() + HANGS_SECONDS
    while True:
        assert process.poll() is None, log.read_text()[-_LOG_CHARACTERS:]
        try:
            attempt()
            return
        except errors as error:
            failure = error
        assert time.monotonic() < deadline, f"not ready: {failure}\n{log.read_text()[-_LOG_CHARACTERS:]}"
        time.sleep(0.1)
