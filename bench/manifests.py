"""Manifests of days that no run made."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from audit_pipeline.store.manifest import (
    EventCounts,
    InputObject,
    Manifest,
    ObjectCounts,
    OutputFile,
    QuarantineFile,
)

__all__ = ["made_manifest"]


def made_manifest(
    partition: date, *, rows: int = 0, inputs: Sequence[InputObject] = (), outputs: Sequence[OutputFile] = ()
) -> Manifest:
    """As after a run that read one event for each row."""
    now = datetime.now(UTC)
    return Manifest(
        partition=partition,
        run_id="bench",
        code_version="bench",
        engine="bench",
        started_at=now,
        finished_at=now,
        grace_hours=1,
        inputs=list(inputs),
        objects=ObjectCounts(read=len(inputs)),
        events=EventCounts(read=rows, kept=rows),
        rows=rows,
        late_rows=0,
        quarantined_records=0,
        outputs=list(outputs),
        quarantine=QuarantineFile(path=None, records=0, by_reason={}),
    )
