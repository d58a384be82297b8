"""The interface of engines."""

from collections.abc import Callable
from datetime import date
from typing import Protocol

from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest

__all__ = ["Engine", "Progress"]

#: Called with (name of the stage, how many of its units are done, how many there are).
Progress = Callable[[str, int, int], None]


class Engine(Protocol):
    """Where the transform runs. One engine can serve many runs, one after another."""

    def run(
        self, settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool
    ) -> Manifest:
        """Run one partition and commit it; returns its manifest.

        Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`, among them
        :class:`audit_pipeline.errors.RawVanishedError` unless ``accept_vanished_raw``.
        """
        ...
