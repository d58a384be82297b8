"""Cancelling a query whose client blocks until the query has ended."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from audit_pipeline.errors import QueryCancelledError

__all__ = ["cancelled_by_caller", "cancelling"]

_POLL_SECONDS: Final = 0.05


def cancelled_by_caller() -> QueryCancelledError:
    return QueryCancelledError("the query was cancelled by its caller")


@contextmanager
def cancelling(cancel: Callable[[], object], cancelled: threading.Event | None) -> Iterator[None]:
    """While the block runs, call ``cancel`` once ``cancelled`` is set, and repeat it until the block ends.

    It is repeated because there is nothing to cancel before the engine has begun the query.
    """
    if cancelled is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_SECONDS):
            if cancelled.is_set():
                cancel()

    watcher = threading.Thread(target=watch, name="cancel-query", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
