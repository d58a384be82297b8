"""DuckDB at work: how a query is stopped, how its errors are told, and when it is worth another attempt."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import duckdb

from audit_pipeline.errors import QueryCancelledError, QueryError

__all__ = ["FilesError", "retried", "running"]

_T = TypeVar("_T")

#: A run that commits while a query reads may replace files between listing and reading them.
_ATTEMPTS: Final = 3
_CANCEL_POLL_SECONDS: Final = 0.05
_CANCELLED: Final = "the query was cancelled by its caller"


class FilesError(QueryError):
    """A file could not be read; it may have been replaced meanwhile."""


@contextmanager
def running(connection: duckdb.DuckDBPyConnection, cancelled: threading.Event | None) -> Iterator[None]:
    """Inside, what the connection does is interrupted as soon as ``cancelled`` is set, and its errors become ours."""
    if cancelled is not None and cancelled.is_set():
        raise QueryCancelledError(_CANCELLED)
    with _interrupting(connection, cancelled):
        try:
            yield
        except duckdb.InterruptException as error:
            raise QueryCancelledError(_CANCELLED) from error
        except (duckdb.IOException, OSError) as error:
            # once rows flow, Arrow makes an OSError of whatever happens in DuckDB
            if cancelled is not None and cancelled.is_set():
                raise QueryCancelledError(_CANCELLED) from error
            raise FilesError(_told(error)) from error
        except duckdb.Error as error:
            raise QueryError(_told(error)) from error
        except RuntimeError as error:  # what DuckDB makes of Ctrl-C in the main thread
            if "interrupted" in str(error):
                raise KeyboardInterrupt from None
            raise


def retried(attempt: Callable[[], _T], look_again: Callable[[], None] = lambda: None) -> _T:
    """What ``attempt`` returns, tried again after ``look_again`` where a file could not be read."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except FilesError:
            look_again()
    return attempt()


@contextmanager
def _interrupting(connection: duckdb.DuckDBPyConnection, cancelled: threading.Event | None) -> Iterator[None]:
    if cancelled is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_CANCEL_POLL_SECONDS):
            if cancelled.is_set():
                connection.interrupt()

    watcher = threading.Thread(target=watch, name="cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _told(error: Exception) -> str:
    first_line = str(error).split("\n", 1)[0]
    return f"DuckDB failed at the query: {first_line}"
