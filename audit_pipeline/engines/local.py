"""The embedded engine: a run of one partition on this machine, in bounded memory.

Raw objects are decoded to sorted runs on disk; what stands already is found by the events' keys; then each (dt,
source) is merged, each event once, into Parquet files on disk, and those are committed. Only the commit, and the look
at other partitions' files before it, happen under the locks of the dates that are written.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from audit_pipeline import __version__
from audit_pipeline.engines.commit import commit, paths_of_earlier_runs
from audit_pipeline.engines.decoding import Share, Spilled, spill_all
from audit_pipeline.engines.plan import list_inputs, refuse_vanished
from audit_pipeline.engines.quarantining import quarantine_records, write_quarantine_file
from audit_pipeline.engines.spill import scratch_folder
from audit_pipeline.engines.standing import StandingFile, day_of, list_standing_files
from audit_pipeline.engines.writing import PlacedFile, Written, write_places
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
    read_manifest,
)
from audit_pipeline.store.objects import ObjectInfo, Store, open_store
from audit_pipeline.transform.duplicates import Tally
from audit_pipeline.transform.ownership import Scope

__all__ = ["Progress", "run"]

#: (what is being done, how many of it are done, how many there are)
Progress = Callable[[str, int, int], None]

#: How long a run waits for the commits of others that write under the same dates.
_COMMIT_WAIT_SECONDS: Final = 900
#: MiB that a process takes before it holds any data.
_PROCESS_MB: Final = 160
#: MiB that the writing of one place takes.
_WRITER_MB: Final = 320
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def run(settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool) -> Manifest:
    """Run one partition and commit it."""
    raw, lake = open_store(settings.raw_url), open_store(settings.lake_url, create=True)
    with Locks(lake, owner=run_id) as locks, scratch_folder(settings.scratch_dir) as folder:
        locks.acquire(f"partition={partition}")
        scope = _agree_on_scope(settings, lake, locks, partition)
        inputs = list_inputs(raw, partition, scope.grace_hours)
        if not accept_vanished_raw:
            refuse_vanished(read_manifest(lake, partition), inputs)
        return _Run(settings, raw, lake, locks, scope, run_id, folder, progress).execute(inputs)


def _agree_on_scope(settings: Settings, lake: Store, locks: Locks, partition: date) -> Scope:
    wanted = LakeSettings(grace_hours=settings.grace_hours, first_partition=settings.start_date)
    agreed = agree_on_lake_settings(lake, wanted, locks)
    if partition < agreed.first_partition:
        raise SettingsError(
            f"partition {partition} is before the first one of this lake, {agreed.first_partition}: set "
            f"AUDIT_START_DATE={partition} to begin earlier"
        )
    return Scope(partition, agreed.grace_hours, agreed.first_partition)


@dataclass
class _Run:
    settings: Settings
    raw: Store
    lake: Store
    locks: Locks
    scope: Scope
    run_id: str
    folder: Path
    progress: Progress
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def execute(self, inputs: Sequence[ObjectInfo]) -> Manifest:
        partition = self.scope.partition
        spilled = self._decode(inputs)
        days = {day for run_file in spilled.runs for day, _ in run_file.pieces}
        standing = list_standing_files(self.lake, partition, days)
        written = self._write_unlocked(spilled, standing)
        earlier = paths_of_earlier_runs(self.lake, partition)
        self._lock({day_of(day) for day in days} | {dt for path in earlier if (dt := dt_of(path))})
        standing_now = list_standing_files(self.lake, partition, days)
        if written is None or standing_now != standing:  # another partition committed under one of the dates meanwhile
            written = self._write(spilled, standing_now)
        staged, manifest = self._conclude(inputs, spilled, written)
        self.progress("commit", 0, len(staged))
        commit(self.lake, self.locks, manifest, staged, earlier)
        self.progress("commit", len(staged), len(staged))
        return manifest

    def _lock(self, dates: set[date]) -> None:
        for dt in sorted(dates):  # in one order, so that no two runs wait for each other
            self.locks.acquire(f"dt={dt}", wait_seconds=_COMMIT_WAIT_SECONDS)

    def _decode(self, inputs: Sequence[ObjectInfo]) -> Spilled:
        workers = max(1, min(self.settings.workers, self.settings.memory_mb // (2 * _PROCESS_MB)))
        for_data = self.settings.memory_mb / workers - _PROCESS_MB
        whole = Share(
            raw_url=self.settings.raw_url,
            scope=self.scope,
            objects=inputs,
            first_number=1,
            folder=self.folder,
            batch_bytes=int(max(8, min(64, for_data / 6))) << 20,
        )
        total, done = Spilled(), 0
        self.progress("decode", 0, len(inputs))
        for objects, spilled in spill_all(whole, workers):
            total += spilled
            done += objects
            self.progress("decode", done, len(inputs))
        return total

    def _write_unlocked(self, spilled: Spilled, standing: Sequence[StandingFile]) -> Written | None:
        """None where another partition replaced one of its files while it was read."""
        try:
            return self._write(spilled, standing)
        except RawChangedError:
            return None

    def _write(self, spilled: Spilled, standing: Sequence[StandingFile]) -> Written:
        files: list[PlacedFile] = []
        tallies: list[Tally] = []
        for places, written in write_places(
            spilled,
            self.lake,
            standing,
            self.folder,
            threads=max(1, min(self.settings.workers, self.settings.memory_mb // _WRITER_MB)),
            key_memory=(self.settings.memory_mb << 20) // 2,
        ):
            files += written.files
            tallies.append(written.tally)
            self.progress("write", len(tallies), places)
        return Written(files, Tally.total(tallies))

    def _conclude(
        self, inputs: Sequence[ObjectInfo], spilled: Spilled, written: Written
    ) -> tuple[dict[str, Path], Manifest]:
        """The files to commit (path in the lake: local file) and the record of the run."""
        partition, counts, tally = self.scope.partition, spilled.counts, written.tally
        outputs = [self._describe(file) for file in written.files]
        quarantine = self._quarantine(inputs, spilled, tally)
        # in the order of the commit: who sees an event of a data file must find its bad entities in quarantine too
        staged = {} if quarantine.path is None else {quarantine.path: self._quarantine_file}
        staged |= {output.path: file.path for output, file in zip(outputs, written.files, strict=True)}
        manifest = Manifest(
            partition=partition,
            run_id=self.run_id,
            code_version=__version__,
            engine="local",
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            grace_hours=self.scope.grace_hours,
            inputs=[InputObject(info.key, info.size, info.e_tag) for info in inputs],
            objects=ObjectCounts(read=counts.objects, unreadable=counts.unreadable),
            events=EventCounts(
                read=counts.read,
                kept=tally.kept,
                duplicate=len(tally.duplicates),
                deferred=counts.deferred,
                quarantined=counts.quarantined + tally.empty + len(tally.conflicts),
            ),
            rows=tally.rows,
            late_rows=sum(output.rows for output in outputs if output.dt != partition),
            quarantined_records=sum(quarantine.by_reason.values()),
            outputs=outputs,
            quarantine=quarantine,
        )
        return staged, manifest

    def _describe(self, file: PlacedFile) -> OutputFile:
        day, source = file.place
        return OutputFile(
            path=data_path(self.scope.partition, day_of(day), source, file.number),
            dt=day_of(day),
            source=source,
            rows=pq.read_metadata(file.path).num_rows,
            size=file.path.stat().st_size,
            sha256=_sha256(file.path),
            min_timestamp=_EPOCH + timedelta(milliseconds=file.times.first),
            max_timestamp=_EPOCH + timedelta(milliseconds=file.times.last),
        )

    @property
    def _quarantine_file(self) -> Path:
        return self.folder / "quarantine.parquet"

    def _quarantine(self, inputs: Sequence[ObjectInfo], spilled: Spilled, tally: Tally) -> QuarantineFile:
        records = quarantine_records(self.raw, inputs, self.scope, spilled.rejected, tally)
        by_reason = write_quarantine_file(records, self._quarantine_file)
        if not by_reason:
            return QuarantineFile(path=None, records=0, by_reason={})
        return QuarantineFile(
            path=quarantine_path(self.scope.partition),
            records=pq.read_metadata(self._quarantine_file).num_rows,
            by_reason=dict(sorted(by_reason.items())),
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
