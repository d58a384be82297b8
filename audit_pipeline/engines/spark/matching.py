"""The second kind of task: which events stand already with another time, in this run or in another partition."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.engines.spark.decoding import key_pieces
from audit_pipeline.engines.spark.pieces import Kind, Piece, outcome, read_table
from audit_pipeline.engines.spill import read_tables, scratch_folder, write_table
from audit_pipeline.engines.standing import StandingFile, read_standing_keys
from audit_pipeline.engines.writing import key_groups
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.store.objects import open_store
from audit_pipeline.transform.duplicates import EventKey, Orders, find_clashes

__all__ = ["Matched", "Matching", "StandingKeys"]

#: Bytes that a task may take for the keys of its bucket at a time.
_KEY_MEMORY: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Matched:
    """``clashes`` by their orders; ``standing``: with their Timestamps (ms) in the other partition's file."""

    clashes: Orders
    standing: dict[EventKey, int]


@dataclass(frozen=True, slots=True)
class StandingKeys:
    """Reads the keys of other partitions' files."""

    lake_url: str
    files: Sequence[StandingFile]
    buckets: Sequence[int]

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Those of the files with these numbers, in their buckets."""
        try:
            lake = open_store(self.lake_url)
            for batch in batches:
                for number in batch["id"].to_pylist():
                    for keys in read_standing_keys(lake, self.files[number]):
                        for piece in key_pieces(Kind.STANDING, keys, self.buckets):
                            yield piece.batch()
        except AuditPipelineError as error:
            yield Piece.telling(error).batch()


@dataclass(frozen=True, slots=True)
class Matching:
    """Brings the keys of one bucket together."""

    scratch_dir: Path | None

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """A :class:`Matched`. ``batches`` have the kind and the payload of the bucket's pieces."""
        with scratch_folder(self.scratch_dir) as folder:
            files: dict[int, list[Path]] = {Kind.KEYS: [], Kind.STANDING: []}
            for batch in batches:
                for kind, payload in zip(batch["kind"].to_pylist(), batch["payload"], strict=True):
                    if kind == Kind.OUTCOME:  # of one who could not read what stands
                        yield pa.RecordBatch.from_arrays([pa.array([payload.as_py()], pa.binary())], ["payload"])
                        return
                    name = folder / f"{kind}-{len(files[kind]):06}"
                    files[kind].append(write_table(read_table(payload.as_buffer()), name))
            clashes: list[Orders] = [np.array([], np.uint64)]
            standing: dict[EventKey, int] = {}
            for keys in key_groups(files[Kind.KEYS], _KEY_MEMORY):
                here = _standing_among(keys, files[Kind.STANDING])
                clashes.append(find_clashes(keys, here))
                standing |= here
            yield outcome(Matched(np.concatenate(clashes), standing))


def _standing_among(keys: pa.Table, files: Sequence[Path]) -> dict[EventKey, int]:
    """Of the events of ``keys`` those that stand in other partitions' files too."""
    ids = keys["Id"].combine_chunks()
    near = [table.filter(pc.is_in(table["Id"], value_set=ids)) for file in files for table in read_tables(file)]
    standing = [key for table in near for key in _event_keys(table).items()]
    if not standing:
        return {}
    known = pa.array([event_id for (_, _, event_id), _ in standing], pa.string())
    own = _event_keys(keys.filter(pc.is_in(keys["Id"], value_set=known)))
    return {key: ms for key, ms in standing if key in own}


def _event_keys(table: pa.Table) -> dict[EventKey, int]:
    columns = (table[name].to_pylist() for name in ("dt", "source", "Id"))
    return dict(zip(zip(*columns, strict=True), table["Timestamp"].cast(pa.int64()).to_pylist(), strict=True))
