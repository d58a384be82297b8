"""A run of one partition, whatever the engine: locks, inputs, the engine's transform, and the commit.

The transform decodes the raw objects and writes finished files outside of the table. Only the commit, and listing other
partitions' files once more before it, happen under the locks of the dates that are written.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from audit_pipeline import __version__
from audit_pipeline.engines.commit import Staged, commit, paths_of_earlier_runs
from audit_pipeline.engines.engine import Progress
from audit_pipeline.engines.existing_files import ExistingFile, list_existing_files
from audit_pipeline.engines.folded_case import refuse_folded_sources
from audit_pipeline.engines.plan import refuse_vanished
from audit_pipeline.engines.quarantining import quarantine_records, write_quarantine_file
from audit_pipeline.engines.spill import scratch_folder
from audit_pipeline.engines.writing import DataFile, Written
from audit_pipeline.epoch import day_of, moment_of
from audit_pipeline.errors import RawChangedError, SettingsError
from audit_pipeline.settings import Settings
from audit_pipeline.store.lake import LakeSettings, agree_on_lake_settings
from audit_pipeline.store.layout import data_path, dt_of, quarantine_path
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.manifest import (
    EventCounts,
    InputObject,
    Manifest,
    ObjectCounts,
    OutputFile,
    QuarantineFile,
    TextBytes,
    read_manifest,
)
from audit_pipeline.store.objects import ObjectInfo, Store, open_store
from audit_pipeline.store.raw import Inventory, take_inventory
from audit_pipeline.transform.decoded import Counts
from audit_pipeline.transform.duplicates import DedupResult
from audit_pipeline.transform.ownership import Scope

__all__ = ["RunContext", "Transform", "execute_run"]

#: How long a run waits for commits of other partitions under the same dates.
_COMMIT_WAIT_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a transform needs of its run; ``folder`` is the run's own on this machine, and deleted at its end."""

    settings: Settings
    raw: Store
    lake: Store
    scope: Scope
    inventory: Inventory
    run_id: str
    folder: Path
    progress: Progress
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def inputs(self) -> Sequence[ObjectInfo]:
        return self.inventory.inputs


class Transform(Protocol):
    """The part of a run that engines differ in. Its methods are called in this order; ``write`` maybe twice."""

    def decode(self) -> tuple[Counts, set[int]]:
        """Decode the raw objects; returns the counts, and the dates (days since 1970) of the rows."""
        ...

    def write(self, existing: Sequence[ExistingFile]) -> Written:
        """Write the run's files outside of the table; ``existing`` are other partitions' files of the same dates."""
        ...

    def rejected(self) -> Iterator[pa.Table]:
        """What decoding rejected, in the order of delivery, as tables of REJECTED_SCHEMA."""
        ...


def execute_run(
    engine: str,
    open_transform: Callable[[RunContext], AbstractContextManager[Transform]],
    settings: Settings,
    partition: date,
    run_id: str,
    progress: Progress,
    *,
    accept_vanished_raw: bool,
) -> Manifest:
    """Run one partition and commit it; ``engine`` is its name in the manifest."""
    raw, lake = open_store(settings.raw_url), open_store(settings.lake_url, create=True)
    with Locks(lake, owner=run_id) as locks, scratch_folder(settings.scratch_dir) as folder:
        locks.acquire(f"partition={partition}")
        scope = _agree_on_scope(settings, lake, locks, partition)
        inventory = take_inventory(raw, partition, scope.grace_hours)
        inventory.log()
        if not accept_vanished_raw:
            refuse_vanished(read_manifest(lake, partition), inventory.inputs)
        context = RunContext(settings, raw, lake, scope, inventory, run_id, folder, progress)
        with open_transform(context) as transform:
            return _execute(context, engine, transform, locks)


def _agree_on_scope(settings: Settings, lake: Store, locks: Locks, partition: date) -> Scope:
    wanted = LakeSettings(grace_hours=settings.grace_hours, first_partition=settings.start_date)
    agreed = agree_on_lake_settings(lake, wanted, locks)
    if partition < agreed.first_partition:
        raise SettingsError(
            f"partition {partition} is before the lake's first partition, {agreed.first_partition}: to begin earlier, "
            f"set AUDIT_START_DATE={partition}"
        )
    return Scope(partition, agreed.grace_hours, agreed.first_partition, settings.max_object_text_bytes)


