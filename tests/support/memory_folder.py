"""Where tests keep their files: in memory, where there is room.

A run of Dagster commits to SQLite two hundred times, each of which waits for a disk, and for whoever else writes to it.
Nothing that a test shows depends on that: what is killed here is a process, and never the machine.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import psutil
import pytest

_MEMORY: Final = Path("/dev/shm")
#: All tests together leave about 2 GB behind.
_FILES_BYTES: Final = 6 << 30
#: For the files, Trino, browsers and databases.
_MEMORY_BYTES: Final = 12 << 30


class MemoryFolder:
    """A plugin of pytest. Nothing is left of the files: ``--basetemp=FOLDER`` has them kept, and there."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        # a worker of xdist gets a folder in that of the process that started it
        if config.option.basetemp is None and not hasattr(config, "workerinput") and _has_room():
            self._folder = Path(tempfile.mkdtemp(prefix="audit-pipeline-tests-", dir=_MEMORY))
            config.option.basetemp = str(self._folder / "files")

    def pytest_unconfigure(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _has_room() -> bool:
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return False
    there = os.statvfs(_MEMORY)
    has_programs = not there.f_flag & os.ST_NOEXEC  # some tests install some
    is_large = there.f_bavail * there.f_frsize >= _FILES_BYTES
    return has_programs and is_large and psutil.virtual_memory().available >= _MEMORY_BYTES
