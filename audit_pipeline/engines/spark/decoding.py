"""The first kind of task: raw objects through the kernel, to sorted batches of rows and of keys."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from audit_pipeline.engines.plan import InputSplit
from audit_pipeline.engines.spark.shuffle_records import Kind, ShuffleRecord
from audit_pipeline.engines.spill import cut_to_batches
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.store.objects import open_store
from audit_pipeline.transform.decode import decode_batches
from audit_pipeline.transform.decoded import Counts, Decoded, RawObject
from audit_pipeline.transform.duplicates import event_keys, hash_ids
from audit_pipeline.transform.merge import sort_by_partition
from audit_pipeline.transform.ownership import Scope

__all__ = ["Decoding", "key_records"]

#: The batches of a split are numbered from its first object's number, so that all are in the order of delivery.
_BATCH_SHIFT: Final = 32
#: Keys in a record.
_KEY_ROWS: Final = 1 << 16
#: Rows of a batch whose times show how its rows spread in time.
_TIMES: Final = 9


@dataclass(frozen=True, slots=True)
class Decoding:
    """Decodes input splits. Keys are divided among ``buckets`` by their Id: one task sees all events of an Id.

    A bucket is known by the number that brings it into a Spark partition of its own. ``batch_bytes`` is how much is
    decoded at a time, ``part_bytes`` the largest payload of a record.
    """

    raw_url: str
    scope: Scope
    splits: Sequence[InputSplit]
    buckets: Sequence[int]
    batch_bytes: int
    part_bytes: int

    def map_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The records of the splits with these numbers; after those of each split, its counts as an outcome."""
        for batch in batches:
            for number in batch["id"].to_pylist():
                for record in self._decode(self.splits[number]):
                    yield record.to_arrow()

    def _decode(self, split: InputSplit) -> Iterator[ShuffleRecord]:
        counts = Counts()
        numbers = itertools.count(split.first_number << _BATCH_SHIFT)
        try:
            raw = open_store(self.raw_url)
            fetched = enumerate(raw.get_many(split.objects), split.first_number)
            objects = (RawObject(info.key, number, data) for number, (info, data) in fetched)
            for decoded in decode_batches(objects, self.scope, self.batch_bytes):
                counts += decoded.counts
                yield from self._records_of(decoded, numbers)
        except AuditPipelineError as error:  # the store has retried already: Spark need not
            yield ShuffleRecord.of_outcome(error)
        else:
            yield ShuffleRecord.of_outcome(counts)

    def _records_of(self, decoded: Decoded, numbers: Iterator[int]) -> Iterator[ShuffleRecord]:
        if len(decoded.rows):
            rows = sort_by_partition(decoded.rows)
            for (day, source), batch in cut_to_batches(rows):
                columns = {"source": source, "times": _times(batch), "first_id": batch["Id"][0].as_py()}
                record = ShuffleRecord.of(Kind.ROWS, day, batch, batch=next(numbers), **columns)
                yield from record.parts(self.part_bytes)
            yield from key_records(Kind.KEYS, event_keys(rows), self.buckets)
        if len(decoded.rejected):
            record = ShuffleRecord.of(Kind.REJECTED, 0, decoded.rejected, batch=next(numbers))
            yield from record.parts(self.part_bytes)


def _times(batch: pa.Table) -> list[int]:
    """The times (ms) of rows at even distances, from the first to the last."""
    rows = np.linspace(0, len(batch) - 1, _TIMES).astype(np.int64)
    times: list[int] = batch["Timestamp"].take(pa.array(rows)).cast(pa.int64()).to_pylist()
    return times


def key_records(kind: Kind, keys: pa.Table, buckets: Sequence[int]) -> Iterator[ShuffleRecord]:
    """Keys (a table with a column ``Id``), divided among ``buckets`` by their Id."""
    hashes = hash_ids(keys["Id"]) % len(buckets) if len(buckets) > 1 else None
    for index, bucket in enumerate(buckets):
        chosen = keys if hashes is None else keys.filter(pa.array(hashes == index))
        for start in range(0, len(chosen), _KEY_ROWS):
            yield ShuffleRecord.of(kind, bucket, chosen.slice(start, _KEY_ROWS))
