"""Sorted runs of rows to one sorted stream, a bounded piece at a time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.transform.times import DAY_MS

__all__ = ["Run", "merge", "sort_by_place"]

#: Rows that a block of the stream has at least, where there are as many.
_BLOCK_ROWS: Final = 8192

_ROW_ORDER: Final = [(name, "ascending") for name in ("Timestamp", "Id", "order", "EntityIndex")]


class Run(Protocol):
    """Rows of one (dt, source), sorted, in pieces that can be read one by one."""

    @property
    def first_timestamps(self) -> Sequence[int]:
        """Of each piece, a Timestamp (ms) that none of its rows is before, in order."""

    def read(self, piece: int) -> pa.Table: ...


def sort_rows(rows: pa.Table) -> pa.Table:
    """Rows in the order of the files, the copies of an event in the order of their delivery."""
    return rows.take(pc.sort_indices(rows.select([name for name, _ in _ROW_ORDER]), sort_keys=_ROW_ORDER))


def sort_by_place(rows: pa.Table) -> pa.Table:
    """The same within each (dt, source)."""
    sources = rows["source"].combine_chunks().dictionary_encode()
    days, times = rows["dt"].to_numpy(), rows["Timestamp"].to_numpy().view(np.int64)
    # Place and time in one number: comparing it costs a fraction of comparing a date, a text and a time. The time
    # within a day has 27 bits, and that leaves room for more places than a run can hold rows of.
    place = (days.astype(np.int64) - days.min(initial=0)) * len(sources.dictionary) + sources.indices.to_numpy()
    keyed = rows.select(["Id", "order", "EntityIndex"]).append_column(
        "place", pa.array(place * DAY_MS + times % DAY_MS)
    )
    order = [("place", "ascending"), *_ROW_ORDER[1:]]
    return rows.take(pc.sort_indices(keyed, sort_keys=order))


def merge(runs: Iterable[Run]) -> Iterator[pa.Table]:
    """Blocks of rows in order. Rows with the same Timestamp always come in the same block.

    Only pieces whose times overlap are in memory together; runs follow the delivery hours, so that these are few.
    """
    upcoming = [(run.first_timestamps[0], number, 0, run) for number, run in enumerate(runs) if run.first_timestamps]
    heapq.heapify(upcoming)
    waiting: list[pa.Table] = []
    enough = _BLOCK_ROWS
    while upcoming:
        _, number, piece, run = heapq.heappop(upcoming)
        rows = run.read(piece)
        if len(rows):
            waiting.append(rows)
        if piece + 1 < len(run.first_timestamps):
            heapq.heappush(upcoming, (run.first_timestamps[piece + 1], number, piece + 1, run))
        if upcoming and sum(len(table) for table in waiting) < enough:
            continue
        bound = upcoming[0][0] if upcoming else None
        ready, waiting = _cut(waiting, bound)
        # where many rows share a time nothing may be ready yet: look again only once there is a good deal more
        enough = _BLOCK_ROWS + 2 * sum(len(table) for table in waiting)
        if ready:
            yield _combine(ready)


def _cut(tables: list[pa.Table], bound: int | None) -> tuple[list[pa.Table], list[pa.Table]]:
    """What comes before ``bound`` (ms) of each sorted table, and what does not."""
    if bound is None:
        return tables, []
    before, after = [], []
    for table in tables:
        at = int(np.searchsorted(table["Timestamp"].to_numpy().view(np.int64), bound))
        if at:
            before.append(table.slice(0, at))
        if at < len(table):
            after.append(table.slice(at))
    return before, after


def _combine(tables: list[pa.Table]) -> pa.Table:
    rows = pa.concat_tables(tables)
    if all(_key(one, len(one) - 1) < _key(other, 0) for one, other in pairwise(tables)):
        return rows  # pieces of one run, or of runs that do not overlap: nearly always
    return sort_rows(rows.combine_chunks())


def _key(rows: pa.Table, index: int) -> tuple[Any, ...]:
    return tuple(rows[name][index].as_py() for name, _ in _ROW_ORDER)
