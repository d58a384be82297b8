"""Where the transform runs: one call a partition, whatever the engine."""

import uuid
from datetime import date

from audit_pipeline.engines import local
from audit_pipeline.engines.local import Progress
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest

__all__ = ["Progress", "run_partition"]


def run_partition(
    settings: Settings,
    partition: date,
    *,
    run_id: str | None = None,
    progress: Progress | None = None,
    accept_vanished_raw: bool = False,
) -> Manifest:
    """Turn the raw hour folders of ``partition`` into its files of the table, and commit them.

    Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`; then the table is as it was, or, where the
    run was stopped in the middle of its commit, the next run of the partition puts it right. Where raw objects are gone
    that its last run read, that is :class:`audit_pipeline.errors.RawVanishedError`, unless ``accept_vanished_raw``.
    """
    return local.run(
        settings,
        partition,
        run_id or str(uuid.uuid4()),
        progress or _ignore,
        accept_vanished_raw=accept_vanished_raw,
    )


def _ignore(stage: str, done: int, total: int) -> None:
    pass
