"""The driver of one run on Spark: three kinds of jobs, and what passes between them.

1. Decode: one task for each input split, by the kernel. Its records stay on the executors' disks.
2. Match: one task for each bucket of Ids finds the events that exist with another Timestamp too, and those that other
   partitions' files hold. Small, and the only step that compares events of different times.
3. Write: Spark brings the batches of each (dt, source), or of a part of its time, together, in order; the task merges
   them, each event once, and writes the files under a prefix outside of the table.
"""

import bisect
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as Spark's users write it

from audit_pipeline.engines.existing_files import ExistingFile
from audit_pipeline.engines.plan import split_inputs
from audit_pipeline.engines.run import RunContext, Transform
from audit_pipeline.engines.spark.cutting import Extent, Unit, cut, pack, partition_keys
from audit_pipeline.engines.spark.decoding import Decoding
from audit_pipeline.engines.spark.jobs import DEAD, Jobs, explained, open_jobs
from audit_pipeline.engines.spark.matching import ExistingKeys, Matched, Matching
from audit_pipeline.engines.spark.shuffle_records import (
    OUTCOME,
    SHUFFLE_RECORD,
    Kind,
    join_parts,
    outcomes_of,
    read_table,
)
from audit_pipeline.engines.spark.writing import Writing, WrittenUnit
from audit_pipeline.engines.spill import TablePartition
from audit_pipeline.engines.writing import DataFile, Written
from audit_pipeline.store.layout import tasks_prefix
from audit_pipeline.store.objects import Store
from audit_pipeline.transform.decoded import Counts
from audit_pipeline.transform.duplicates import DedupResult, EventKey

__all__ = ["open_transform"]

#: Bytes of raw objects in an input split; about ten times that is decoded.
_SPLIT_BYTES: Final = 16 << 20
#: Fewer are not worth a task.
_MIN_SPLIT_BYTES: Final = 256 << 10
#: Tasks for each core, where a day is small: so that one does not wait long for another.
_TASKS_PER_CORE: Final = 2
#: Bytes of raw objects whose keys one task matches: about half a million events.
_BUCKET_BYTES: Final = 64 << 20
#: Bytes of decoded rows that one task writes, unless a single file is larger.
_TASK_BYTES: Final = 256 << 20
#: Bytes of decoded rows that a task sorts at a time.
_BATCH_BYTES: Final = 32 << 20
#: The largest payload of a record, in bytes; most have less.
_PART_BYTES: Final = 4 << 20
#: Bytes of rejected documents that come to the driver at a time.
_REJECTED_BYTES: Final = 64 << 20
#: The plan of the write job, a row for each unit: columns, with Spark's types. The names differ from those of records.
_PLAN: Final = {
    "unit": "int",
    "task": "bigint",
    "unit_day": "bigint",
    "unit_source": "string",
    "start": "bigint",
    "end": "bigint",
}
#: Records that Spark hands to a task at a time; each is a MiB, where rows are of the usual size.
_RECORDS_PER_BATCH: Final = 8


@contextmanager
def open_transform(context: RunContext, session: Callable[[], SparkSession]) -> Iterator[Transform]:
    """The transform of a run; all that it leaves in the lake is the files that were committed."""
    with _emptied(context.lake, prefix := tasks_prefix(context.scope.partition)):
        if context.inputs:
            with _on_spark(context, session, f"{prefix}/{context.run_id}") as transform:
                yield transform
        else:
            yield _NothingToRead()


@contextmanager
def _on_spark(context: RunContext, session: Callable[[], SparkSession], prefix: str) -> Iterator[Transform]:
    with explained("start"):
        own = session().newSession()
        own.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", _RECORDS_PER_BATCH)
        own.conf.set("spark.sql.inMemoryColumnarStorage.compressed", False)
        # it would look at the kept records in a job of its own before each of ours, to plan what is planned already
        own.conf.set("spark.sql.adaptive.enabled", False)
    with open_jobs(own, context.run_id, context.progress) as jobs:
        transform = _SparkTransform(context, jobs, prefix)
        try:
            yield transform
        finally:
            transform.close()


