"""Locks in the lake: objects that are created if absent, with an owner and an expiry.

A lock ``name`` is a series of objects ``auditlog_lock/<name>/<generation>.json``. The run that creates the next
generation holds the lock; that takes only "create if absent", which a local folder and S3 both have. The newest
generation stays after its release, so that a number is never used twice.
"""

import json
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import psutil

from audit_pipeline.errors import LostLockError, PartitionBusyError, StoreError
from audit_pipeline.store.layout import lock_prefix
from audit_pipeline.store.objects import Store

__all__ = ["Locks", "is_process_alive"]

_log = logging.getLogger(__name__)

#: Owners with locks in this process: a record of this process with another owner is of a run that did not release it.
_owners_here: Final[set[str]] = set()

#: A lock that its owner has not renewed for this long is taken over.
_LEASE: Final = timedelta(seconds=30)
_RENEWAL_SECONDS: Final = 7.0
_POLL_SECONDS: Final = 0.5
#: The clocks of two machines differ by less than this.
_CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Held:
    name: str
    generation: int
    acquired_at: datetime

    @property
    def key(self) -> str:
        return _key(self.name, self.generation)


class Locks:
    """The locks of one run, renewed in the background until they are released; a context manager."""

    def __init__(self, lake: Store, owner: str) -> None:
        self._lake = lake
        self._owner = owner
        self._held: list[_Held] = []
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew_until_stopped, name="lock-renewal", daemon=True)

    def __enter__(self) -> Self:
        _owners_here.add(self._owner)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewer.join()
        _owners_here.discard(self._owner)
        for held in reversed(self._held):
            try:
                if self._is_ours(held):
                    self._write(held, released=True)
            except StoreError as problem:  # the run is over; the next one recognises that by the lease
                _log.warning("cannot release the lock %s: %s", held.name, problem)
        self._held.clear()

    def acquire(self, name: str, *, wait_seconds: float = 0.0) -> None:
        """Take a lock. :class:`PartitionBusyError` where its owner is alive and does not release it in time.

        A killed owner is recognised by its process where that was on this machine, else by its lease running out, which
        takes up to half a minute.
        """
        deadline = time.monotonic() + wait_seconds
        seen: dict[str, Any] | None = None
        seen_at = 0.0
        while True:
            generation, record = self._newest(name)
            if record is None or record["released"] or not _may_be_alive(record):
                if self._try_create(name, generation + 1):
                    return
                continue
            if record != seen:
                renewed = seen is not None and record["owner"] == seen["owner"]
                seen, seen_at = record, time.monotonic()
            else:
                renewed = False
            if (renewed or _is_local_and_alive(record)) and time.monotonic() >= deadline:
                raise PartitionBusyError(
                    f"{name} is being written by {record['owner']} (process {record['pid']} on {record['host']}, "
                    f"since {record['acquired_at']}). Nothing was changed; run it again when that run has ended"
                )
            if time.monotonic() - seen_at > _LEASE.total_seconds():
                if self._try_create(name, generation + 1):
                    return
                continue
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise :class:`LostLockError` if a lock is no longer ours, before something is changed that it protects."""
        for held in self._held:
            if not self._is_ours(held):
                raise LostLockError(
                    f"the lock {held.name} was taken over by another run, as {self._owner} did not renew it for "
                    f"{_LEASE.seconds} seconds. This run stops without committing; run the partition again"
                )

    def _newest(self, name: str) -> tuple[int, dict[str, Any] | None]:
        objects = self._lake.list(lock_prefix(name))
        if not objects:
            return 0, None
        newest = objects[-1].key
        data = self._lake.get_if_exists(newest)
        generation = int(newest.rsplit("/", 1)[-1].removesuffix(".json"))
        return generation, None if data is None else json.loads(data)

    def _try_create(self, name: str, generation: int) -> bool:
        held = _Held(name, generation, datetime.now(UTC))
        if not self._create(held):
            return False
        older = [info.key for info in self._lake.list(lock_prefix(name)) if info.key < held.key]
        if not self._is_newest(held):  # a slow creation of a number that others have passed
            self._lake.delete([held.key])
            return False
        self._lake.delete(older)
        with self._changing:
            self._held.append(held)
        return True

    def _create(self, held: _Held) -> bool:
        """Create the record. S3 may have done so although its answer was lost, or while obstore retried: it is ours."""
        data = self._record(held, released=False)
        try:
            if self._lake.create(held.key, data):
                return True
        except StoreError:
            if self._lake.get_if_exists(held.key) != data:
                raise
            return True
        return self._lake.get_if_exists(held.key) == data

    def _is_newest(self, held: _Held) -> bool:
        return self._lake.list(lock_prefix(held.name))[-1].key == held.key

    def _is_ours(self, held: _Held) -> bool:
        generation, record = self._newest(held.name)
        return generation == held.generation and record is not None and record["owner"] == self._owner

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(_RENEWAL_SECONDS):
            with self._changing:
                held_now = list(self._held)
            for held in held_now:
                try:
                    if self._is_ours(held):
                        self._write(held, released=False)
                except StoreError:
                    continue  # the next round retries; `check` finds out if that was too late

    def _write(self, held: _Held, *, released: bool) -> None:
        self._lake.put(held.key, self._record(held, released=released))

    def _record(self, held: _Held, *, released: bool) -> bytes:
        process = psutil.Process()
        record = {
            "owner": self._owner,
            "host": socket.gethostname(),
            "pid": process.pid,
            "process_started": process.create_time(),
            "acquired_at": held.acquired_at.isoformat(timespec="seconds"),
            "expires_at": (datetime.now(UTC) + _LEASE).isoformat(),
            "released": released,
        }
        return json.dumps(record).encode()


def is_process_alive(pid: int, started: float) -> bool:
    """Whether the process ``pid`` that started at ``started`` (seconds since 1970) still runs on this machine."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 2
    except psutil.NoSuchProcess:
        return False


def _key(name: str, generation: int) -> str:
    return f"{lock_prefix(name)}{generation:09}.json"


def _is_local_and_alive(record: dict[str, Any]) -> bool:
    return record["host"] == socket.gethostname() and is_process_alive(record["pid"], record["process_started"])


def _may_be_alive(record: dict[str, Any]) -> bool:
    """Whether the owner of a lock may still be at work."""
    if datetime.now(UTC) >= datetime.fromisoformat(record["expires_at"]) + _CLOCK_SKEW:
        return False  # the run is over though its process may be alive: it could not release its lock
    if record["host"] != socket.gethostname():
        return True
    if record["pid"] == os.getpid():
        return record["owner"] in _owners_here
    return is_process_alive(record["pid"], record["process_started"])
