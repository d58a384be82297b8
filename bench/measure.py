"""One command, measured whole: CPU seconds and memory of its process and all that come of it.

Memory is sampled, each process's own pages plus, once for each program, the pages of files that it maps (libraries):
so shared pages count once. It comes from counters that the kernel keeps: walking the page tables for PSS every few
milliseconds would take a good part of a core from what is measured. A file system's cache belongs to nobody.
"""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from bench.cases import ROOT

__all__ = ["Measured", "measure"]

_SAMPLE_SECONDS: Final = 0.02
#: Samples from one look for new processes to the next: it reads all of the machine's.
_SAMPLES_PER_LOOK: Final = 5
#: For the processes that a command leaves behind to end, which they do by themselves.
_ORPHAN_SECONDS: Final = 5.0
#: Of Linux (``prctl.h``): Python has no name for it.
_PR_SET_CHILD_SUBREAPER: Final = 36
#: ``ru_maxrss`` is in KiB, on macOS in bytes.
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """``peak_bytes``: over all processes at one moment, and no less than the largest process ever took.

    ``cpu_seconds``: user and system, of the process and all its descendants; beside Linux, only those that somebody
    waited for, which Spark's Python workers are not.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    exit_code: int
    output: str


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command in the repository's root to its end."""
    _adopt_orphans()
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        sampler = _Sampler(process.pid)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop()
        usages = [usage, *_orphans()]
        output.seek(0)
        return Measured(
            cpu_seconds=sum(one.ru_utime + one.ru_stime for one in usages),
            wall_seconds=wall,
            peak_bytes=max(sampler.peak_bytes, usage.ru_maxrss * _MAXRSS_UNIT),
            exit_code=process.returncode,
            output=output.read().decode(errors="replace"),
        )


def _adopt_orphans() -> None:
    """A process whose parent has ended becomes this one's child, and not that of the machine's first process."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _orphans() -> Iterator[resource.struct_rusage]:
    """What the command's orphans took, as they end."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while time.monotonic() < deadline:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            yield usage
        else:
            time.sleep(_SAMPLE_SECONDS)


@dataclass
class _Sampler:
    pid: int
    peak_bytes: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="sample-memory", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            programs = _programs(self.pid)
            for _ in range(_SAMPLES_PER_LOOK):
                self.peak_bytes = max(self.peak_bytes, _memory(programs))
                if self._stopped.wait(_SAMPLE_SECONDS):
                    return


def _programs(pid: int) -> dict[int, str]:
    """The program that each process of the tree runs."""
    found: dict[int, str] = {}
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            found[process.pid] = process.exe()
    except psutil.Error:
        pass  # it ended meanwhile
    return found


def _memory(programs: Mapping[int, str]) -> int:
    own, files = 0, defaultdict[str, int](int)
    for pid, program in programs.items():
        anonymous, mapped = _pages(pid)
        own += anonymous
        files[program] = max(files[program], mapped)
    return own + sum(files.values())


def _pages(pid: int) -> tuple[int, int]:
    """Bytes of a process in memory: its own, and those of files that it maps."""
    try:
        if not sys.platform.startswith("linux"):
            return psutil.Process(pid).memory_info().rss, 0
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        anonymous, shared, mapped = (int(status[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem", "RssFile"))
        return anonymous + shared, mapped
    except (OSError, KeyError, psutil.Error):
        return 0, 0  # it has ended, or is about to
