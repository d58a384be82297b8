"""The embedded engine: a run of one partition on this machine, in bounded memory.

Raw objects are decoded to sorted runs on disk; the events that other partitions' files hold too are found by their
keys; then each (dt, source) is merged, each event once, into Parquet files on disk.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from typing import Final

import pyarrow as pa

from audit_pipeline.engines.decoding import Spilled, SpillingDecoder
from audit_pipeline.engines.engine import Progress
from audit_pipeline.engines.existing_files import ExistingFile
from audit_pipeline.engines.run import RunContext, execute_run
from audit_pipeline.engines.spill import read_tables
from audit_pipeline.engines.writing import DataFile, Written, write_partitions
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.transform.decoded import Counts
from audit_pipeline.transform.duplicates import DedupResult

__all__ = ["LocalEngine"]

#: MiB that a process takes before it holds any data.
_PROCESS_MB: Final = 160
#: MiB that the writing of one table partition takes.
_WRITER_MB: Final = 320


class LocalEngine:
    """In this process, and in worker processes where a day is large: an :class:`audit_pipeline.engines.Engine`."""

    def run(
        self, settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool
    ) -> Manifest:
        return execute_run(
            "local",
            lambda context: nullcontext(_LocalTransform(context)),
            *(settings, partition, run_id, progress),
            accept_vanished_raw=accept_vanished_raw,
        )


class _LocalTransform:
    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._spilled = Spilled()

    def decode(self) -> tuple[Counts, set[int]]:
        settings, inputs = self._context.settings, self._context.inputs
        workers = max(1, min(settings.workers, settings.memory_mb // (2 * _PROCESS_MB)))
        for_data = settings.memory_mb / workers - _PROCESS_MB
        decoder = SpillingDecoder(
            raw_url=settings.raw_url,
            scope=self._context.scope,
            folder=self._context.folder,
            batch_bytes=int(max(8, min(64, for_data / 6))) << 20,
        )
        done = 0
        self._context.progress("decode", 0, len(inputs))
        for objects, spilled in decoder.decode(inputs, workers):
            self._spilled += spilled
            done += objects
            self._context.progress("decode", done, len(inputs))
        return self._spilled.counts, {day for run in self._spilled.runs for day, _ in run.batches}

    def write(self, existing: Sequence[ExistingFile]) -> Written:
        settings = self._context.settings
        files: list[DataFile] = []
        results: list[DedupResult] = []
        for total, written in write_partitions(
            self._spilled,
            self._context.lake,
            existing,
            self._context.folder,
            threads=max(1, min(settings.workers, settings.memory_mb // _WRITER_MB)),
            key_memory=(settings.memory_mb << 20) // 2,
        ):
            files += written.files
            results.append(written.dedup)
            self._context.progress("write", len(results), total)
        return Written(files, DedupResult.total(results))

    def rejected(self) -> Iterator[pa.Table]:
        for file in self._spilled.rejected:
            yield from read_tables(file)
