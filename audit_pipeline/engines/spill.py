"""Sorted runs on disk: what keeps the memory of a run bounded, however large the day."""

import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pyarrow as pa

from audit_pipeline.store.locks import is_process_alive
from audit_pipeline.transform.merge import Key, sort_by_partition

__all__ = [
    "SpillFile",
    "SpilledRun",
    "TablePartition",
    "cut_to_batches",
    "read_tables",
    "scratch_folder",
    "write_sorted_run",
    "write_table",
]

#: A partition of the table: (dt as days since 1970, source).
TablePartition = tuple[int, str]

#: A batch has at most so many bytes and rows.
_BATCH_BYTES: Final = 1 << 20
_BATCH_ROWS: Final = 8192
#: Arrow writes each of a batch's many buffers by itself.
_WRITE_BUFFER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SpillFile:
    """A file of sorted rows; ``batches`` has, for each table partition, its batches' numbers and their first keys."""

    path: Path
    batches: dict[TablePartition, tuple[list[int], list[Key]]]


@dataclass(frozen=True, slots=True)
class SpilledRun:
    """The rows of one table partition in a spill file: a :class:`audit_pipeline.transform.merge.SortedRun`."""

    path: Path
    numbers: Sequence[int]
    first_keys: Sequence[Key]

    def read(self, batch: int) -> pa.Table:
        return pa.Table.from_batches([_open(self.path).get_batch(self.numbers[batch])])


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder for one run, removed at its end; what killed runs left is removed at the start."""
    root = (parent or Path(tempfile.gettempdir())) / "audit-pipeline-scratch"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.iterdir():
        pid, started, _ = left.name.split("_", 2)
        if not is_process_alive(int(pid), float(started)):
            shutil.rmtree(left, ignore_errors=True)
    folder = root / f"{os.getpid()}_{psutil.Process().create_time()}_{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        _open.cache_clear()
        shutil.rmtree(folder, ignore_errors=True)


def write_sorted_run(rows: pa.Table, path: Path) -> tuple[SpillFile, pa.Table]:
    """Sort rows by (dt, source) and, within each, as data files are sorted; write them to ``path``.

    Returns the file, and the sorted rows.
    """
    rows = sort_by_partition(rows)
    batches: dict[TablePartition, tuple[list[int], list[Key]]] = {}
    with _new_file(path, rows.schema) as writer:
        for number, (table_partition, batch) in enumerate(cut_to_batches(rows)):
            writer.write_table(batch)
            numbers, first_keys = batches.setdefault(table_partition, ([], []))
            numbers.append(number)
            first_keys.append(_key_of(batch, 0))
    return SpillFile(path, batches), rows


def cut_to_batches(rows: pa.Table) -> Iterator[tuple[TablePartition, pa.Table]]:
    """Batches of one table partition each, from rows that are sorted by table partition."""
    size = max(1, min(_BATCH_ROWS, _BATCH_BYTES * len(rows) // max(1, rows.nbytes)))
    for table_partition, start, end in _table_partitions(rows):
        for at in range(start, end, size):
            yield table_partition, rows.slice(at, min(size, end - at))


def write_table(table: pa.Table, path: Path) -> Path:
    with _new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 16)
    return path


def read_tables(path: Path) -> Iterator[pa.Table]:
    """The table of a file, one record batch at a time."""
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _key_of(rows: pa.Table, index: int) -> Key:
    return rows["Timestamp"][index].value, rows["Id"][index].as_py()


def _table_partitions(rows: pa.Table) -> Iterator[tuple[TablePartition, int, int]]:
    """(table partition, start, end) of rows sorted by table partition."""
    if not len(rows):
        return
    sources = rows["source"].combine_chunks().dictionary_encode()
    codes, days = sources.indices.to_numpy(), rows["dt"].to_numpy()
    changes = np.flatnonzero((codes[1:] != codes[:-1]) | (days[1:] != days[:-1])) + 1
    bounds = [0, *changes.tolist(), len(rows)]
    for start, end in itertools.pairwise(bounds):
        yield (int(days[start]), sources.dictionary[int(codes[start])].as_py()), start, end


@contextmanager
def _new_file(path: Path, schema: pa.Schema) -> Iterator[Any]:
    # uncompressed: compressing costs more than a third of all the decoding, and the files live for seconds
    with (
        pa.output_stream(str(path), compression=None, buffer_size=_WRITE_BUFFER_BYTES) as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        yield writer


@lru_cache(maxsize=64)
def _open(path: Path) -> Any:
    # not memory-mapped: mapped pages would count as this process's memory
    return pa.ipc.open_file(pa.OSFile(str(path)))
