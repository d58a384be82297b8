"""Running a query in DuckDB: how it is cancelled, how its errors are reported, and when it is retried."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import duckdb

from audit_pipeline.catalog.cancellation import cancelled_by_caller, cancelling
from audit_pipeline.errors import QueryError

__all__ = ["FileReadError", "executing", "retry_reads"]

_T = TypeVar("_T")

#: A run that commits while a query reads may replace files between listing and reading them.
_ATTEMPTS: Final = 3


class FileReadError(QueryError):
    """A file could not be read; it may have been replaced since it was listed."""


@contextmanager
def executing(connection: duckdb.DuckDBPyConnection, cancelled: threading.Event | None) -> Iterator[None]:
    """While the block runs, ``cancelled`` interrupts the connection, and DuckDB's errors become ours."""
    if cancelled is not None and cancelled.is_set():
        raise cancelled_by_caller()
    with cancelling(connection.interrupt, cancelled):
        try:
            yield
        except duckdb.InterruptException as error:
            raise cancelled_by_caller() from error
        except (duckdb.IOException, OSError) as error:
            # once rows are streamed, Arrow raises every error of DuckDB as an OSError
            if cancelled is not None and cancelled.is_set():
                raise cancelled_by_caller() from error
            raise FileReadError(_message(error)) from error
        except duckdb.Error as error:
            raise QueryError(_message(error)) from error
        except RuntimeError as error:  # what DuckDB raises for Ctrl-C in the main thread
            if "interrupted" in str(error):
                raise KeyboardInterrupt from None
            raise


def retry_reads(attempt: Callable[[], _T], before_retry: Callable[[], None] = lambda: None) -> _T:
    """What ``attempt`` returns; where it could not read a file it is repeated, after a call of ``before_retry``."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except FileReadError:
            before_retry()
    return attempt()


def _message(error: Exception) -> str:
    first_line = str(error).split("\n", 1)[0]
    return f"DuckDB could not run the query: {first_line}"