def _execute(context: RunContext, engine: str, transform: Transform, locks: Locks) -> Manifest:
    partition = context.scope.partition
    counts, days = transform.decode()
    existing = list_existing_files(context.lake, partition, days)
    written = _write_unlocked(transform, existing)
    earlier = paths_of_earlier_runs(context.lake, partition)
    _lock(locks, {day_of(day) for day in days} | {dt for path in earlier if (dt := dt_of(path))})
    existing_now = list_existing_files(context.lake, partition, days)
    if written is None or existing_now != existing:  # another partition committed under one of the dates meanwhile
        written = transform.write(existing_now)
    quarantine, quarantined_bytes, file = _quarantine(context, transform, written.dedup)
    # the commit puts the quarantine file first: a reader of the data files must find their events' bad entities there
    staged: dict[str, Staged] = {} if quarantine.path is None else {quarantine.path: file}
    outputs = [_describe(partition, file) for file in written.files]
    refuse_folded_sources(context.lake, partition, outputs)
    staged |= {output.path: file.staged for output, file in zip(outputs, written.files, strict=True)}
    manifest = _manifest(context, engine, counts, written.dedup, outputs, quarantine, quarantined_bytes)
    context.progress("commit", 0, len(staged))
    commit(context.lake, locks, manifest, staged, earlier)
    context.progress("commit", len(staged), len(staged))
    return manifest


def _write_unlocked(transform: Transform, existing: Sequence[ExistingFile]) -> Written | None:
    """None where another partition replaced one of its files while this one read it."""
    try:
        return transform.write(existing)
    except RawChangedError:
        return None


def _lock(locks: Locks, dates: Iterable[date]) -> None:
    for dt in sorted(dates):  # always in this order, so that two runs never wait for each other
        locks.acquire(f"dt={dt}", wait_seconds=_COMMIT_WAIT_SECONDS)


def _quarantine(context: RunContext, transform: Transform, dedup: DedupResult) -> tuple[QuarantineFile, int, Path]:
    """What the manifest says of the file, the bytes of the texts that became nothing, and the file."""
    file = context.folder / "quarantine.parquet"
    records = quarantine_records(context.raw, context.inputs, context.scope, transform.rejected(), dedup)
    quarantined = write_quarantine_file(records, file)
    if not quarantined.by_reason:
        return QuarantineFile(path=None, records=0, by_reason={}), 0, file
    written = QuarantineFile(
        path=quarantine_path(context.scope.partition),
        records=pq.read_metadata(file).num_rows,
        by_reason=dict(sorted(quarantined.by_reason.items())),
    )
    return written, quarantined.text_bytes, file


def _describe(partition: date, file: DataFile) -> OutputFile:
    day, source = file.table_partition
    return OutputFile(
        path=data_path(partition, day_of(day), source, file.number),
        dt=day_of(day),
        source=source,
        rows=file.rows,
        size=file.size,
        sha256=file.sha256,
        min_timestamp=moment_of(file.times.first),
        max_timestamp=moment_of(file.times.last),
    )


def _manifest(
    context: RunContext,
    engine: str,
    counts: Counts,
    dedup: DedupResult,
    outputs: Sequence[OutputFile],
    quarantine: QuarantineFile,
    quarantined_bytes: int,
) -> Manifest:
    partition = context.scope.partition
    return Manifest(
        partition=partition,
        run_id=context.run_id,
        code_version=__version__,
        engine=engine,
        started_at=context.started_at,
        finished_at=datetime.now(UTC),
        grace_hours=context.scope.grace_hours,
        inputs=[InputObject(info.key, info.size, info.e_tag) for info in context.inputs],
        objects=ObjectCounts(
            read=counts.objects,
            unreadable=counts.unreadable,
            skipped=len(context.inventory.skipped),
            strays=len(context.inventory.strays),
        ),
        text_bytes=TextBytes(read=counts.text_bytes, quarantined=quarantined_bytes),
        unreadable_bytes=counts.unreadable_bytes,
        events=EventCounts(
            read=counts.read,
            kept=dedup.kept,
            duplicate=len(dedup.duplicates),
            deferred=counts.deferred,
            quarantined=counts.quarantined + dedup.empty + len(dedup.conflicts),
        ),
        rows=dedup.rows,
        late_rows=sum(output.rows for output in outputs if output.dt != partition),
        quarantined_records=sum(quarantine.by_reason.values()),
        outputs=list(outputs),
        quarantine=quarantine,
    )
