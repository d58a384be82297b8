"""What passes between Spark's tasks: few large records, each a table of rows, keys or rejected texts in Arrow's format.

Spark moves, keeps and sorts the records; it never looks into their payload. A row of its own for each row of the log
would be written out and read in by the JVM at every step, for nothing. But the JVM has a record in memory many times
over: where a payload is large, of an object that cannot be read or of a change of many megabytes, it goes in parts.
"""

import itertools
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa

__all__ = ["OUTCOME", "PIECE", "Kind", "Piece", "join_parts", "outcome", "outcomes_of", "read_table"]


class Kind(IntEnum):
    """What a piece holds: sorted rows of one place, keys of events, rejected texts, or the outcome of a task."""

    ROWS = 1
    KEYS = 2
    REJECTED = 3
    STANDING = 4
    OUTCOME = 5


#: Spark's schema of pieces. ``number`` is the day of rows, or the bucket of keys. ``times`` (ms) and ``first_id`` are
#: of rows: see :class:`audit_pipeline.engines.spark.cutting.Extent`. ``piece`` is the same in all parts of a piece of
#: rows or of rejected texts, and in no other; ``part`` is from 0.
PIECE: Final = (
    "kind tinyint, number bigint, source string, times array<bigint>, first_id string, "
    "rows bigint, size bigint, piece bigint, part int, payload binary"
)
#: Spark's schema of what a task has to tell: any object, pickled.
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
        ("piece", pa.int64()),
        ("part", pa.int32()),
        ("payload", pa.binary()),
    ]
)
_ARROW_OUTCOME: Final = pa.schema([("payload", pa.binary())])
#: It costs next to nothing, and saves half of what is written, sent and read back.
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class Piece:
    """A record of :data:`PIECE`; ``size`` is that of the table in memory, in bytes."""

    kind: Kind
    number: int
    payload: bytes
    piece: int = 0
    part: int = 0
    rows: int = 0
    size: int = 0
    source: str | None = None
    times: Sequence[int] | None = None
    first_id: str | None = None

    @classmethod
    def of(cls, kind: Kind, number: int, table: pa.Table, **more: Any) -> "Piece":
        return cls(kind, number, _table_bytes(table), rows=len(table), size=table.nbytes, **more)

    @classmethod
    def telling(cls, told: object) -> "Piece":
        """What a task has to tell."""
        return cls(Kind.OUTCOME, 0, pickle.dumps(told))

    def parts(self, size: int) -> Iterator["Piece"]:
        """The piece with its payload in parts of so many bytes; :func:`join_parts` puts them together."""
        for part, start in enumerate(range(0, len(self.payload), size)):
            yield replace(self, part=part, payload=self.payload[start : start + size])

    def batch(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array([getattr(self, f.name)], f.type) for f in _ARROW], schema=_ARROW)


def join_parts(records: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Records whose last column is the payload: such as follow each other and are the same but for it, as one."""
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


def outcome(told: object) -> pa.RecordBatch:
    """A record of :data:`OUTCOME`."""
    return pa.RecordBatch.from_arrays([pa.array([pickle.dumps(told)], pa.binary())], schema=_ARROW_OUTCOME)


def outcomes_of(payloads: Iterable[bytes]) -> Iterator[Any]:
    """What tasks told; an exception that one told is raised here. They are this program's own."""
    for payload in payloads:
        told = pickle.loads(payload)
        if isinstance(told, Exception):
            raise told
        yield told
