"""Sorted rows to Parquet files. The same rows give the same bytes, in whatever blocks they come."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, ROW_SCHEMA

__all__ = ["FILE_GROUPS", "GROUP_BYTES", "GROUP_ROWS", "TimeRange", "write_quarantine", "write_rows"]

#: Rows in a row group, which is what a reader can skip: few enough that a look-up by entity skips nearly all of a day.
GROUP_ROWS: Final = 32_768
#: Bytes of text in a row group, where rows are large.
GROUP_BYTES: Final = 64 << 20
#: Row groups in a file: about 300 MB of Parquet for rows of the usual size.
FILE_GROUPS: Final = 64

#: Columns with few different values in a row group. For the others a dictionary would cost time and save nothing.
_DICTIONARY: Final = [
    "ActorName",
    "ActorType",
    "EntityType",
    "EntityParentType",
    "ChannelCode",
    "ChannelAccountCode",
    "Action",
    "EntityIndex",
    "EventType",
    "Account",
    "Region",
]
#: Columns whose least and greatest values help no reader.
_EVIDENCE: Final = ("Before", "After", "Context", "Extra")
#: Columns that look-ups filter by, and that are not sorted: min and max do not help there.
_BLOOM: Final = ["EntityId", "EntityParentId", "ActorName", "CorrelationId"]
_BLOOM_FALSE_POSITIVES: Final = 0.05
_SORTED_BY: Final = ("Timestamp", "Id", "EntityIndex")

_COMMON: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 1,
    "write_page_index": True,
    "write_page_checksum": True,
    "store_schema": False,
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The first and the last Timestamp (ms since 1970) of a file."""

    first: int
    last: int


def write_rows(blocks: Iterable[pa.Table], new_sink: Callable[[int], pa.NativeFile]) -> list[TimeRange]:
    """Write blocks of sorted rows; ``new_sink`` opens the file of a number, from 0. Without rows there is no file.

    Returns the first and last Timestamp of each file.
    """
    written: list[TimeRange] = []
    groups = _row_groups(blocks, ROW_SCHEMA)
    group = next(groups, None)
    while group is not None:
        first_time = _time(group, 0)
        with (
            new_sink(len(written)) as sink,
            pq.ParquetWriter(sink, ROW_SCHEMA, **_COMMON, **_row_options(len(group))) as writer,
        ):
            for _ in range(FILE_GROUPS):
                writer.write_table(group, row_group_size=len(group))
                last_time = _time(group, len(group) - 1)
                group = None  # free it before the next one is made: each is a good part of a run's memory
                group = next(groups, None)
                if group is None:
                    break
        written.append(TimeRange(first_time, last_time))
    return written


def write_quarantine(records: Iterable[pa.Table], sink: pa.NativeFile) -> None:
    """Write quarantine records in the order given; the bytes do not depend on how they are split into tables."""
    with pq.ParquetWriter(sink, QUARANTINE_SCHEMA, **_COMMON, use_dictionary=["Reason", "RawKey", "Source"]) as writer:
        for group in _row_groups(records, QUARANTINE_SCHEMA):
            writer.write_table(group, row_group_size=len(group))


def _row_options(first_group_rows: int) -> dict[str, Any]:
    # sized for the rows that there are: for ten rows, a filter for a full group would be most of the file
    bloom = {"ndv": first_group_rows, "fpp": _BLOOM_FALSE_POSITIVES}
    return {
        "use_dictionary": _DICTIONARY,
        "write_statistics": [name for name in ROW_SCHEMA.names if name not in _EVIDENCE],
        "bloom_filter_options": dict.fromkeys(_BLOOM, bloom),
        "sorting_columns": [pq.SortingColumn(ROW_SCHEMA.get_field_index(name)) for name in _SORTED_BY],
    }


def _row_groups(blocks: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables that each become one row group. Where they end depends on the rows alone, not on the blocks."""
    held: list[pa.Table] = []
    for block in blocks:
        rest = block.select(schema.names)
        while len(rest):
            room, is_full = _room(held, rest)
            held.append(rest.slice(0, room))
            rest = rest.slice(room)
            if is_full:
                group, held = _as_one(held, schema), []
                yield group
                del group
    if held:
        yield _as_one(held, schema)


def _room(held: Sequence[pa.Table], rest: pa.Table) -> tuple[int, bool]:
    """(how many rows of ``rest`` fit into the group of ``held``, whether it is full then)."""
    by_rows = GROUP_ROWS - sum(len(table) for table in held)
    # Arrow's own size is never less than that of the text, and costs nothing
    if sum(table.nbytes for table in held) + rest.nbytes < GROUP_BYTES:
        return min(by_rows, len(rest)), by_rows <= len(rest)
    sizes = np.cumsum(_text_bytes(rest)) + sum(int(_text_bytes(table).sum()) for table in held)
    by_bytes = int(np.searchsorted(sizes, GROUP_BYTES)) + 1
    room = min(by_rows, by_bytes)
    return min(room, len(rest)), room <= len(rest)


def _as_one(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks().cast(schema)


def _text_bytes(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    total = np.zeros(len(rows), np.int64)
    for column in rows.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            total += pc.fill_null(pc.binary_length(column), 0).to_numpy()
    return total


def _time(rows: pa.Table, index: int) -> int:
    milliseconds: int = rows["Timestamp"][index].value
    return milliseconds
