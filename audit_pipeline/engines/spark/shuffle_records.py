"""What passes between Spark's tasks: few large records, whose payload is a table of rows, keys or rejected documents.

Spark moves, keeps and sorts the records; it never looks into their payload, which is in Arrow's format. A record for
each row of the log would be written out and read in by the JVM at every step, for nothing. But the JVM has a record in
memory many times over: where a payload is large, of an object that cannot be read or of a change of many megabytes, it
is split into several records, its parts.
"""

import itertools
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa

__all__ = ["OUTCOME", "SHUFFLE_RECORD", "Kind", "ShuffleRecord", "join_parts", "outcome", "outcomes_of", "read_table"]


class Kind(IntEnum):
    """What a record holds: a sorted batch of rows of one table partition, keys of the run's events, rejected documents,
    keys of other partitions' files, or the outcome of a task.
    """

    ROWS = 1
    KEYS = 2
    REJECTED = 3
    EXISTING_KEYS = 4
    OUTCOME = 5


#: Spark's schema of a :class:`ShuffleRecord`.
SHUFFLE_RECORD: Final = (
    "kind tinyint, number bigint, source string, times array<bigint>, first_id string, "
    "rows bigint, size bigint, batch bigint, part int, payload binary"
)
#: Spark's schema of the outcome of a task: any object, pickled.
OUTCOME: Final = "payload binary"

_ARROW: Final = pa.schema(
    [
        ("kind", pa.int8()),
        ("number", pa.int64()),
        ("source", pa.string()),
        ("times", pa.list_(pa.int64())),
        ("first_id", pa.string()),
        ("rows", pa.int64()),
        ("size", pa.int64()),
        ("batch", pa.int64()),
        ("part", pa.int32()),
        ("payload", pa.binary()),
    ]
)
_ARROW_OUTCOME: Final = pa.schema([("payload", pa.binary())])
#: It costs next to nothing, and saves half of what is written, sent and read back.
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class ShuffleRecord:
    """A table on its way between tasks, or a part of one.

    ``number`` is the day (since 1970) of rows, or the bucket of keys. ``rows`` counts the table's rows, ``size`` its
    bytes in memory. ``batch`` numbers the batches of rows and of rejected documents: it is the same in all parts of
    one, and in no other; ``part`` counts from 0. ``times`` (ms, see
    :class:`audit_pipeline.engines.spark.cutting.Extent`) and ``first_id`` are those of rows.
    """

    kind: Kind
    number: int
    payload: bytes
    batch: int = 0
    part: int = 0
    rows: int = 0
    size: int = 0
    source: str | None = None
    times: Sequence[int] | None = None
    first_id: str | None = None

    @classmethod
    def of(cls, kind: Kind, number: int, table: pa.Table, **more: Any) -> "ShuffleRecord":
        return cls(kind, number, _table_bytes(table), rows=len(table), size=table.nbytes, **more)

    @classmethod
    def of_outcome(cls, value: object) -> "ShuffleRecord":
        """The outcome of a task, or the error that ended it."""
        return cls(Kind.OUTCOME, 0, pickle.dumps(value))

    def parts(self, size: int) -> Iterator["ShuffleRecord"]:
        """The record, its payload split into parts of ``size`` bytes; :func:`join_parts` joins them again."""
        for part, start in enumerate(range(0, len(self.payload), size)):
            yield replace(self, part=part, payload=self.payload[start : start + size])

    def to_arrow(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array([getattr(self, f.name)], f.type) for f in _ARROW], schema=_ARROW)


def join_parts(records: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Join consecutive records that differ in their last column only, the payload."""
    for key, parts in itertools.groupby(records, key=itemgetter(slice(-1))):
        first, *more = (record[-1] for record in parts)
        yield (*key, b"".join([first, *more]) if more else first)


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def read_table(payload: bytes | pa.Buffer) -> pa.Table:
    return pa.ipc.open_stream(payload).read_all()


def outcome(value: object) -> pa.RecordBatch:
    """A record of :data:`OUTCOME`: the outcome of a task, or the error that ended it."""
    return pa.RecordBatch.from_arrays([pa.array([pickle.dumps(value)], pa.binary())], schema=_ARROW_OUTCOME)


def outcomes_of(payloads: Iterable[bytes]) -> Iterator[Any]:
    """The outcomes of tasks; the error of a task that failed is raised here."""
    for payload in payloads:
        value = pickle.loads(payload)  # written by this program's own tasks
        if isinstance(value, Exception):
            raise value
        yield value
