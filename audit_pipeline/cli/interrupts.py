"""Ctrl-C while Dagster or a query runs."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["interrupts_seen", "stoppable"]

_T = TypeVar("_T")


def stoppable(work: Callable[[threading.Event], _T]) -> _T:
    """What ``work`` returns; on Ctrl-C the event is set, and the command ends when ``work`` has seen it.

    It runs in a thread: in the main one, DuckDB looks for signals only now and then, in a long join never.
    """
    cancelled = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="query") as pool:
        future = pool.submit(work, cancelled)
        try:
            return future.result()
        except KeyboardInterrupt:
            cancelled.set()
            raise


@contextmanager
def interrupts_seen() -> Iterator[Callable[[], bool]]:
    """Whether an interrupt (SIGINT or SIGTERM) has come since the block began.

    While Dagster executes a run it handles both, ends that run at most, and may forget that it did: the runs after it
    would go on. Python's wake-up descriptor receives every signal, whichever handler is set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield lambda: _has_interrupt(reader)
        finally:
            signal.set_wakeup_fd(before)


def _has_interrupt(reader: socket.socket) -> bool:
    try:
        return bool({signal.SIGINT, signal.SIGTERM} & set(reader.recv(4096)))
    except BlockingIOError:
        return False
