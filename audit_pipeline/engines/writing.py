"""Sorted runs to Parquet files on disk: each event once, whatever this run or others hold of it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit_pipeline.engines.commit import Staged
from audit_pipeline.engines.decoding import Spilled
from audit_pipeline.engines.spill import Place, SpilledRun, read_tables
from audit_pipeline.engines.standing import StandingFile, StandingRun, find_standing_events
from audit_pipeline.store.objects import Store
from audit_pipeline.transform.duplicates import EventKey, Orders, Tally, find_clashes, hash_ids, resolve
from audit_pipeline.transform.merge import Run, merge
from audit_pipeline.transform.parquet import TimeRange, write_rows

__all__ = ["PlacedFile", "Written", "key_groups", "write_blocks", "write_places"]

#: Memory that finding duplicates takes for each byte of keys.
_BYTES_PER_KEY_BYTE: Final = 4


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A finished data file, and where it goes; ``number`` is given where one place has several. ``size`` in bytes."""

    place: Place
    number: int | None
    staged: Staged
    times: TimeRange
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Written:
    files: list[PlacedFile]
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found by the events' keys alone, over all places."""

    clashes: Orders
    standing_events: dict[EventKey, int]
    standing_files: Sequence[StandingFile]


def write_places(
    spilled: Spilled, lake: Store, standing: Sequence[StandingFile], folder: Path, *, threads: int, key_memory: int
) -> Iterator[tuple[int, Written]]:
    """Merge every (dt, source) of the run into files in ``folder``; yields (places in all, one place) as they finish.

    ``key_memory`` is in bytes.
    """
    known = _look_up(spilled, lake, standing, key_memory)
    places = sorted({place for run in spilled.runs for place in run.pieces})
    with ThreadPoolExecutor(threads) as pool:
        # not named after the source, which may be as long as a name can be
        names = (folder / f"{number:06}" for number in range(len(places)))
        for written in pool.map(lambda place, name: _write_place(place, spilled, lake, known, name), places, names):
            yield len(places), written


def _look_up(spilled: Spilled, lake: Store, standing: Sequence[StandingFile], key_memory: int) -> _Known:
    clashes: list[Orders] = [np.array([], np.uint64)]
    found: dict[EventKey, int] = {}
    for keys in key_groups(spilled.keys, key_memory):
        here = find_standing_events(lake, standing, keys)
        clashes.append(find_clashes(keys, here))
        found |= here
    return _Known(np.concatenate(clashes), found, standing)


def key_groups(files: Sequence[Path], key_memory: int) -> Iterator[pa.Table]:
    """The keys of all events, in as many groups as memory demands; the same Id is always in the same group."""
    tables = (table for file in files for table in read_tables(file))
    size = sum(table.nbytes for table in tables) * _BYTES_PER_KEY_BYTE
    groups = 1 + size // key_memory
    for group in range(groups if files else 0):
        tables = (table for file in files for table in read_tables(file))
        if groups > 1:
            tables = (table.filter(pa.array(hash_ids(table["Id"]) % groups == group)) for table in tables)
        yield pa.concat_tables(tables)


def _write_place(place: Place, spilled: Spilled, lake: Store, known: _Known, name: Path) -> Written:
    runs: list[Run] = [SpilledRun(run.path, *run.pieces[place]) for run in spilled.runs if place in run.pieces]
    ids = [
        event_id for found_day, found_source, event_id in known.standing_events if (found_day, found_source) == place
    ]
    if ids:
        runs += [StandingRun(lake, file, ids) for file in known.standing_files if file.place == place]
    return write_blocks(place, merge(runs), known.clashes, name)


def write_blocks(place: Place, blocks: Iterable[pa.Table], clashes: Orders, name: Path) -> Written:
    """The blocks of a place's sorted stream to files called ``name`` and a number, each event once."""
    tallies: list[Tally] = []

    def rows() -> Iterator[pa.Table]:
        for block in blocks:
            kept, tally = resolve(block, clashes)
            tallies.append(tally)
            yield kept

    paths: list[Path] = []

    def new_file(number: int) -> pa.NativeFile:
        paths.append(name.with_suffix(f".{number:05}.parquet"))
        return pa.OSFile(str(paths[-1]), "wb")

    times = write_rows(rows(), new_file)
    numbers = range(len(paths)) if len(paths) > 1 else [None]
    files = [_described(place, *one) for one in zip(numbers, paths, times, strict=False)]
    return Written(files, Tally.total(tallies))


def _described(place: Place, number: int | None, path: Path, times: TimeRange) -> PlacedFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return PlacedFile(place, number, path, times, pq.read_metadata(path).num_rows, path.stat().st_size, sha256)
