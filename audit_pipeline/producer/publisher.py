"""The publisher: accepts events from any thread, and sends them from a thread of its own.

Threads: every method may be called from any thread.

Forks: a fork waits for the request in progress. The child starts with an empty buffer, and with a thread and
connections of its own, as its parent sends what was published before; receipts stay the parent's.

Exit: what is in the buffer when the interpreter ends is sent first, for up to ``close_seconds``, and each event that
could not be sent is logged. A process that is killed (also by SIGTERM without a handler) loses its buffer; the outbox
does not.
"""

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

from audit_pipeline.producer.build import EventBuilder
from audit_pipeline.producer.claim_check import ClaimCheck
from audit_pipeline.producer.delivery import Backoff, Delivery, Pending, Sender, is_final, log_retries
from audit_pipeline.producer.entries import DEFAULT_EVENT_BYTES, Entry
from audit_pipeline.producer.errors import (
    BufferFullError,
    DeliveryError,
    FlushTimeoutError,
    PublisherClosedError,
    Undelivered,
)
from audit_pipeline.producer.event import AuditEvent
from audit_pipeline.producer.forks import watch_forks
from audit_pipeline.producer.redaction import Redactor
from audit_pipeline.producer.transport import Accepted, EventBridge, Outcome, Refused, Transport

