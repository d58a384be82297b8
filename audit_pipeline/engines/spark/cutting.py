"""How the rows of a run are cut into units of work, about one file each, and the units packed into even tasks."""

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from audit_pipeline.engines.spill import TablePartition
from audit_pipeline.transform.parquet import FILE_GROUPS, GROUP_BYTES, GROUP_ROWS

__all__ = ["Extent", "Unit", "cut", "pack", "partition_keys"]

#: Row groups that a unit is planned to have: fewer than a file takes, for the plan knows only some rows' times.
_UNIT_GROUPS: Final = FILE_GROUPS * 7 // 8
_BEFORE_ALL: Final = -(1 << 62)
_AFTER_ALL: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Extent:
    """What the plan knows of a batch of rows without its payload; ``size`` in bytes.

    ``times`` (ms) are those of rows at even distances, from the first to the last.
    """

    table_partition: TablePartition
    times: Sequence[int]
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Unit:
    """The rows of a table partition with times from ``start`` to before ``end`` (ms); ``size`` in bytes, about."""

    table_partition: TablePartition
    start: int
    end: int
    size: int


def cut(extents: Iterable[Extent]) -> list[Unit]:
    """Units in the order of (dt, source) and time. A table partition too large for one file is cut by time, evenly.

    By time, because copies of an event that are equal have equal times: they stay together.
    """
    of_partition: dict[TablePartition, list[Extent]] = defaultdict(list)
    for extent in extents:
        of_partition[extent.table_partition].append(extent)
    units: list[Unit] = []
    for table_partition, parts in sorted(of_partition.items()):
        rows, size = sum(part.rows for part in parts), sum(part.size for part in parts)
        count = max(1, math.ceil(max(rows / GROUP_ROWS, size / GROUP_BYTES) / _UNIT_GROUPS))
        bounds = [_BEFORE_ALL, *_quantiles(parts, count), _AFTER_ALL]
        units += [Unit(table_partition, a, b, size // (len(bounds) - 1)) for a, b in pairwise(bounds)]
    return units


def _quantiles(parts: Sequence[Extent], count: int) -> list[int]:
    """Times that cut the rows into ``count`` even parts, about; fewer, where many rows have the same time."""
    spans = [(a, b + 1, part.rows / (len(part.times) - 1)) for part in parts for a, b in pairwise(part.times)]
    starts, ends, rows_of = np.array(spans).T
    rates = rows_of / (ends - starts)
    order = np.argsort(times := np.concatenate([starts, ends]), kind="stable")
    rate = np.cumsum(np.concatenate([rates, -rates])[order])
    rows = np.concatenate([[0.0], np.cumsum(rate[:-1] * np.diff(times[order]))])
    bounds = np.interp(rows[-1] * np.arange(1, count) / count, rows, times[order])
    return sorted({bound for bound in bounds.astype(np.int64).tolist() if starts.min() < bound < ends.max()})


def pack(units: Sequence[Unit], tasks: int) -> list[int]:
    """The task of each unit, from 0: the largest unit first, each to the task with the least work so far."""
    loads = [(0, task) for task in range(tasks)]
    chosen = [0] * len(units)
    for number in sorted(range(len(units)), key=lambda n: (-units[n].size, n)):
        load, task = loads[0]
        chosen[number] = task
        heapq.heapreplace(loads, (load + units[number].size, task))
    return chosen


def partition_keys(count: int) -> list[int]:
    """For each of ``count`` Spark partitions, a number that Spark's hash partitioning puts there.

    ``DataFrame.repartition`` has no other way to say where a row is to go: with plain numbers some tasks would have two
    units' work, and some none.
    """
    keys: dict[int, int] = {}
    for start in itertools.count(step=16 * count):
        candidates = np.arange(start, start + 16 * count)
        for key, partition in zip(candidates.tolist(), (_spark_hash(candidates) % count).tolist(), strict=True):
            keys.setdefault(partition, key)
        if len(keys) == count:
            return [keys[partition] for partition in range(count)]
    raise AssertionError("unreachable")


def _spark_hash(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """``hash(bigint)`` of Spark SQL: MurmurHash3 (x86, 32 bits) of the two halves, seed 42."""
    mixed = np.full(len(numbers), 42, np.uint32)
    bits = numbers.astype(np.uint64)
    for half in ((bits & np.uint64(0xFFFFFFFF)).astype(np.uint32), (bits >> np.uint64(32)).astype(np.uint32)):
        block = _rotated(half * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        mixed = _rotated(mixed ^ block, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    mixed ^= np.uint32(8)
    mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (mixed ^ (mixed >> np.uint32(16))).view(np.int32)


def _rotated(
    numbers: np.ndarray[tuple[int], np.dtype[np.uint32]], bits: int
) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return (numbers << np.uint32(bits)) | (numbers >> np.uint32(32 - bits))
