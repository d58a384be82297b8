"""Ids of events: UUIDv7 (RFC 9562, 5.7), each greater than the one before it in this process.

Rows of the table are sorted by (Timestamp, Id), and the bus keeps whole seconds of a time: within a second the ids
decide what comes first.
"""

import os
import secrets
import threading
import time
from typing import Final
from uuid import UUID

__all__ = ["new_event_id"]

_RANDOM_BITS: Final = 74
_STEP_BITS: Final = 32


class _Ids:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Milliseconds since 1970 (48 bits) and 74 random bits, which are incremented within a millisecond."""
        with self._lock:
            fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
            is_same_or_earlier_ms = fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS
            self._last = self._last + 1 + secrets.randbits(_STEP_BITS) if is_same_or_earlier_ms else fresh
            return self._last


_ids = _Ids()


def new_event_id() -> str:
    number = _ids.next()
    milliseconds, a, b = number >> _RANDOM_BITS, number >> 62 & 0xFFF, number & (1 << 62) - 1
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | a << 64 | 0b10 << 62 | b))


def _start_anew() -> None:
    # a child made by fork would count on from where its parent does, behind a lock that may be held for ever
    global _ids
    _ids = _Ids()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_start_anew)