__all__ = ["AuditPublisher", "Receipt"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An event that is in the buffer. ``await`` it, or call :meth:`result`, to wait until the bus has it."""

    event_id: str
    _delivered: "Future[str]"

    def result(self, timeout: float | None = None) -> str:
        """The bus's own id of the event, or the URL of the object that the claim check wrote.

        :class:`DeliveryError` where it was refused or not sent before ``close``, ``TimeoutError`` after ``timeout``
        seconds.
        """
        return self._delivered.result(timeout)

    def __await__(self) -> Generator[Any, None, str]:
        return asyncio.wrap_future(self._delivered).__await__()


class AuditPublisher:
    """Publishes one service's events.

    ``source`` is the service's name, ``transport`` the bus, as :class:`EventBridge` with its name. ``claim_check``
    takes events of more than ``max_event_bytes``, which are refused without it. ``redactor`` is called for every field
    first.

    Back-pressure: the buffer holds at most ``buffer_bytes`` of events; then ``publish`` blocks for up to
    ``publish_seconds`` (None: without limit) and raises. Temporary failures are retried without limit, with ``backoff``
    in between. An event that the bus finally refuses is passed to ``on_undelivered``, in the sending thread; without
    one, or where it raises, the event stays in the buffer until ``flush`` or ``close`` raises it.
    """

    def __init__(
        self,
        source: str,
        transport: Transport | None = None,
        *,
        claim_check: ClaimCheck | None = None,
        redactor: Redactor | None = None,
        max_event_bytes: int = DEFAULT_EVENT_BYTES,
        buffer_bytes: int = 64 << 20,
        publish_seconds: float | None = 10.0,
        close_seconds: float | None = 30.0,
        backoff: Backoff | None = None,
        on_undelivered: Callable[[Undelivered], None] | None = None,
    ) -> None:
        self._builder = EventBuilder(
            source, redactor=redactor, max_event_bytes=max_event_bytes, allow_large=claim_check is not None
        )
        self._sender = Sender(transport or EventBridge(), claim_check, max_event_bytes)
        self._backoff = backoff or Backoff()
        self._buffer_bytes = buffer_bytes
        self._publish_seconds = publish_seconds
        self._close_seconds = close_seconds
        self._on_undelivered = on_undelivered
        self._is_closed = False
        self._start_empty()
        watch_forks(self)
        atexit.register(self._close_at_exit)

    def _start_empty(self) -> None:
        self._changed = threading.Condition()
        self.sending = threading.Lock()
        self._delivery = Delivery(self._sender, self._backoff)
        self._thread: threading.Thread | None = None
        self._number = 0
        self._bytes = 0
        self._undelivered: list[Undelivered] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Publishing

    def publish(self, event: AuditEvent) -> Receipt:
        """Check an event, give it an id and put it into the buffer.

        :class:`InvalidEventError` and :class:`EventTooLargeError` where the event itself is refused,
        :class:`BufferFullError` where there was no room, :class:`PublisherClosedError` after ``close``.
        """
        return self.send(self._builder.build(event))

    def send(self, entry: Entry) -> Receipt:
        """Put an entry that was built before into the buffer: of an outbox, or of a ``DeliveryError``."""
        seconds = self._publish_seconds
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_closed or self._has_room(entry), seconds):
                raise self._full(entry)
            return self._take(entry)

    def try_send(self, entry: Entry) -> Receipt | None:
        """Put an entry into the buffer without waiting; None where there is no room."""
        with self._changed:
            return self._take(entry) if self._is_closed or self._has_room(entry) else None

    def build(self, event: AuditEvent) -> Entry:
        """The checked entry of an event, with its id; it is not sent."""
        return self._builder.build(event)

    def _has_room(self, entry: Entry) -> bool:
        return self._bytes == 0 or self._bytes + entry.size <= self._buffer_bytes

    def _take(self, entry: Entry) -> Receipt:
        if self._is_closed:
            raise PublisherClosedError(f"{entry} was not accepted: this publisher is closed")
        self._number += 1
        pending = Pending(self._number, entry)
        self._delivery.add(pending)
        self._bytes += entry.size
        if self._thread is None:
            # started on first use, so that a server that forks its workers does not lose it
            self._thread = threading.Thread(target=self._run, name="audit-publisher", daemon=True)
            self._thread.start()
        self._changed.notify_all()
        return Receipt(entry.event_id, pending.delivered)

    def full_error(self, entry: Entry) -> BufferFullError:
        with self._changed:
            return self._full(entry)

    def _full(self, entry: Entry) -> BufferFullError:
        refused = f", of which {len(self._undelivered):,} were refused: flush() says why" if self._undelivered else ""
        waiting = len(self._delivery) + len(self._undelivered)
        return BufferFullError(
            f"{entry} was not accepted: {waiting:,} events ({self._bytes:,} bytes) wait in the buffer{refused}. "
            "Keep the event in an outbox, or publish it again later"
        )

    # Waiting

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the bus has everything that was published before the call.

        :class:`DeliveryError` with all refused events that ``on_undelivered`` has not taken, :class:`FlushTimeoutError`
        after ``timeout`` seconds.
        """
        with self._changed:
            last = self._number
            if not self._changed.wait_for(lambda: self._has_settled(last), timeout):
                raise self._flush_timeout(timeout)
            self._raise_undelivered()

    def _has_settled(self, number: int) -> bool:
        oldest = self._delivery.oldest
        return oldest is None or oldest.number > number

    def _flush_timeout(self, timeout: float | None) -> FlushTimeoutError:
        oldest = self._delivery.oldest
        why = f", first {oldest.entry}: {oldest.problem}" if oldest else ""
        return FlushTimeoutError(f"{len(self._delivery):,} events are still to be sent after {timeout} seconds{why}")

    def close(self) -> None:
        """Accept no more events, and send the buffer for up to ``close_seconds``; a second call does nothing.

        :class:`DeliveryError` with the events that were refused or not sent, and not taken by ``on_undelivered``.
        """
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._delivery, self._close_seconds)
            left = self._delivery.remove_all()
            self._changed.notify_all()
        atexit.unregister(self._close_at_exit)
        kept = self._resolve(left, [_not_confirmed(pending) for pending in left])
        with self._changed:
            self._keep(kept)
            self._raise_undelivered()

    def _raise_undelivered(self) -> None:
        taken, self._undelivered = self._undelivered, []
        self._bytes -= sum(undelivered.entry.size for undelivered in taken)
        self._changed.notify_all()
        if taken:
            raise DeliveryError(taken)

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except DeliveryError as error:
            for lost in error.undelivered:
                _log.error("%s is lost at exit: %s: %s", lost.entry, lost.code, lost.message)

    # The sending thread

    def _run(self) -> None:
        while batch := self._next_batch():
            with self.sending:
                outcomes = self._sender.send(batch)
            log_retries(batch, outcomes)
            kept = self._resolve(batch, outcomes)
            with self._changed:
                self._bytes -= sum(
                    pending.entry.size for pending in self._delivery.settle(batch, outcomes, monotonic())
                )
                self._keep(kept)
                self._changed.notify_all()

    def _next_batch(self) -> list[Pending]:
        """Waits for the next batch; empty when the publisher is closed and has nothing left."""
        with self._changed:
            while not (batch := self._delivery.take(monotonic())):
                if self._is_closed and not self._delivery:
                    return []
                self._changed.wait(self._delivery.seconds_to_wait(monotonic()))
            return batch

    def _resolve(self, batch: Sequence[Pending], outcomes: Sequence[Outcome]) -> list[Undelivered]:
        """Resolve the receipts of settled entries; returns the refused ones that ``on_undelivered`` has not taken."""
        kept = []
        for pending, outcome in zip(batch, outcomes, strict=True):
            if pending.delivered.done() or not is_final(outcome, len(batch)):
                continue
            if isinstance(outcome, Accepted):
                pending.delivered.set_result(outcome.receipt)
                continue
            undelivered = Undelivered(pending.entry, outcome.code, outcome.message)
            if not self._is_taken(undelivered):
                kept.append(undelivered)
            pending.delivered.set_exception(DeliveryError([undelivered]))
        return kept

    def _is_taken(self, undelivered: Undelivered) -> bool:
        _log.error("%s was not delivered: %s: %s", undelivered.entry, undelivered.code, undelivered.message)
        if self._on_undelivered is None:
            return False
        try:
            self._on_undelivered(undelivered)
        except Exception:
            _log.exception("on_undelivered failed for %s", undelivered.entry)
            return False
        return True

    def _keep(self, undelivered: Sequence[Undelivered]) -> None:
        self._undelivered += undelivered
        self._bytes += sum(kept.entry.size for kept in undelivered)

    def start_anew(self) -> None:
        self._sender.reset()
        self._start_empty()


def _not_confirmed(pending: Pending) -> Refused:
    closed = "the publisher was closed before the bus confirmed it; it may have arrived"
    return Refused("NotConfirmed", f"{closed}; {pending.problem}")
