"""Sorted runs of rows to one sorted stream, a bounded piece at a time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Run", "merge", "sort_rows"]

#: Rows that a block of the stream has at least, where there are as many.
_BLOCK_ROWS: Final = 8192

_ROW_ORDER: Final = [(name, "ascending") for name in ("Timestamp", "Id", "order", "EntityIndex")]


class Run(Protocol):
    """Rows of one (dt, source), sorted, in pieces that can be read one by one."""

    @property
    def first_timestamps(self) -> Sequence[int]:
        """Of each piece, a Timestamp (ms) that none of its rows is before, in order."""

    def read(self, piece: int) -> pa.Table: ...


def sort_rows(rows: pa.Table, *, by_place: bool = False) -> pa.Table:
    """Rows in the order of the files, the copies of an event in the order of their delivery.

    ``by_place`` sorts by (dt, source) first.
    """
    place = [("dt", "ascending"), ("source", "ascending")] if by_place else []
    keys = place + _ROW_ORDER
    return rows.take(pc.sort_indices(rows.select([name for name, _ in keys]), sort_keys=keys))


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
        waiting.append(run.read(piece))
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
    if len(tables) == 1:
        return tables[0]
    return sort_rows(pa.concat_tables(tables).combine_chunks())
