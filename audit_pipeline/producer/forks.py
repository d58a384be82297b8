"""Forks of a process that publishes: none while a request is in hand."""

import os
import threading
import weakref
from typing import Final, Protocol

__all__ = ["Forked", "watch_forks"]


class Forked(Protocol):
    #: Held during a request, and by whoever forks.
    sending: threading.Lock

    def start_anew(self) -> None:
        """In the child, whose parent sends what was published before; ``sending`` is to be a new lock."""


_watched: "Final[weakref.WeakSet[Forked]]" = weakref.WeakSet()
_forking: Final = threading.Lock()
_held: Final[list[Forked]] = []


def watch_forks(one: Forked) -> None:
    """For as long as it lives."""
    _watched.add(one)


def _before() -> None:
    # A request holds locks (of imports that boto3 does late, of its session) that no thread of the child would ever
    # release: its first request would wait for them for ever. So a fork waits for the requests in hand.
    _forking.acquire()
    _held[:] = _watched
    for one in _held:
        one.sending.acquire()


def _in_parent() -> None:
    for one in _held:
        one.sending.release()
    _held.clear()
    _forking.release()


def _in_child() -> None:
    for one in _held:
        one.start_anew()
    _held.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