@contextmanager
def _emptied(lake: Store, prefix: str) -> Iterator[None]:
    """Delete what is under ``prefix``: before, as killed runs may have left something there, and after."""
    lake.delete(info.key for info in lake.list(prefix))
    try:
        yield
    finally:
        lake.delete(info.key for info in lake.list(prefix))


class _NothingToRead:
    """The transform of a day without raw objects: no Spark is started for it."""

    def decode(self) -> tuple[Counts, set[int]]:
        return Counts(), set()

    def write(self, existing: Sequence[ExistingFile]) -> Written:
        return Written([], DedupResult.total([]))

    def rejected(self) -> Iterator[pa.Table]:
        return iter(())


class _SparkTransform:
    def __init__(self, context: RunContext, jobs: Jobs, prefix: str) -> None:
        self._context = context
        self._jobs = jobs
        self._spark = jobs.session
        self._prefix = prefix
        self._cores = self._spark.sparkContext.defaultParallelism
        self._bytes = sum(info.size for info in context.inputs)
        self._buckets = partition_keys(1 + self._bytes // _BUCKET_BYTES)
        self._extents: list[Extent] = []
        self._rejected_bytes = 0
        self._records = self._decoded().persist(StorageLevel.DISK_ONLY)

    def decode(self) -> tuple[Counts, set[int]]:
        columns = ("kind", "number", "source", "times", "rows", "size", "part")
        outcome = f"if(kind = {Kind.OUTCOME:d}, payload, null) AS payload"
        without_keys = self._records.where(f"kind != {Kind.KEYS:d} AND part = 0")
        records = self._jobs.collect("decode", without_keys.selectExpr(*columns, outcome))
        counts = Counts()
        for of_split in outcomes_of(row.payload for row in records if row.kind == Kind.OUTCOME):
            counts += of_split
        self._extents = [
            Extent((row.number, row.source), row.times, row.rows, row.size) for row in records if row.kind == Kind.ROWS
        ]
        self._rejected_bytes = sum(row.size for row in records if row.kind == Kind.REJECTED)
        return counts, {extent.table_partition[0] for extent in self._extents}

    def write(self, existing: Sequence[ExistingFile]) -> Written:
        if not self._extents:
            return Written([], DedupResult.total([]))
        units = cut(self._extents)
        table_partitions = {unit.table_partition for unit in units}
        files = [file for file in existing if file.table_partition in table_partitions]
        matched = self._match(files)
        writing = Writing(
            lake_url=self._context.settings.lake_url,
            prefix=self._prefix,
            scratch_dir=self._context.settings.scratch_dir,
            units=units,
            clashes=matched.clashes,
            existing=_by_unit(units, matched.existing),
            existing_files=files,
        )
        rows = self._jobs.collect("write", self._rows_by_task(units).mapInArrow(writing.map_batches, OUTCOME))
        written = sorted(outcomes_of(row.payload for row in rows), key=lambda unit: unit.number)
        return Written(list(_numbered(written)), DedupResult.total([unit.written.dedup for unit in written]))

    def rejected(self) -> Iterator[pa.Table]:
        if not self._rejected_bytes:
            return
        # batches are numbered in the order of delivery
        parts = self._of(Kind.REJECTED).select("batch", "part", "payload")
        parts = parts.repartitionByRange(1 + self._rejected_bytes // _REJECTED_BYTES, "batch", "part")
        rows = self._jobs.iterate("quarantine", parts.sortWithinPartitions("batch", "part"))
        for _, payload in join_parts((row.batch, bytes(row.payload)) for row in rows):
            yield read_table(payload)

    def close(self) -> None:
        with suppress(*DEAD):  # its disks are gone too
            self._records.unpersist()

    def _decoded(self) -> DataFrame:
        """The records of all raw objects."""
        for_cores = min(self._cores * _TASKS_PER_CORE, self._bytes // _MIN_SPLIT_BYTES)
        splits = split_inputs(self._context.inputs, max(1, for_cores, self._bytes // _SPLIT_BYTES))
        decoding = Decoding(
            raw_url=self._context.settings.raw_url,
            scope=self._context.scope,
            splits=splits,
            buckets=self._buckets,
            batch_bytes=_BATCH_BYTES,
            part_bytes=_PART_BYTES,
        )
        return self._tasks(len(splits)).mapInArrow(decoding.map_batches, SHUFFLE_RECORD)

    def _match(self, files: Sequence[ExistingFile]) -> Matched:
        keys = self._of(Kind.KEYS)
        if files:
            existing = ExistingKeys(self._context.settings.lake_url, files, self._buckets)
            keys = keys.union(self._tasks(len(files)).mapInArrow(existing.map_batches, SHUFFLE_RECORD))
        of_bucket = keys.select("number", "kind", "payload").repartition(len(self._buckets), "number")
        matching = Matching(self._context.settings.scratch_dir)
        matching_frame = of_bucket.select("kind", "payload").mapInArrow(matching.map_batches, OUTCOME)
        rows = self._jobs.collect("match", matching_frame)
        buckets = list(outcomes_of(row.payload for row in rows))
        existing_events: dict[EventKey, int] = {}
        for matched in buckets:
            existing_events |= matched.existing
        return Matched(np.concatenate([matched.clashes for matched in buckets]), existing_events)

    def _rows_by_task(self, units: Sequence[Unit]) -> DataFrame:
        """The batches of rows in the Spark partitions of their units' tasks, in order.

        A batch on the border of two units is in both.
        """
        size = sum(unit.size for unit in units)
        tasks = min(len(units), max(self._cores * _TASKS_PER_CORE, size // _TASK_BYTES))
        keys = partition_keys(tasks)
        rows = [
            dict(zip(_PLAN, (number, keys[task], *unit.table_partition, unit.start, unit.end), strict=True))
            for number, (unit, task) in enumerate(zip(units, pack(units, tasks), strict=True))
        ]
        # a frame of Python's rows would take Python tasks, in a job of its own
        schema = ", ".join(f"{name} {kind}" for name, kind in _PLAN.items())
        read = F.from_json(F.lit(json.dumps(rows)), f"array<struct<{schema}>>")
        plan = self._spark.range(1).select(F.inline(read))
        is_in_unit = F.expr(
            "number = unit_day AND source = unit_source AND times[0] < end AND element_at(times, -1) >= start"
        )
        return (
            self._of(Kind.ROWS)
            .join(F.broadcast(plan), is_in_unit)
            .selectExpr("task", "unit", "times[0] AS first_ms", "first_id", "batch", "part", "payload")
            .repartition(tasks, "task")
            .sortWithinPartitions("unit", "first_ms", "first_id", "batch", "part")
            .select("unit", "first_ms", "first_id", "batch", "payload")
        )

    def _of(self, kind: Kind) -> DataFrame:
        return self._records.where(f"kind = {kind:d}")

    def _tasks(self, count: int) -> DataFrame:
        """A frame of ``count`` Spark partitions, one row each: its number, ``id``."""
        return self._spark.range(0, count, 1, count)


def _numbered(written: Iterable[WrittenUnit]) -> Iterator[DataFile]:
    """The files of all units, numbered where a table partition has several."""
    of_partition: dict[TablePartition, list[DataFile]] = defaultdict(list)
    for unit in written:
        for file in unit.written.files:
            of_partition[file.table_partition].append(file)
    for files in of_partition.values():
        numbers = range(len(files)) if len(files) > 1 else [None]
        yield from (replace(file, number=number) for file, number in zip(files, numbers, strict=True))


def _by_unit(units: Sequence[Unit], existing: Mapping[EventKey, int]) -> dict[int, list[str]]:
    """By unit, the Ids of its events among ``existing`` (events with their Timestamps in ms)."""
    of_partition: dict[TablePartition, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        of_partition[unit.table_partition].append(number)
    ids: dict[int, list[str]] = defaultdict(list)
    for (day, source, event_id), ms in existing.items():
        numbers = of_partition[day, source]
        at = bisect.bisect_right(numbers, ms, key=lambda number: units[number].start)
        ids[numbers[at - 1]].append(event_id)
    return ids
