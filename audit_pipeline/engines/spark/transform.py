"""The driver of one run on Spark: three kinds of jobs, and what passes between them.

1. Decode: one task for some raw objects, by the kernel. The pieces that come of it stay on the executors' disks.
2. Match: one task for a bucket of Ids finds the events that stand already with another time, and those that stand in
   other partitions' files. Small, and the only step that looks at events of different times together.
3. Write: Spark brings the pieces of each (dt, source), or of a part of its time, together, in order; the task merges
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

from audit_pipeline.engines.plan import share_out
from audit_pipeline.engines.run import Run, Transform
from audit_pipeline.engines.spark.cutting import Extent, Unit, cut, pack, partition_keys
from audit_pipeline.engines.spark.decoding import Decoding, Share
from audit_pipeline.engines.spark.jobs import DEAD, Jobs, explained, open_jobs
from audit_pipeline.engines.spark.matching import Matched, Matching, StandingKeys
from audit_pipeline.engines.spark.pieces import OUTCOME, PIECE, Kind, join_parts, outcomes_of, read_table
from audit_pipeline.engines.spark.writing import Writing, WrittenUnit
from audit_pipeline.engines.spill import Place
from audit_pipeline.engines.standing import StandingFile
from audit_pipeline.engines.writing import PlacedFile, Written
from audit_pipeline.store.layout import tasks_prefix
from audit_pipeline.store.objects import Store
from audit_pipeline.transform.decode import Counts
from audit_pipeline.transform.duplicates import EventKey, Tally

__all__ = ["open_transform"]

#: Bytes of raw objects in a task that decodes; about ten times that is decoded.
_SHARE_BYTES: Final = 16 << 20
#: Fewer are not worth a task.
_LEAST_SHARE_BYTES: Final = 256 << 10
#: Tasks for each core, where a day is small: so that one does not wait long for another.
_TASKS_PER_CORE: Final = 2
#: Bytes of raw objects whose keys one task matches: about half a million events.
_BUCKET_BYTES: Final = 64 << 20
#: Bytes of decoded rows that one task writes, unless a single file is larger.
_TASK_BYTES: Final = 256 << 20
#: Bytes of decoded rows that a task sorts at a time.
_BATCH_BYTES: Final = 32 << 20
#: Bytes of a piece's payload in one record; most have less.
_PART_BYTES: Final = 4 << 20
#: Bytes of rejected texts that come to the driver at a time.
_REJECTED_BYTES: Final = 64 << 20
#: Where a unit is written, and what of: columns, with Spark's types.
_PLAN: Final = {
    "unit": "int",
    "task": "bigint",
    "day": "bigint",
    "place": "string",
    "start": "bigint",
    "end": "bigint",
}
#: Pieces that Spark hands to a task at a time; each is a MiB, where rows are of the usual size.
_PIECES_PER_BATCH: Final = 8


@contextmanager
def open_transform(one: Run, session: Callable[[], SparkSession]) -> Iterator[Transform]:
    """The transform of a run, which leaves nothing behind but the files that were committed."""
    with _emptied(one.lake, prefix := tasks_prefix(one.scope.partition)):
        if one.inputs:
            with _on_spark(one, session, f"{prefix}/{one.run_id}") as transform:
                yield transform
        else:
            yield _NothingToRead()


@contextmanager
def _on_spark(one: Run, session: Callable[[], SparkSession], prefix: str) -> Iterator[Transform]:
    with explained("start"):
        own = session().newSession()
        own.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", _PIECES_PER_BATCH)
        own.conf.set("spark.sql.inMemoryColumnarStorage.compressed", False)
        # it would look at the kept pieces in a job of its own before each of ours, to plan what is planned already
        own.conf.set("spark.sql.adaptive.enabled", False)
    with open_jobs(own, one.run_id, one.progress) as jobs:
        transform = _SparkTransform(one, jobs, prefix)
        try:
            yield transform
        finally:
            transform.close()


@contextmanager
def _emptied(lake: Store, prefix: str) -> Iterator[None]:
    """Before, of what runs left that were killed; and after."""
    lake.delete(info.key for info in lake.list(prefix))
    try:
        yield
    finally:
        lake.delete(info.key for info in lake.list(prefix))


class _NothingToRead:
    """The transform of a day without raw objects: no Spark is started for it."""

    def decode(self) -> tuple[Counts, set[int]]:
        return Counts(), set()

    def write(self, standing: Sequence[StandingFile]) -> Written:
        return Written([], Tally.total([]))

    def rejected(self) -> Iterator[pa.Table]:
        return iter(())


class _SparkTransform:
    def __init__(self, one: Run, jobs: Jobs, prefix: str) -> None:
        self._run = one
        self._jobs = jobs
        self._spark = jobs.session
        self._prefix = prefix
        self._cores = self._spark.sparkContext.defaultParallelism
        self._bytes = sum(info.size for info in one.inputs)
        self._buckets = partition_keys(1 + self._bytes // _BUCKET_BYTES)
        self._extents: list[Extent] = []
        self._rejected_bytes = 0
        self._pieces = self._decoded().persist(StorageLevel.DISK_ONLY)

    def decode(self) -> tuple[Counts, set[int]]:
        known = ("kind", "number", "source", "times", "rows", "size", "part")
        told = f"if(kind = {Kind.OUTCOME:d}, payload, null) AS payload"
        pieces = self._pieces.where(f"kind != {Kind.KEYS:d} AND part = 0")
        found = self._jobs.collect("decode", pieces.selectExpr(*known, told))
        counts = Counts()
        for of_share in outcomes_of(row.payload for row in found if row.kind == Kind.OUTCOME):
            counts += of_share
        self._extents = [
            Extent((row.number, row.source), row.times, row.rows, row.size) for row in found if row.kind == Kind.ROWS
        ]
        self._rejected_bytes = sum(row.size for row in found if row.kind == Kind.REJECTED)
        return counts, {extent.place[0] for extent in self._extents}

    def write(self, standing: Sequence[StandingFile]) -> Written:
        if not self._extents:
            return Written([], Tally.total([]))
        units = cut(self._extents)
        places = {unit.place for unit in units}
        files = [file for file in standing if file.place in places]
        matched = self._match(files)
        writing = Writing(
            lake_url=self._run.settings.lake_url,
            prefix=self._prefix,
            scratch_dir=self._run.settings.scratch_dir,
            units=units,
            clashes=matched.clashes,
            standing=_by_unit(units, matched.standing),
            standing_files=files,
        )
        told = self._jobs.collect("write", self._placed(units).mapInArrow(writing.run, OUTCOME))
        written = sorted(outcomes_of(row.payload for row in told), key=lambda unit: unit.number)
        return Written(list(_numbered(written)), Tally.total([unit.written.tally for unit in written]))

    def rejected(self) -> Iterator[pa.Table]:
        if not self._rejected_bytes:
            return
        # pieces follow the order of the objects, as their numbers do
        parts = self._of(Kind.REJECTED).select("piece", "part", "payload")
        parts = parts.repartitionByRange(1 + self._rejected_bytes // _REJECTED_BYTES, "piece", "part")
        rows = self._jobs.iterate("quarantine", parts.sortWithinPartitions("piece", "part"))
        for _, payload in join_parts((row.piece, bytes(row.payload)) for row in rows):
            yield read_table(payload)

    def close(self) -> None:
        with suppress(*DEAD):  # its disks are gone too
            self._pieces.unpersist()

    def _decoded(self) -> DataFrame:
        """The pieces of all raw objects."""
        for_cores = min(self._cores * _TASKS_PER_CORE, self._bytes // _LEAST_SHARE_BYTES)
        wanted = max(1, for_cores, self._bytes // _SHARE_BYTES)
        shares: list[Share] = []
        number = 1
        for objects in share_out(self._run.inputs, wanted):
            shares.append(Share(objects, number))
            number += len(objects)
        decoding = Decoding(
            raw_url=self._run.settings.raw_url,
            scope=self._run.scope,
            shares=shares,
            buckets=self._buckets,
            batch_bytes=_BATCH_BYTES,
            part_bytes=_PART_BYTES,
        )
        return self._tasks(len(shares)).mapInArrow(decoding.run, PIECE)

    def _match(self, files: Sequence[StandingFile]) -> Matched:
        keys = self._of(Kind.KEYS)
        if files:
            standing = StandingKeys(self._run.settings.lake_url, files, self._buckets)
            keys = keys.union(self._tasks(len(files)).mapInArrow(standing.run, PIECE))
        of_bucket = keys.select("number", "kind", "payload").repartition(len(self._buckets), "number")
        matching = Matching(self._run.settings.scratch_dir)
        told = self._jobs.collect("match", of_bucket.select("kind", "payload").mapInArrow(matching.run, OUTCOME))
        matched = list(outcomes_of(row.payload for row in told))
        standing_events: dict[EventKey, int] = {}
        for one in matched:
            standing_events |= one.standing
        return Matched(np.concatenate([one.clashes for one in matched]), standing_events)

    def _placed(self, units: Sequence[Unit]) -> DataFrame:
        """The pieces of rows in the partitions of their units' tasks, in order; a piece on a border is in both."""
        size = sum(unit.size for unit in units)
        tasks = min(len(units), max(self._cores * _TASKS_PER_CORE, size // _TASK_BYTES))
        keys = partition_keys(tasks)
        places = [
            dict(zip(_PLAN, (number, keys[task], *unit.place, unit.start, unit.end), strict=True))
            for number, (unit, task) in enumerate(zip(units, pack(units, tasks), strict=True))
        ]
        # a frame of Python's rows would take Python tasks, in a job of its own
        schema = ", ".join(f"{name} {kind}" for name, kind in _PLAN.items())
        read = F.from_json(F.lit(json.dumps(places)), f"array<struct<{schema}>>")
        plan = self._spark.range(1).select(F.inline(read))
        is_in_unit = F.expr("number = day AND source = place AND times[0] < end AND element_at(times, -1) >= start")
        return (
            self._of(Kind.ROWS)
            .join(F.broadcast(plan), is_in_unit)
            .selectExpr("task", "unit", "times[0] AS first_ms", "first_id", "piece", "part", "payload")
            .repartition(tasks, "task")
            .sortWithinPartitions("unit", "first_ms", "first_id", "piece", "part")
            .select("unit", "first_ms", "first_id", "piece", "payload")
        )

    def _of(self, kind: Kind) -> DataFrame:
        return self._pieces.where(f"kind = {kind:d}")

    def _tasks(self, count: int) -> DataFrame:
        """One row, its number, for each of ``count`` tasks."""
        return self._spark.range(0, count, 1, count)


def _numbered(written: Iterable[WrittenUnit]) -> Iterator[PlacedFile]:
    """The files of all units, numbered where a place has several."""
    of_place: dict[Place, list[PlacedFile]] = defaultdict(list)
    for unit in written:
        for file in unit.written.files:
            of_place[file.place].append(file)
    for files in of_place.values():
        numbers = range(len(files)) if len(files) > 1 else [None]
        yield from (replace(file, number=number) for file, number in zip(files, numbers, strict=True))


def _by_unit(units: Sequence[Unit], standing: Mapping[EventKey, int]) -> dict[int, list[str]]:
    """By unit the Ids of its events among ``standing``."""
    of_place: dict[Place, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        of_place[unit.place].append(number)
    ids: dict[int, list[str]] = defaultdict(list)
    for (day, source, event_id), ms in standing.items():
        numbers = of_place[day, source]
        at = bisect.bisect_right(numbers, ms, key=lambda number: units[number].start)
        ids[numbers[at - 1]].append(event_id)
    return ids
