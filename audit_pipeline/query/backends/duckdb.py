"""DuckDB in this process, over just the data files that a statement may need."""

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
from audit_pipeline.catalog.files import DataFile, data_files
from audit_pipeline.catalog.results import QueryStats, Result
from audit_pipeline.errors import QueryCancelledError, QueryError
from audit_pipeline.query.sql import Dialect, Statement
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.objects import Store, open_store

__all__ = ["DuckDBBackend", "interrupting"]

_VIEW: Final = "auditlog"
#: A run that commits while a query reads may replace files between listing and reading them.
_ATTEMPTS: Final = 3
_CANCEL_POLL_SECONDS: Final = 0.05


class DuckDBBackend:
    table = exp.table_(_VIEW)
    dialect: Dialect = "duckdb"
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
        self._asked = sources
        self._files = self._list()

    @property
    def sources(self) -> Sequence[str]:
        return sorted({file.source for file in self._files})

    def run(self, statement: Statement, cancelled: threading.Event | None = None) -> Result:
        started = perf_counter()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._execute(statement, cancelled) as cursor:
                    return Result(cursor.to_arrow_table(), QueryStats(perf_counter() - started))
            except duckdb.IOException as error:
                if attempt == _ATTEMPTS:
                    raise _failure(error) from error
                self._files = self._list()
        raise AssertionError("unreachable")

    def stream(self, statement: Statement, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The rows as they come, for results of any size."""
        try:
            with self._execute(statement, None) as cursor:
                yield from cursor.to_arrow_reader(batch_rows)
        except (duckdb.IOException, OSError) as error:  # the second is Arrow's word for DuckDB's, once rows flow
            raise _failure(error) from error

    @contextmanager
    def _execute(self, statement: Statement, cancelled: threading.Event | None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that has executed; its errors in here are the caller's errors too."""
        days, sources = set(statement.days), set(statement.sources)
        keys = [file.key for file in self._files if file.dt in days and file.source in sources]
        try:
            with self._connection.cursor() as cursor, interrupting(cursor, cancelled):
                create_view(cursor, _VIEW, self._lake, keys)
                cursor.execute(statement.sql("duckdb"), list(statement.parameters))
                yield cursor
        except duckdb.InterruptException as error:
            raise QueryCancelledError("the query was cancelled") from error
        except duckdb.IOException:
            raise
        except duckdb.Error as error:
            raise _failure(error) from error

    def _list(self) -> list[DataFile]:
        return data_files(self._lake, self._days, self._asked)


@contextmanager
def interrupting(cursor: duckdb.DuckDBPyConnection, cancelled: threading.Event | None) -> Iterator[None]:
    """Interrupts what ``cursor`` does inside the block as soon as ``cancelled`` is set."""
    if cancelled is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_CANCEL_POLL_SECONDS):
            if cancelled.is_set():
                cursor.interrupt()

    watcher = threading.Thread(target=watch, name="cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _failure(error: Exception) -> QueryError:
    first_line = str(error).split("\n", 1)[0]
    return QueryError(f"DuckDB failed at the query: {first_line}")
