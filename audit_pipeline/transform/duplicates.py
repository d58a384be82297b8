"""Events that were delivered more than once (docs/design.md, "Duplicates").

Two events are the same event when they have the same source and Id. Copies with the same Timestamp are neighbours in
the sorted stream, where :func:`resolve` compares them in every column. Copies with another Timestamp can be anywhere,
but cannot be equal: :func:`find_clashes` finds them by their keys alone.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.transform.rows import FIRST_OWN_SEQUENCE, PLACEHOLDER_INDEX, compared_columns

__all__ = ["KEY_COLUMNS", "DedupResult", "EventKey", "Sequences", "event_keys", "find_clashes", "hash_ids", "resolve"]

#: Events of a run, each by its ``sequence`` (see :mod:`audit_pipeline.transform.rows`).
Sequences = npt.NDArray[np.uint64]

#: (dt as days since 1970, source, Id)
EventKey = tuple[int, str, str]

KEY_COLUMNS: Final = ["source", "Id", "dt", "Timestamp", "sequence"]

_NO_SEQUENCES: Final = np.array([], np.uint64)


def event_keys(rows: pa.Table) -> pa.Table:
    """:data:`KEY_COLUMNS`, one row for each event, of rows in which those of an event are neighbours."""
    return rows.select(KEY_COLUMNS).take(pa.array(_starts(_sequences(rows))))


def find_clashes(keys: pa.Table, existing: Mapping[EventKey, int]) -> Sequences:
    """The events that have another Timestamp than an earlier copy, in this run or in another partition's file.

    ``keys`` (:data:`KEY_COLUMNS`) are all events of the run with these (source, Id), in any order; ``existing`` has the
    Timestamps (ms) in other partitions' files of the same dt.
    """
    clashes: list[int] = []
    first: dict[tuple[str, str], int] = {}
    suspects = keys.filter(_is_suspect(keys["Id"], existing)).sort_by("sequence")
    columns = [suspects[name].to_pylist() for name in ("source", "Id", "dt", "sequence")]
    times = suspects["Timestamp"].cast(pa.int64()).to_pylist()
    for source, event_id, dt, sequence, time in zip(*columns, times, strict=True):
        in_table = existing.get((dt, source, event_id), time)
        if first.setdefault((source, event_id), time) != time or in_table != time:
            clashes.append(sequence)
    return np.array(clashes, np.uint64)


def _is_suspect(ids: pa.ChunkedArray, existing: Mapping[EventKey, int]) -> pa.Array:
    """Whether an Id occurs more than once, or in ``existing``."""
    codes = ids.combine_chunks().dictionary_encode()
    indices = codes.indices.to_numpy()
    suspect = np.bincount(indices, minlength=len(codes.dictionary)) > 1
    if existing:
        known = pa.array([event_id for _, _, event_id in existing], pa.string())
        suspect |= pc.is_in(codes.dictionary, value_set=known).to_numpy(zero_copy_only=False)
    return pa.array(suspect[indices])


@dataclass(frozen=True, slots=True)
class DedupResult:
    """What became of events.

    ``rows`` counts the rows that are written, ``kept`` their events, ``empty`` the events without a row, whose entities
    are all in quarantine. ``duplicates`` equal an earlier copy, ``conflicts`` differ from one.
    """

    rows: int
    kept: int
    empty: int
    duplicates: Sequences
    conflicts: Sequences

    @classmethod
    def total(cls, results: Sequence["DedupResult"]) -> "DedupResult":
        return cls(
            rows=sum(dedup.rows for dedup in results),
            kept=sum(dedup.kept for dedup in results),
            empty=sum(dedup.empty for dedup in results),
            duplicates=np.concatenate([_NO_SEQUENCES, *(dedup.duplicates for dedup in results)]),
            conflicts=np.concatenate([_NO_SEQUENCES, *(dedup.conflicts for dedup in results)]),
        )


def resolve(block: pa.Table, clashes: Sequences) -> tuple[pa.Table, DedupResult]:
    """The rows that belong in the table, each event once, of a block of the sorted stream of one (dt, source).

    The copy that was delivered first is kept. Rows of another partition's file have a sequence below
    :data:`FIRST_OWN_SEQUENCE`: the run's events are compared with them in the columns that the file has, and they are
    not written again.
    """
    sequences = _sequences(block)
    starts = _starts(sequences)
    ends = np.append(starts[1:], len(sequences))
    conflict = np.isin(sequences[starts], clashes)
    duplicate = np.zeros(len(starts), np.bool_)
    whole = block.select(compared_columns(FIRST_OWN_SEQUENCE))
    for event, first in _same_as_earlier(block, starts, ~conflict):
        columns = compared_columns(int(sequences[starts[first]]))
        compared = whole if columns == whole.column_names else whole.select(columns)
        rows, rows_of_first = (compared.slice(starts[i], ends[i] - starts[i]) for i in (event, first))
        (duplicate if rows.equals(rows_of_first) else conflict)[event] = True
    unique = ~(duplicate | conflict | (sequences[starts] < FIRST_OWN_SEQUENCE))
    empty = block["EntityIndex"].to_numpy()[starts] == PLACEHOLDER_INDEX
    written = unique & ~empty
    if not written.all():
        block = block.filter(pa.array(np.repeat(written, ends - starts)))
    return block, DedupResult(
        rows=len(block),
        kept=int(written.sum()),
        empty=int((unique & empty).sum()),
        duplicates=sequences[starts][duplicate],
        conflicts=sequences[starts][conflict],
    )


def _same_as_earlier(
    block: pa.Table, starts: npt.NDArray[np.int64], considered: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """(event, first event with the same Timestamp and Id), for all but the first, among those ``considered``."""
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
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(events))))
    return [(int(events[i]), int(events[first[i]])) for i in np.flatnonzero(same)]


def _sequences(rows: pa.Table) -> Sequences:
    sequences: Sequences = rows["sequence"].to_numpy()
    return sequences


def _starts(sequences: Sequences) -> npt.NDArray[np.int64]:
    """The index of the first row of each event."""
    changes: npt.NDArray[np.int64] = np.flatnonzero(sequences[1:] != sequences[:-1]) + 1
    return np.concatenate([np.zeros(min(1, len(sequences)), np.int64), changes])


def hash_ids(ids: pa.ChunkedArray) -> npt.NDArray[np.uint32]:
    """A hash of each Id, the same in every process."""
    return np.fromiter((zlib.crc32(event_id.encode()) for event_id in ids.to_pylist()), np.uint32, len(ids))
