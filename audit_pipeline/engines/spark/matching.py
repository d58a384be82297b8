"""The second kind of task: which events exist with another Timestamp too, in this run or in another partition."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.engines.existing_files import ExistingFile, read_existing_keys
from audit_pipeline.engines.spark.decoding import key_records
from audit_pipeline.engines.spark.shuffle_records import Kind, ShuffleRecord, outcome, read_table
from audit_pipeline.engines.spill import read_tables, scratch_folder, write_table
from audit_pipeline.engines.writing import key_groups
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.store.objects import open_store
from audit_pipeline.transform.duplicates import EventKey, Sequences, find_clashes

__all__ = ["ExistingKeys", "Matched", "Matching"]

#: Bytes that a task may take for the keys of its bucket at a time.
_KEY_MEMORY: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Matched:
    """``clashes`` are sequences; ``existing`` are events with their Timestamps (ms) in another partition's file."""

    clashes: Sequences
    existing: dict[EventKey, int]


@dataclass(frozen=True, slots=True)
class ExistingKeys:
    """Reads the keys of other partitions' files."""

    lake_url: str
    files: Sequence[ExistingFile]
    buckets: Sequence[int]

    def map_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The keys of the files with these numbers, divided among the buckets."""
        try:
            lake = open_store(self.lake_url)
            for batch in batches:
                for number in batch["id"].to_pylist():
                    for keys in read_existing_keys(lake, self.files[number]):
                        for record in key_records(Kind.EXISTING_KEYS, keys, self.buckets):
                            yield record.to_arrow()
        except AuditPipelineError as error:
            yield ShuffleRecord.of_outcome(error).to_arrow()


@dataclass(frozen=True, slots=True)
class Matching:
    """Compares the keys of one bucket."""

    scratch_dir: Path | None

    def map_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The outcome, a :class:`Matched`. ``batches`` have the kind and the payload of the bucket's records."""
        with scratch_folder(self.scratch_dir) as folder:
            files: dict[int, list[Path]] = {Kind.KEYS: [], Kind.EXISTING_KEYS: []}
            for batch in batches:
                for kind, payload in zip(batch["kind"].to_pylist(), batch["payload"], strict=True):
                    if kind == Kind.OUTCOME:  # the error of a task that could not read a file
                        yield pa.RecordBatch.from_arrays([pa.array([payload.as_py()], pa.binary())], ["payload"])
                        return
                    name = folder / f"{kind}-{len(files[kind]):06}"
                    files[kind].append(write_table(read_table(payload.as_buffer()), name))
            clashes: list[Sequences] = [np.array([], np.uint64)]
            existing: dict[EventKey, int] = {}
            for keys in key_groups(files[Kind.KEYS], _KEY_MEMORY):
                of_group = _existing_among(keys, files[Kind.EXISTING_KEYS])
                clashes.append(find_clashes(keys, of_group))
                existing |= of_group
            yield outcome(Matched(np.concatenate(clashes), existing))


def _existing_among(keys: pa.Table, files: Sequence[Path]) -> dict[EventKey, int]:
    """The events of ``keys`` that other partitions' files hold too, with their Timestamps (ms) there."""
    ids = keys["Id"].combine_chunks()
    near = [table.filter(pc.is_in(table["Id"], value_set=ids)) for file in files for table in read_tables(file)]
    existing = [key for table in near for key in _event_keys(table).items()]
    if not existing:
        return {}
    known = pa.array([event_id for (_, _, event_id), _ in existing], pa.string())
    own = _event_keys(keys.filter(pc.is_in(keys["Id"], value_set=known)))
    return {key: ms for key, ms in existing if key in own}


def _event_keys(table: pa.Table) -> dict[EventKey, int]:
    columns = (table[name].to_pylist() for name in ("dt", "source", "Id"))
    return dict(zip(zip(*columns, strict=True), table["Timestamp"].cast(pa.int64()).to_pylist(), strict=True))
