"""What the table holds already: the published data files of other partitions under the same dates.

An event that one of them holds must not be written again (docs/design.md, "Duplicates"). A file that cannot be read
holds nothing: its partition has to run again, and compares its events with those of this run then.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit_pipeline.engines.spill import TablePartition
from audit_pipeline.epoch import day_of
from audit_pipeline.store.layout import dt_prefix, file_owner, quarantine_path
from audit_pipeline.store.objects import ObjectInfo, Store
from audit_pipeline.store.published import published
from audit_pipeline.transform.duplicates import EventKey
from audit_pipeline.transform.rows import DECODED_SCHEMA, digest_of, existing_sequence

__all__ = [
    "ExistingFile",
    "ExistingRun",
    "existing_runs",
    "find_existing_events",
    "list_existing_files",
    "read_existing_keys",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExistingFile:
    """A data file of another partition."""

    table_partition: TablePartition
    owner: date
    info: ObjectInfo


def list_existing_files(lake: Store, partition: date, days: Iterable[int]) -> list[ExistingFile]:
    """The published data files of partitions other than this one under these dates (days since 1970)."""
    found = []
    for day in sorted(days):
        listed = {info.key: info for info in lake.list(dt_prefix(day_of(day)).rstrip("/"))}
        for key in published(lake, [key for key in listed if file_owner(key) != partition]):
            owner = file_owner(key)
            assert owner is not None
            source = key.rsplit("/", 2)[-2].removeprefix("source=")
            found.append(ExistingFile((day, source), owner, listed[key]))
    return found


def read_existing_keys(lake: Store, file: ExistingFile) -> Iterator[pa.Table]:
    """``dt``, ``source``, ``Id`` and ``Timestamp`` of the rows of a file, one record batch at a time."""
    day, source = file.table_partition
    for batch in _batches_of_keys(lake, file):
        columns = [pa.array([day] * len(batch), pa.int32()), pa.array([source] * len(batch), pa.string())]
        yield pa.table([*columns, batch["Id"], batch["Timestamp"]], ["dt", "source", "Id", "Timestamp"])


def find_existing_events(lake: Store, files: Sequence[ExistingFile], keys: pa.Table) -> dict[EventKey, int]:
    """The events of ``keys`` (of this run) that ``files`` hold too, with their Timestamps (ms) there."""
    found: dict[EventKey, int] = {}
    for file in files:
        day, source = file.table_partition
        own = keys.filter(pc.and_(pc.equal(keys["dt"], day), pc.equal(keys["source"], source)))["Id"]
        if not len(own):
            continue
        for batch in _batches_of_keys(lake, file):
            both = batch.filter(pc.is_in(batch["Id"], value_set=own.combine_chunks()))
            times = both["Timestamp"].cast(pa.int64()).to_pylist()
            found |= {(day, source, event_id): ms for event_id, ms in zip(both["Id"].to_pylist(), times, strict=True)}
    return found


def existing_runs(
    lake: Store, files: Iterable[ExistingFile], table_partition: TablePartition, ids: Sequence[str]
) -> Iterator["ExistingRun"]:
    """The rows with these Ids in each of the files of a (dt, source)."""
    for file in files:
        if file.table_partition == table_partition:
            with suppress(pa.ArrowInvalid):  # a damaged file, which has been named before
                yield ExistingRun(lake, file, ids)


def _batches_of_keys(lake: Store, file: ExistingFile) -> Iterator[pa.RecordBatch]:
    try:
        reader = _open(lake, file)
    except pa.ArrowInvalid as error:
        _log.warning(
            "%s cannot be read (%s), and its events are not compared with: run partition %s again",
            *(lake.url_of(file.info.key), error, file.owner),
        )
        return
    yield from reader.iter_batches(columns=["Id", "Timestamp"])


class ExistingRun:
    """The rows with these Ids in one file: a :class:`audit_pipeline.transform.merge.SortedRun`."""

    def __init__(self, lake: Store, file: ExistingFile, ids: Sequence[str]) -> None:
        self._file = file
        self._ids = pa.array(ids, pa.string())
        self._reader = _open(lake, file)
        self._digests = _digests_of_quarantined_entities(lake, file, self._ids)
        column = self._reader.schema_arrow.get_field_index("Timestamp")
        groups = (self._reader.metadata.row_group(n) for n in range(self._reader.metadata.num_row_groups))
        times = [group.column(column).statistics.min for group in groups]
        self.first_keys = [(ms, "") for ms in pa.array(times, pa.timestamp("ms")).cast(pa.int64()).to_pylist()]

    def read(self, batch: int) -> pa.Table:
        rows = self._reader.read_row_group(batch)
        rows = rows.filter(pc.is_in(rows["Id"], value_set=self._ids))
        day, source = self._file.table_partition
        ids = rows["Id"].to_pylist()
        columns = rows.num_columns
        added = {
            "dt": pa.array([day] * len(rows), pa.int32()),
            "source": pa.array([source] * len(rows), pa.string()),
            "sequence": pa.array([existing_sequence(event_id, columns) for event_id in ids], pa.uint64()),
            "bad": pa.array([self._digests.get(event_id) for event_id in ids], pa.binary()),
        }
        given = added | dict(zip(rows.column_names, rows.columns, strict=True))
        # an older file lacks the last columns of the table
        arrays = [given[f.name] if f.name in given else pa.nulls(len(rows), f.type) for f in DECODED_SCHEMA]
        return pa.table(arrays, schema=DECODED_SCHEMA)


def _digests_of_quarantined_entities(lake: Store, file: ExistingFile, ids: pa.Array) -> dict[str, bytes]:
    """The digest of the quarantined entities of each event, by Id."""
    data = lake.get_if_exists(quarantine_path(file.owner))
    if data is None:
        return {}
    records = pq.read_table(pa.BufferReader(data), columns=["EventId", "Source", "EntityIndex", "Raw"])
    of_source = pc.and_(pc.equal(records["Source"], file.table_partition[1]), pc.is_valid(records["EntityIndex"]))
    records = records.filter(pc.and_(of_source, pc.is_in(records["EventId"], value_set=ids)))
    bad: dict[str, list[tuple[int, bytes]]] = {}
    for record in records.sort_by("EntityIndex").to_pylist():
        bad.setdefault(record["EventId"], []).append((record["EntityIndex"], record["Raw"]))
    return {event_id: digest_of(entities) for event_id, entities in bad.items()}


def _open(lake: Store, file: ExistingFile) -> pq.ParquetFile:
    return pq.ParquetFile(lake.open(file.info))
