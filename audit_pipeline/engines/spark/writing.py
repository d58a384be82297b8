"""The third kind of task: the batches of some units, merged, each event once, into finished files."""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext

from audit_pipeline.engines.existing_files import ExistingFile, existing_runs
from audit_pipeline.engines.spark.cutting import Unit
from audit_pipeline.engines.spark.shuffle_records import join_parts, outcome, read_table
from audit_pipeline.engines.spill import scratch_folder
from audit_pipeline.engines.writing import DataFile, Written, write_blocks
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.store.objects import Store, open_store
from audit_pipeline.transform.duplicates import Sequences
from audit_pipeline.transform.merge import SortedBatch, batches_of, merge_batches

__all__ = ["Writing", "WrittenUnit"]

#: (unit, first time in ms, first Id, batch number, payload) of a batch of rows, as Spark has sorted them.
_Record = tuple[int, int, str, int, bytes | pa.Buffer]


@dataclass(frozen=True, slots=True)
class WrittenUnit:
    number: int
    written: Written


@dataclass(frozen=True, slots=True)
class Writing:
    """Writes units. ``existing`` are, by unit, the Ids of its events that ``existing_files`` hold too.

    Files are put under ``prefix`` with the attempt's number in their names, so that no two attempts share one. The
    files of an attempt that reported no outcome are never read, and the driver deletes the prefix at the end.
    """

    lake_url: str
    prefix: str
    scratch_dir: Path | None
    units: Sequence[Unit]
    clashes: Sequences
    existing: Mapping[int, Sequence[str]]
    existing_files: Sequence[ExistingFile]

    def map_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The outcomes of the units of one task: a :class:`WrittenUnit` each, or the error that ended it."""
        try:
            lake = open_store(self.lake_url, create=True)
            with scratch_folder(self.scratch_dir) as folder:
                for number, records in itertools.groupby(join_parts(_records(batches)), key=itemgetter(0)):
                    yield outcome(WrittenUnit(number, self._write(lake, number, records, folder)))
        except AuditPipelineError as error:
            yield outcome(error)

    def _write(self, lake: Store, number: int, records: Iterable[_Record], folder: Path) -> Written:
        unit = self.units[number]
        streams: list[Iterator[SortedBatch]] = [_sorted_batches(records, unit)]
        if ids := self.existing.get(number):
            streams += map(batches_of, existing_runs(lake, self.existing_files, unit.table_partition, ids))
        blocks = merge_batches(heapq.merge(*streams, key=itemgetter(0)))
        written = write_blocks(unit.table_partition, blocks, self.clashes, folder / f"{number:06}")
        return Written([self._put(lake, file) for file in written.files], written.dedup)

    def _put(self, lake: Store, file: DataFile) -> DataFile:
        assert isinstance(file.staged, Path)
        context: Any = TaskContext.get()
        key = f"{self.prefix}/{context.taskAttemptId()}-{file.staged.name}"
        lake.put(key, file.staged)
        file.staged.unlink()
        return replace(file, staged=key)


def _records(batches: Iterable[pa.RecordBatch]) -> Iterator[_Record]:
    for batch in batches:
        columns = (batch[name].to_pylist() for name in ("unit", "first_ms", "first_id", "batch"))
        yield from zip(*columns, (payload.as_buffer() for payload in batch["payload"]), strict=True)


def _sorted_batches(records: Iterable[_Record], unit: Unit) -> Iterator[SortedBatch]:
    for _, first_ms, first_id, _, payload in records:
        yield (first_ms, first_id), partial(_read, payload, unit)


def _read(payload: bytes | pa.Buffer, unit: Unit) -> pa.Table:
    """The rows of a batch that belong to the unit."""
    rows = read_table(payload)
    times = rows["Timestamp"].to_numpy().view(np.int64)
    first, end = np.searchsorted(times, (unit.start, unit.end)).tolist()
    return rows.slice(first, end - first)
