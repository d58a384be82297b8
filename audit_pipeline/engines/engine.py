"""What an engine is: it runs one partition, somewhere."""

from collections.abc import Callable
from datetime import date
from typing import Protocol

from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest

__all__ = ["Engine", "Progress"]

#: (what is being done, how many of it are done, how many there are)
Progress = Callable[[str, int, int], None]


class Engine(Protocol):
    """Where the transform runs. One engine can serve many runs, one after another."""

    def run(
        self, settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool
    ) -> Manifest:
        """Run one partition and commit it, as :func:`audit_pipeline.engines.run_partition` says."""
        ...
