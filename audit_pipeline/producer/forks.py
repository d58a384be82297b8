"""Makes a process that publishes fork only between two requests: see ``_before``."""

import os
import threading
import weakref
from typing import Final, Protocol

__all__ = ["Forked", "watch_forks"]


class Forked(Protocol):
    #: Held during a request, and during a fork.
    sending: threading.Lock

    def start_anew(self) -> None:
        """Called in the child: the parent sends what was published before. It makes ``sending`` a new lock."""


_watched: "Final[weakref.WeakSet[Forked]]" = weakref.WeakSet()
_forking: Final = threading.Lock()
_held: Final[list[Forked]] = []


def watch_forks(forked: Forked) -> None:
    """Hold its lock during every fork, for as long as the object lives."""
    _watched.add(forked)


def _before() -> None:
    # A request holds locks (of imports that boto3 does late, of its session) that no thread of the child would ever
    # release: its first request would wait for them for ever. So a fork waits until the requests under way have ended.
    _forking.acquire()
    _held[:] = _watched
    for forked in _held:
        forked.sending.acquire()


def _in_parent() -> None:
    for forked in _held:
        forked.sending.release()
    _held.clear()
    _forking.release()


def _in_child() -> None:
    for forked in _held:
        forked.start_anew()
    _held.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
