"""DuckDB in this process, over just the data files that a statement needs."""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from time import perf_counter
from typing import Final

import duckdb
import pyarrow as pa
from sqlglot import exp

from audit_pipeline.catalog.duckdb import S3Secret, create_view, open_connection
from audit_pipeline.catalog.files import TableFile, table_files
from audit_pipeline.catalog.results import QueryStats, Result
from audit_pipeline.query.backends.execution import executing, retry_reads
from audit_pipeline.query.sql import Dialect, Statement
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.objects import Store, open_store

__all__ = ["DuckDBBackend"]

_VIEW: Final = "auditlog"


class DuckDBBackend:
    table = exp.table_(_VIEW)
    dialect: Dialect = "duckdb"
    max_parameter_characters: int | None = None
    windows = tuple(timedelta(hours=hours) for hours in (0.25, 1, 4, 16))

    def __init__(self, settings: QuerySettings) -> None:
        self._lake = open_store(settings.lake_url)
        self._connection = open_connection(settings, self._lake)
        self._secret = S3Secret() if self._lake.root is None else None

    def reader(self, days: Sequence[date], sources: Collection[str] | None) -> "_Reader":
        if self._secret:
            self._secret.renew(self._connection)
        return _Reader(self._connection, self._lake, days, sources)

    def close(self) -> None:
        self._connection.close()


class _Reader:
    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lake: Store, days: Sequence[date], sources: Collection[str] | None
    ) -> None:
        self._connection = connection
        self._lake = lake
        self._days = days
        self._requested_sources = sources
        self._files = self._list()

    @property
    def sources(self) -> Sequence[str]:
        return sorted({file.source for file in self._files})

    def run(self, statement: Statement, cancelled: threading.Event | None = None) -> Result:
        def attempt() -> pa.Table:
            with self._executed(statement, cancelled) as cursor:
                return cursor.to_arrow_table()

        started = perf_counter()
        table = retry_reads(attempt, self._refresh)
        return Result(table, QueryStats(perf_counter() - started))

    def stream(
        self, statement: Statement, batch_rows: int, cancelled: threading.Event | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches, for results of any size."""
        with self._executed(statement, cancelled) as cursor:
            yield from cursor.to_arrow_reader(batch_rows)

    @contextmanager
    def _executed(self, statement: Statement, cancelled: threading.Event | None) -> Iterator[duckdb.DuckDBPyConnection]:
        days, sources = set(statement.days), set(statement.sources)
        keys = [file.key for file in self._files if file.dt in days and file.source in sources]
        with self._connection.cursor() as cursor, executing(cursor, cancelled):
            create_view(cursor, _VIEW, self._lake, keys)
            cursor.execute(statement.sql("duckdb"), list(statement.parameters))
            yield cursor

    def _refresh(self) -> None:
        self._files = self._list()

    def _list(self) -> list[TableFile]:
        return table_files(self._lake, self._days, self._requested_sources)
