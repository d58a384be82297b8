"""The embedded engine: a run of one partition on this machine, in bounded memory.

Raw objects are decoded to sorted runs on disk; what stands already is found by the events' keys; then each (dt,
source) is merged, each event once, into Parquet files on disk.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from typing import Final

import pyarrow as pa

from audit_pipeline.engines.decoding import Share, Spilled, spill_all
from audit_pipeline.engines.engine import Progress
from audit_pipeline.engines.run import Run, run
from audit_pipeline.engines.spill import read_tables
from audit_pipeline.engines.standing import StandingFile
from audit_pipeline.engines.writing import PlacedFile, Written, write_places
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.transform.decode import Counts
from audit_pipeline.transform.duplicates import Tally

__all__ = ["LocalEngine"]

#: MiB that a process takes before it holds any data.
_PROCESS_MB: Final = 160
#: MiB that the writing of one place takes.
_WRITER_MB: Final = 320


class LocalEngine:
    """In this process, and in worker processes where a day is large: an :class:`audit_pipeline.engines.Engine`."""

    def run(
        self, settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool
    ) -> Manifest:
        return run(
            "local",
            lambda one: nullcontext(_LocalTransform(one)),
            *(settings, partition, run_id, progress),
            accept_vanished_raw=accept_vanished_raw,
        )


class _LocalTransform:
    def __init__(self, one: Run) -> None:
        self._run = one
        self._spilled = Spilled()

    def decode(self) -> tuple[Counts, set[int]]:
        settings, inputs = self._run.settings, self._run.inputs
        workers = max(1, min(settings.workers, settings.memory_mb // (2 * _PROCESS_MB)))
        for_data = settings.memory_mb / workers - _PROCESS_MB
        whole = Share(
            raw_url=settings.raw_url,
            scope=self._run.scope,
            objects=inputs,
            first_number=1,
            folder=self._run.folder,
            batch_bytes=int(max(8, min(64, for_data / 6))) << 20,
        )
        done = 0
        self._run.progress("decode", 0, len(inputs))
        for objects, spilled in spill_all(whole, workers):
            self._spilled += spilled
            done += objects
            self._run.progress("decode", done, len(inputs))
        return self._spilled.counts, {day for run_file in self._spilled.runs for day, _ in run_file.pieces}

    def write(self, standing: Sequence[StandingFile]) -> Written:
        settings = self._run.settings
        files: list[PlacedFile] = []
        tallies: list[Tally] = []
        for places, written in write_places(
            self._spilled,
            self._run.lake,
            standing,
            self._run.folder,
            threads=max(1, min(settings.workers, settings.memory_mb // _WRITER_MB)),
            key_memory=(settings.memory_mb << 20) // 2,
        ):
            files += written.files
            tallies.append(written.tally)
            self._run.progress("write", len(tallies), places)
        return Written(files, Tally.total(tallies))

    def rejected(self) -> Iterator[pa.Table]:
        for file in self._spilled.rejected:
            yield from read_tables(file)
