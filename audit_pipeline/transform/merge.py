"""Merges sorted runs of rows into one sorted stream, in bounded memory."""

import bisect
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.epoch import DAY_MS

__all__ = ["Key", "SortedBatch", "SortedRun", "batches_of", "merge", "merge_batches", "sort_by_partition"]

#: (Timestamp in ms, Id): the key of an event in a stream of one (dt, source).
Key = tuple[int, str]

#: Sorted rows of one (dt, source): a lower bound of their keys, and a function that reads them.
SortedBatch = tuple[Key, Callable[[], pa.Table]]

#: A block of the stream has at least so many rows or, where rows are large, bytes; the last may have fewer.
_BLOCK_ROWS: Final = 8192
_BLOCK_BYTES: Final = 8 << 20

_ROW_ORDER: Final = [(name, "ascending") for name in ("Timestamp", "Id", "sequence", "EntityIndex")]


class SortedRun(Protocol):
    """Rows of one (dt, source), sorted, in batches that can be read one by one."""

    @property
    def first_keys(self) -> Sequence[Key]:
        """A lower bound of the keys of each batch, in order."""

    def read(self, batch: int) -> pa.Table: ...


def sort_rows(rows: pa.Table) -> pa.Table:
    """Rows sorted by (Timestamp, Id), as in the files; copies of an event are in the order of their delivery.

    ``take`` works on the chunks, a column at a time: combining all of them first would take their memory twice.
    """
    keys = rows.select([name for name, _ in _ROW_ORDER]).combine_chunks()
    return rows.take(pc.sort_indices(keys, sort_keys=_ROW_ORDER))


def sort_by_partition(rows: pa.Table) -> pa.Table:
    """Rows sorted by (dt, source), and within each by (Timestamp, Id) and the order of delivery."""
    sources = rows["source"].combine_chunks().dictionary_encode()
    days, times = rows["dt"].to_numpy(), rows["Timestamp"].to_numpy().view(np.int64)
    # dt, source and time in one number: comparing it costs a fraction of comparing a date, a text and a time. The time
    # within a day has 27 bits, and that leaves room for more partitions than a run can hold rows of.
    partition = (days.astype(np.int64) - days.min(initial=0)) * len(sources.dictionary) + sources.indices.to_numpy()
    rank = pa.array(partition * DAY_MS + times % DAY_MS)
    keys = rows.select(["Id", "sequence", "EntityIndex"]).append_column("rank", rank).combine_chunks()
    return rows.take(pc.sort_indices(keys, sort_keys=[("rank", "ascending"), *_ROW_ORDER[1:]]))


def merge(runs: Iterable[SortedRun]) -> Iterator[pa.Table]:
    """Blocks of rows, sorted. Rows with the same Timestamp and Id are always in the same block.

    Only batches whose times overlap are in memory together; runs follow the delivery hours, so that these are few.
    """
    return merge_batches(heapq.merge(*map(batches_of, runs), key=itemgetter(0)))


def batches_of(run: SortedRun) -> Iterator[SortedBatch]:
    """The batches of a run, in order."""
    for number, first_key in enumerate(run.first_keys):
        yield first_key, partial(run.read, number)


def merge_batches(batches: Iterator[SortedBatch]) -> Iterator[pa.Table]:
    """Blocks of rows, sorted, from batches of any number of runs in the order of their keys; see :func:`merge`."""
    upcoming = next(batches, None)
    waiting: list[pa.Table] = []
    held, enough = 0.0, 1.0
    while upcoming is not None:
        (_, read), upcoming = upcoming, next(batches, None)
        rows = read()
        if len(rows):
            waiting.append(rows)
            held += _blocks(rows)
        if upcoming is not None and held < enough:
            continue
        ready, waiting = _cut(waiting, None if upcoming is None else upcoming[0])
        # where many rows share a key nothing may be ready yet: try again only once there are many more rows
        held = sum(map(_blocks, waiting))
        enough = 1 + 2 * held
        if ready:
            yield _combine(ready)


def _blocks(rows: pa.Table) -> float:
    """How many blocks the rows make."""
    return float(max(len(rows) / _BLOCK_ROWS, rows.nbytes / _BLOCK_BYTES))


def _cut(tables: list[pa.Table], bound: Key | None) -> tuple[list[pa.Table], list[pa.Table]]:
    """The rows of each sorted table before ``bound``, and the others."""
    if bound is None:
        return tables, []
    before, after = [], []
    for table in tables:
        at = _index_of(bound, table)
        if at:
            before.append(table.slice(0, at))
        if at < len(table):
            after.append(table.slice(at))
    return before, after


def _index_of(bound: Key, table: pa.Table) -> int:
    times, ids = table["Timestamp"].to_numpy().view(np.int64), table["Id"]
    ms, event_id = bound
    start, end = (int(np.searchsorted(times, ms, side)) for side in ("left", "right"))
    return start + bisect.bisect_left(range(start, end), event_id, key=lambda row: ids[row].as_py())


def _combine(tables: list[pa.Table]) -> pa.Table:
    rows = pa.concat_tables(tables)
    if all(_key(a, len(a) - 1) < _key(b, 0) for a, b in pairwise(tables)):
        return rows  # batches of one run, or of runs that do not overlap: nearly always
    return sort_rows(rows)


def _key(rows: pa.Table, index: int) -> tuple[Any, ...]:
    return tuple(rows[name][index].as_py() for name, _ in _ROW_ORDER)
