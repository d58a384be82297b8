"""The first kind of task: raw objects through the kernel, to sorted pieces of rows and of keys."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from audit_pipeline.engines.spark.pieces import Kind, Piece
from audit_pipeline.engines.spill import cut_to_pieces
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.store.objects import ObjectInfo, open_store
from audit_pipeline.transform.decode import Counts, Decoded, RawObject, decode_batches
from audit_pipeline.transform.duplicates import event_keys, hash_ids
from audit_pipeline.transform.merge import sort_by_place
from audit_pipeline.transform.ownership import Scope

__all__ = ["Decoding", "Share", "key_pieces"]

#: Pieces of a share are numbered from its first object's place: in the order of delivery, and no two the same.
_PIECES_SHIFT: Final = 32
#: Keys in a piece.
_KEY_ROWS: Final = 1 << 16
#: Times that tell how the rows of a piece lie in it.
_TIMES: Final = 9


@dataclass(frozen=True, slots=True)
class Share:
    """Consecutive raw objects, the work of one task; ``first_number`` is the first one's place among all."""

    objects: Sequence[ObjectInfo]
    first_number: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """Keys are shared out to ``buckets`` by their Id, so that all events of an Id come together in one task.

    A bucket is known by the number that brings it into a partition of its own. ``part_bytes``: of a piece's payload in
    one record.
    """

    raw_url: str
    scope: Scope
    shares: Sequence[Share]
    buckets: Sequence[int]
    batch_bytes: int
    part_bytes: int

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Everything that comes of the shares with these numbers; of each, at its end, its counts."""
        for batch in batches:
            for number in batch["id"].to_pylist():
                yield from self._decode(self.shares[number])

    def _decode(self, share: Share) -> Iterator[pa.RecordBatch]:
        counts = Counts()
        numbers = itertools.count(share.first_number << _PIECES_SHIFT)
        try:
            raw = open_store(self.raw_url)
            fetched = enumerate(raw.get_many(share.objects), share.first_number)
            objects = (RawObject(info.key, number, data) for number, (info, data) in fetched)
            for decoded in decode_batches(objects, self.scope, self.batch_bytes):
                counts += decoded.counts
                for piece in self._pieces_of(decoded, numbers):
                    yield piece.batch()
        except AuditPipelineError as error:  # the store has tried again already: Spark need not
            yield Piece.telling(error).batch()
        else:
            yield Piece.telling(counts).batch()

    def _pieces_of(self, decoded: Decoded, numbers: Iterator[int]) -> Iterator[Piece]:
        if len(decoded.rows):
            rows = sort_by_place(decoded.rows)
            for (day, source), piece in cut_to_pieces(rows):
                first_id = piece["Id"][0].as_py()
                more = {"source": source, "times": _times(piece), "first_id": first_id}
                yield from Piece.of(Kind.ROWS, day, piece, piece=next(numbers), **more).parts(self.part_bytes)
            yield from key_pieces(Kind.KEYS, event_keys(rows), self.buckets)
        if len(decoded.rejected):
            yield from Piece.of(Kind.REJECTED, 0, decoded.rejected, piece=next(numbers)).parts(self.part_bytes)


def _times(piece: pa.Table) -> list[int]:
    """Those of rows at even distances, from the first to the last (ms)."""
    rows = np.linspace(0, len(piece) - 1, _TIMES).astype(np.int64)
    times: list[int] = piece["Timestamp"].take(pa.array(rows)).cast(pa.int64()).to_pylist()
    return times


def key_pieces(kind: Kind, keys: pa.Table, buckets: Sequence[int]) -> Iterator[Piece]:
    """Keys (a table with a column ``Id``) in their buckets."""
    hashes = hash_ids(keys["Id"]) % len(buckets) if len(buckets) > 1 else None
    for place, bucket in enumerate(buckets):
        chosen = keys if hashes is None else keys.filter(pa.array(hashes == place))
        for start in range(0, len(chosen), _KEY_ROWS):
            yield Piece.of(kind, bucket, chosen.slice(start, _KEY_ROWS))
