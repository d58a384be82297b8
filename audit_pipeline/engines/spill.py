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
from audit_pipeline.transform.merge import Key, sort_by_place

__all__ = [
    "Place",
    "RunFile",
    "SpilledRun",
    "cut_to_pieces",
    "key_of",
    "read_tables",
    "scratch_folder",
    "write_run",
    "write_table",
]

#: (dt as days since 1970, source): where rows go.
Place = tuple[int, str]

_PIECE_BYTES: Final = 1 << 20
_PIECE_ROWS: Final = 8192
#: Arrow writes each of a piece's many buffers by itself.
_WRITE_BUFFER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of sorted rows; ``pieces`` gives, of each place, the pieces' numbers and their first keys."""

    path: Path
    pieces: dict[Place, tuple[list[int], list[Key]]]


@dataclass(frozen=True, slots=True)
class SpilledRun:
    """The rows of one place in a run file: a :class:`audit_pipeline.transform.merge.Run`."""

    path: Path
    numbers: Sequence[int]
    first_keys: Sequence[Key]

    def read(self, piece: int) -> pa.Table:
        return pa.Table.from_batches([_open(self.path).get_batch(self.numbers[piece])])


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


def write_run(rows: pa.Table, path: Path) -> tuple[RunFile, pa.Table]:
    """Sort rows by (dt, source) and the order of the files, and spill them; the file, and the sorted rows."""
    rows = sort_by_place(rows)
    pieces: dict[Place, tuple[list[int], list[Key]]] = {}
    with _new_file(path, rows.schema) as writer:
        for number, (place, piece) in enumerate(cut_to_pieces(rows)):
            writer.write_table(piece)
            numbers, first_keys = pieces.setdefault(place, ([], []))
            numbers.append(number)
            first_keys.append(key_of(piece, 0))
    return RunFile(path, pieces), rows


def cut_to_pieces(rows: pa.Table) -> Iterator[tuple[Place, pa.Table]]:
    """Rows that are sorted by place, in pieces of one place each."""
    size = max(1, min(_PIECE_ROWS, _PIECE_BYTES * len(rows) // max(1, rows.nbytes)))
    for place, start, end in _places(rows):
        for at in range(start, end, size):
            yield place, rows.slice(at, min(size, end - at))


def key_of(rows: pa.Table, index: int) -> Key:
    return rows["Timestamp"][index].value, rows["Id"][index].as_py()


def write_table(table: pa.Table, path: Path) -> Path:
    with _new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 16)
    return path


def read_tables(path: Path) -> Iterator[pa.Table]:
    """The table of a file, a part at a time."""
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _places(rows: pa.Table) -> Iterator[tuple[Place, int, int]]:
    """The places of rows sorted by them, with where each starts and ends."""
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
