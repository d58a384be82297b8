"""All rows of a query as Arrow or as a file, read from the Parquet files a day at a time in bounded memory."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import IO, Final, Literal, Protocol, get_args
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from audit_pipeline.contract.columns import PARTITION_COLUMNS, ROW_SCHEMA
from audit_pipeline.errors import StoreError
from audit_pipeline.query.backends.duckdb import DuckDBBackend
from audit_pipeline.query.errors import InvalidQueryError
from audit_pipeline.query.query import AuditLogQuery
from audit_pipeline.query.sql import Span, build_statement, reads_descending
from audit_pipeline.settings import QuerySettings

__all__ = ["EXPORT_FORMATS", "EXPORT_SCHEMA", "ExportFormat", "arrow_batches", "write_file"]

ExportFormat = Literal["csv", "jsonl", "parquet"]

#: The columns of the table, and its partition columns.
EXPORT_SCHEMA: Final = pa.schema(
    [*ROW_SCHEMA, *(pa.field(name, pa.string(), nullable=False) for name in PARTITION_COLUMNS)]
)
EXPORT_FORMATS: Final = get_args(ExportFormat)
_BATCH_ROWS: Final = 8192


def arrow_batches(
    settings: QuerySettings, query: AuditLogQuery, cancelled: threading.Event | None
) -> Iterator[pa.RecordBatch]:
    """The rows in the query's order, with :data:`EXPORT_SCHEMA`."""
    backend = DuckDBBackend(settings)
    try:
        # a row's dt is the date of its Timestamp: sorted days in order give sorted rows
        for day in sorted(query.days, reverse=reads_descending(query)):
            reader = backend.reader([day], query.sources)
            if reader.sources:
                statement = build_statement(
                    query, backend.table, reader.sources, Span.of_days(day, day + timedelta(days=1))
                )
                yield from (batch.cast(EXPORT_SCHEMA) for batch in reader.stream(statement, _BATCH_ROWS, cancelled))
    finally:
        backend.close()


def write_file(batches: Iterator[pa.RecordBatch], path: Path, format: ExportFormat) -> int:  # noqa: A002
    """Write the rows to ``path``, which appears when it is complete; returns their number."""
    if format not in _SINKS:
        raise InvalidQueryError("format", f"must be one of {', '.join(EXPORT_FORMATS)}, not {format!r}")
    staged = path.with_name(f".{path.name}.{uuid4().hex}")
    rows = 0
    try:
        with staged.open("wb") as file, _SINKS[format](file) as sink:
            for batch in batches:
                sink.write(batch)
                rows += batch.num_rows
        staged.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
    return rows


class _Sink(AbstractContextManager["_Sink"], Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...


def _csv(file: IO[bytes]) -> _Sink:
    # texts are quoted and NULL is not, which distinguishes it from an empty text
    options = pyarrow.csv.WriteOptions(quoting_style="all_valid")
    sink: _Sink = pyarrow.csv.CSVWriter(file, EXPORT_SCHEMA, write_options=options)
    return sink


def _parquet(file: IO[bytes]) -> _Sink:
    sink: _Sink = pq.ParquetWriter(file, EXPORT_SCHEMA, compression="zstd")
    return sink


class _JsonLines(AbstractContextManager["_JsonLines"]):
    """One object per row. Before and After are strings of their exact JSON texts; times end in ``Z``."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, batch: pa.RecordBatch) -> None:
        for row in batch.to_pylist():
            row["Timestamp"] = row["Timestamp"].isoformat(timespec="milliseconds") + "Z"
            self._file.write(self._encoder.encode(row) + b"\n")


_SINKS: Final[dict[str, Callable[[IO[bytes]], _Sink]]] = {"csv": _csv, "jsonl": _JsonLines, "parquet": _parquet}
