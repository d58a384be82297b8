"""Events that were delivered more than once (design, part 5: Duplicates).

Two events are the same event when they have the same source and Id. Equal copies have equal times too, so that they
lie side by side in the sorted stream, where :func:`resolve` compares them in every column. Copies with other times lie
anywhere: :func:`find_clashes` finds them by their keys alone, for they cannot be equal.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.transform.rows import DECODED_SCHEMA, FIRST_OWN_ORDER, PLACEHOLDER_INDEX

__all__ = ["KEY_COLUMNS", "EventKey", "Orders", "Tally", "event_keys", "find_clashes", "hash_ids", "resolve"]

Orders = npt.NDArray[np.uint64]

#: (dt as days since 1970, source, Id)
EventKey = tuple[int, str, str]

KEY_COLUMNS: Final = ["source", "Id", "dt", "Timestamp", "order"]

_NO_ORDERS: Final = np.array([], np.uint64)
_COMPARED: Final = [name for name in DECODED_SCHEMA.names if name not in ("order", "dt", "source")]


def event_keys(rows: pa.Table) -> pa.Table:
    """One row an event of :data:`KEY_COLUMNS`, of rows in which each event's rows lie together."""
    return rows.select(KEY_COLUMNS).take(pa.array(_starts(_orders(rows))))


def find_clashes(keys: pa.Table, foreign: Mapping[EventKey, int]) -> Orders:
    """Orders of the events that stand already with another time: in this run, or in another partition's file.

    ``keys`` are all events of the run with these (source, Id), in any order; ``foreign`` gives the Timestamp (ms) of
    what stands in other partitions' files of the same dt.
    """
    clashes: list[int] = []
    first: dict[tuple[str, str], int] = {}
    suspects = keys.filter(_is_suspect(keys["Id"], foreign)).sort_by("order")
    columns = [suspects[name].to_pylist() for name in ("source", "Id", "dt", "order")]
    times = suspects["Timestamp"].cast(pa.int64()).to_pylist()
    for source, event_id, dt, order, time in zip(*columns, times, strict=True):
        stands = foreign.get((dt, source, event_id), time)
        if first.setdefault((source, event_id), time) != time or stands != time:
            clashes.append(order)
    return np.array(clashes, np.uint64)


def _is_suspect(ids: pa.ChunkedArray, foreign: Mapping[EventKey, int]) -> pa.Array:
    """Whether an Id occurs more than once, or in another partition."""
    codes = ids.combine_chunks().dictionary_encode()
    indices = codes.indices.to_numpy()
    suspect = np.bincount(indices, minlength=len(codes.dictionary)) > 1
    if foreign:
        known = pa.array([event_id for _, _, event_id in foreign], pa.string())
        suspect |= pc.is_in(codes.dictionary, value_set=known).to_numpy(zero_copy_only=False)
    return pa.array(suspect[indices])


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of events: ``rows`` and ``kept`` count, ``duplicates`` and ``conflicts`` name them by their orders.

    ``empty`` are events none of whose entities can become a row: their entities are in quarantine.
    """

    rows: int
    kept: int
    empty: int
    duplicates: Orders
    conflicts: Orders

    @classmethod
    def total(cls, tallies: Sequence["Tally"]) -> "Tally":
        return cls(
            rows=sum(tally.rows for tally in tallies),
            kept=sum(tally.kept for tally in tallies),
            empty=sum(tally.empty for tally in tallies),
            duplicates=np.concatenate([_NO_ORDERS, *(tally.duplicates for tally in tallies)]),
            conflicts=np.concatenate([_NO_ORDERS, *(tally.conflicts for tally in tallies)]),
        )


def resolve(block: pa.Table, clashes: Orders) -> tuple[pa.Table, Tally]:
    """The rows that belong in the table, each event once, of a block of the sorted stream of one (dt, source).

    The first in order of delivery stays. What stands in another partition's file has an order below those of the run's
    own events (:data:`FIRST_OWN_ORDER`): it is compared with, and not written.
    """
    orders = _orders(block)
    starts = _starts(orders)
    ends = np.append(starts[1:], len(orders))
    conflict = np.isin(orders[starts], clashes)
    duplicate = np.zeros(len(starts), np.bool_)
    compared = block.select(_COMPARED)
    for event, leader in _same_as_earlier(block, starts, ~conflict):
        rows, leading = (compared.slice(starts[i], ends[i] - starts[i]) for i in (event, leader))
        (duplicate if rows.equals(leading) else conflict)[event] = True
    stays = ~(duplicate | conflict | (orders[starts] < FIRST_OWN_ORDER))
    empty = block["EntityIndex"].to_numpy()[starts] == PLACEHOLDER_INDEX
    written = stays & ~empty
    if not written.all():
        block = block.filter(pa.array(np.repeat(written, ends - starts)))
    return block, Tally(
        rows=len(block),
        kept=int(written.sum()),
        empty=int((stays & empty).sum()),
        duplicates=orders[starts][duplicate],
        conflicts=orders[starts][conflict],
    )


def _same_as_earlier(
    block: pa.Table, starts: npt.NDArray[np.int64], considered: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Pairs of an event and the first one with the same Timestamp and Id, among those considered."""
    events = np.flatnonzero(considered)
    times = block["Timestamp"].to_numpy().view(np.int64)[starts[events]]
    same_time = np.flatnonzero(times[1:] == times[:-1])
    if not len(same_time):
        return []
    ids = block["Id"].combine_chunks()
    earlier = ids.take(pa.array(starts[events[same_time]]))
    later = ids.take(pa.array(starts[events[same_time + 1]]))
    same = np.zeros(len(events), np.bool_)
    same[same_time + 1] = pc.equal(earlier, later).to_numpy(zero_copy_only=False)
    leaders = np.maximum.accumulate(np.where(same, 0, np.arange(len(events))))
    return [(int(events[i]), int(events[leaders[i]])) for i in np.flatnonzero(same)]


def _orders(rows: pa.Table) -> Orders:
    orders: Orders = rows["order"].to_numpy()
    return orders


def _starts(orders: Orders) -> npt.NDArray[np.int64]:
    """Where each event's rows start."""
    changes: npt.NDArray[np.int64] = np.flatnonzero(orders[1:] != orders[:-1]) + 1
    return np.concatenate([np.zeros(min(1, len(orders)), np.int64), changes])


def hash_ids(ids: pa.ChunkedArray) -> npt.NDArray[np.uint32]:
    """A hash of each Id that is the same in every process."""
    return np.fromiter((zlib.crc32(event_id.encode()) for event_id in ids.to_pylist()), np.uint32, len(ids))
