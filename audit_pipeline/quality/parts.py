"""The rows of one partition in parts of bounded size, whatever the size of the day and of its files."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from audit_pipeline.contract.columns import PARTITION_COLUMNS, ROW_SCHEMA, ROW_SCHEMAS
from audit_pipeline.errors import StoreError
from audit_pipeline.quality.rules import EVENT_DATE, KEY_COLUMNS
from audit_pipeline.store.layout import dt_prefix
from audit_pipeline.store.manifest import Manifest, OutputFile
from audit_pipeline.store.objects import ObjectInfo, Store

__all__ = ["read_parts"]

#: Largest part in rows. Each part costs about a fifth of a second besides its rows.
_PART_ROWS: Final = 250_000
#: Largest part in Arrow bytes of the columns read, which limits parts with large rows.
_PART_BYTES: Final = 64 << 20


def read_parts(lake: Store, manifest: Manifest, columns: Collection[str]) -> Iterator[pa.Table]:
    """The rows of the partition's files, in the order of the files: these columns, and the key columns.

    A column that an older file lacks is NULL; any other that a file lacks is missing in its parts. Raises
    :class:`StoreError` for a file that is gone or unreadable.
    """
    dates = {output.dt for output in manifest.outputs}
    listed = {info.key: info for dt in dates for info in lake.list(dt_prefix(dt).rstrip("/"))}
    wanted = {*columns, *KEY_COLUMNS} | ({"Timestamp"} if EVENT_DATE in columns else set())
    names = [name for name in ROW_SCHEMA.names if name in wanted]
    outputs = sorted(manifest.outputs, key=lambda output: output.path)
    return _joined(table for output in outputs for table in _read(lake, listed, output, names, columns))


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Concatenate small tables: a day may have thousands of small files."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        is_full = rows + len(table) > _PART_ROWS or size + table.nbytes > _PART_BYTES
        if waiting and (is_full or table.schema != waiting[0].schema):
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(table)
        rows, size = rows + len(table), size + table.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def _read(
    lake: Store,
    listed: Mapping[str, ObjectInfo],
    output: OutputFile,
    names: Sequence[str],
    columns: Collection[str],
) -> Iterator[pa.Table]:
    info = listed.get(output.path)
    if info is None:
        raise StoreError(f"{lake.url_of(output.path)} is missing: run its partition again")
    try:
        file = pq.ParquetFile(lake.open(info))
        is_older = file.schema_arrow.names in [schema.names for schema in ROW_SCHEMAS]
        lacking = [name for name in names if is_older and name not in file.schema_arrow.names]
        for batch in file.iter_batches(_rows_at_once(file.metadata, names), columns=names):
            table = pa.Table.from_batches([batch])
            for name in lacking:
                table = table.append_column(name, pa.nulls(len(table), ROW_SCHEMA.field(name).type))
            yield _completed(table, output, columns)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{lake.url_of(output.path)} cannot be read ({error}): run its partition again") from error


def _rows_at_once(metadata: pq.FileMetaData, names: Sequence[str]) -> int:
    """The number of rows that make a part, by the row group with the largest rows."""
    row_bytes = 1
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = (group.column(index) for index in range(group.num_columns))
        size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in names)
        row_bytes = max(row_bytes, size // max(group.num_rows, 1))
    return max(1, min(_PART_ROWS, _PART_BYTES // row_bytes))


def _completed(table: pa.Table, output: OutputFile, columns: Collection[str]) -> pa.Table:
    """The table with the partition columns, the event date if it is needed, and integers of 64 bits."""
    for name, value in zip(PARTITION_COLUMNS, (output.dt.isoformat(), output.source), strict=True):
        table = table.append_column(name, pa.repeat(value, len(table)))
    for number, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            # Great Expectations compares other integers one by one
            table = table.set_column(number, field.name, table[field.name].cast(pa.int64()))
        elif field.name == "Timestamp" and EVENT_DATE in columns and pa.types.is_timestamp(field.type):
            table = table.append_column(EVENT_DATE, table["Timestamp"].cast(pa.date32()).cast(pa.string()))
    return table
