"""Sorted runs to Parquet files on disk: each event once, whatever this run or others hold of it."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit_pipeline.engines.commit import Staged
from audit_pipeline.engines.decoding import Spilled
from audit_pipeline.engines.existing_files import ExistingFile, existing_runs, find_existing_events
from audit_pipeline.engines.spill import SpilledRun, TablePartition, read_tables
from audit_pipeline.store.objects import Store
from audit_pipeline.transform.duplicates import DedupResult, Sequences, find_clashes, hash_ids, resolve
from audit_pipeline.transform.merge import SortedRun, merge
from audit_pipeline.transform.parquet import TimeRange, write_rows

__all__ = ["DataFile", "Written", "key_groups", "write_blocks", "write_partitions"]

#: Memory that finding duplicates takes for each byte of keys.
_BYTES_PER_KEY_BYTE: Final = 4


@dataclass(frozen=True, slots=True)
class DataFile:
    """A finished data file of the table, before the commit puts it in place.

    ``number`` is given where a table partition has several files; ``size`` is in bytes, ``sha256`` hexadecimal.
    """

    table_partition: TablePartition
    number: int | None
    staged: Staged
    times: TimeRange
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Written:
    """The data files of a run, or of a part of it, and what became of its events."""

    files: list[DataFile]
    dedup: DedupResult


@dataclass(frozen=True, slots=True)
class _Matches:
    """What the events' keys alone show, over all table partitions of a run.

    ``clashes`` are the sequences of events that exist with another Timestamp too; ``existing_ids`` are, by table
    partition, the Ids that ``existing_files`` hold too.
    """

    clashes: Sequences
    existing_ids: Mapping[TablePartition, Sequence[str]]
    existing_files: Sequence[ExistingFile]


def write_partitions(
    spilled: Spilled, lake: Store, existing: Sequence[ExistingFile], folder: Path, *, threads: int, key_memory: int
) -> Iterator[tuple[int, Written]]:
    """Merge every (dt, source) of the run into files in ``folder``.

    Yields (number of table partitions in all, what was written of one) as they finish. ``key_memory`` is in bytes.
    """
    matches = _match(spilled, lake, existing, key_memory)
    table_partitions = sorted({table_partition for run in spilled.runs for table_partition in run.batches})
    # not named after the source, which may be as long as a name can be
    names = (folder / f"{number:06}" for number in range(len(table_partitions)))
    with ThreadPoolExecutor(threads) as pool:
        for written in pool.map(partial(_write_partition, spilled, lake, matches), table_partitions, names):
            yield len(table_partitions), written


def _match(spilled: Spilled, lake: Store, existing: Sequence[ExistingFile], key_memory: int) -> _Matches:
    clashes: list[Sequences] = [np.array([], np.uint64)]
    ids: dict[TablePartition, list[str]] = defaultdict(list)
    for keys in key_groups(spilled.keys, key_memory):
        events = find_existing_events(lake, existing, keys)
        clashes.append(find_clashes(keys, events))
        for day, source, event_id in events:
            ids[day, source].append(event_id)
    return _Matches(np.concatenate(clashes), dict(ids), existing)


def key_groups(files: Sequence[Path], key_memory: int) -> Iterator[pa.Table]:
    """The keys of all events, in as many groups as memory demands; all events of an Id are in the same group."""
    tables = (table for file in files for table in read_tables(file))
    size = sum(table.nbytes for table in tables) * _BYTES_PER_KEY_BYTE
    groups = 1 + size // key_memory
    for group in range(groups if files else 0):
        tables = (table for file in files for table in read_tables(file))
        if groups > 1:
            tables = (table.filter(pa.array(hash_ids(table["Id"]) % groups == group)) for table in tables)
        yield pa.concat_tables(tables)


def _write_partition(
    spilled: Spilled, lake: Store, matches: _Matches, table_partition: TablePartition, name: Path
) -> Written:
    spills = (file for file in spilled.runs if table_partition in file.batches)
    runs: list[SortedRun] = [SpilledRun(file.path, *file.batches[table_partition]) for file in spills]
    if ids := matches.existing_ids.get(table_partition):
        runs += existing_runs(lake, matches.existing_files, table_partition, ids)
    return write_blocks(table_partition, merge(runs), matches.clashes, name)


def write_blocks(
    table_partition: TablePartition, blocks: Iterable[pa.Table], clashes: Sequences, name: Path
) -> Written:
    """Write the blocks of a table partition's sorted stream, each event once, to files called ``name`` and a number."""
    results: list[DedupResult] = []

    def rows() -> Iterator[pa.Table]:
        for block in blocks:
            kept, result = resolve(block, clashes)
            results.append(result)
            yield kept

    paths: list[Path] = []

    def new_file(number: int) -> pa.NativeFile:
        paths.append(name.with_suffix(f".{number:05}.parquet"))
        return pa.OSFile(str(paths[-1]), "wb")

    times = write_rows(rows(), new_file)
    numbers = range(len(paths)) if len(paths) > 1 else [None]
    files = [_describe(table_partition, *one) for one in zip(numbers, paths, times, strict=False)]
    return Written(files, DedupResult.total(results))


def _describe(table_partition: TablePartition, number: int | None, path: Path, times: TimeRange) -> DataFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return DataFile(table_partition, number, path, times, pq.read_metadata(path).num_rows, path.stat().st_size, sha256)
