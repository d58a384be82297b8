"""The relay: sends the entries of an outbox to the bus, and survives failures of both."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Final

from audit_pipeline.producer.claim_check import ClaimCheck
from audit_pipeline.producer.delivery import Backoff, Delivery, Pending, Sender, is_final, log_retries
from audit_pipeline.producer.entries import DEFAULT_EVENT_BYTES
from audit_pipeline.producer.errors import SetupError
from audit_pipeline.producer.outbox.outbox import Outbox
from audit_pipeline.producer.transport import Accepted, Outcome, Refused, Transport

__all__ = ["OutboxRelay"]

#: Entries read at once.
_PAGE_SIZE: Final = 500

_log = logging.getLogger(__name__)


class OutboxRelay:
    """Sends the entries of an outbox, in order per entity, and removes those that the bus has accepted.

    An entry is removed after the bus has it, so a relay that is killed in between sends it twice; both copies have the
    same ``event_id``. Entries that the bus finally refuses are parked in the outbox and logged. Of several relays of
    one outbox one is active, and another takes over ``lease_seconds`` after its last sign of life. Their clocks should
    agree to within that; if they do not, or the active one was frozen for longer, both send for a while: twice, never
    less.
    """

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        claim_check: ClaimCheck | None = None,
        max_event_bytes: int = DEFAULT_EVENT_BYTES,
        backoff: Backoff | None = None,
        lease_seconds: float = 60.0,
        poll_seconds: float = 1.0,
    ) -> None:
        self._outbox = outbox
        self._sender = Sender(transport, claim_check, max_event_bytes)
        self._backoff = backoff or Backoff()
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._renew_at = 0.0
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def run(self, stop: threading.Event) -> None:
        """Drain every ``poll_seconds`` until ``stop`` is set. Errors of the database or of the setup are logged."""
        while not stop.is_set():
            try:
                self.drain(stop)
            except SetupError as error:
                _log.error("%s; next attempt in %s seconds", error, self._poll_seconds)
            except Exception:
                # a database outage must not end the relay, which nobody would restart
                _log.exception("the outbox could not be drained; next attempt in %s seconds", self._poll_seconds)
            stop.wait(self._poll_seconds)

    def drain(self, stop: threading.Event | None = None) -> int:
        """Send until no entry is left to be sent, ``stop`` is set, or another relay has the lease.

        Returns how many entries the bus accepted. Temporary failures are retried without limit. :class:`SetupError`,
        with nothing parked, where this process has no region, no credentials or the like.
        """
        stop = stop or threading.Event()
        sent = 0
        if not self._outbox.pending(1):  # an idle relay only reads the outbox
            return 0
        try:
            while self._has_lease(stop) and (page := self._outbox.pending(_PAGE_SIZE)):
                delivery = Delivery(self._sender, self._backoff)
                for record in page:
                    delivery.add(Pending(record.position, record.entry))
                while delivery and self._has_lease(stop):
                    sent += self._send_batch(delivery, stop)
        finally:
            self._renew_at = 0.0
            self._outbox.release_lease(self._owner)
        return sent

    def _has_lease(self, stop: threading.Event) -> bool:
        if stop.is_set():
            return False
        if monotonic() < self._renew_at:
            return True
        requested_at = monotonic()
        is_held = self._outbox.hold_lease(self._owner, self._lease_seconds)
        self._renew_at = requested_at + self._lease_seconds / 3 if is_held else 0.0
        return is_held

    def _send_batch(self, delivery: Delivery, stop: threading.Event) -> int:
        batch = delivery.take(monotonic())
        if not batch:
            wait = delivery.seconds_to_wait(monotonic()) or 0.0
            stop.wait(min(wait, self._lease_seconds / 3))
            return 0
        outcomes = self._sender.send(batch)
        log_retries(batch, outcomes)
        _raise_setup_problem(outcomes)
        accepted = self._record(batch, outcomes)
        delivery.settle(batch, outcomes, monotonic())
        return accepted

    def _record(self, batch: Sequence[Pending], outcomes: Sequence[Outcome]) -> int:
        accepted = [p.number for p, outcome in zip(batch, outcomes, strict=True) if isinstance(outcome, Accepted)]
        if accepted:
            self._outbox.remove(accepted)
        for pending, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Refused) and is_final(outcome, len(batch)):
                _log.error("%s was refused and is parked: %s: %s", pending.entry, outcome.code, outcome.message)
                self._outbox.park(pending.number, f"{outcome.code}: {outcome.message}")
        return len(accepted)


def _raise_setup_problem(outcomes: Sequence[Outcome]) -> None:
    """Raise an error of the setup, of which no entry is the reason; all would be parked for it."""
    for outcome in outcomes:
        if isinstance(outcome, Refused) and outcome.by_setup:
            raise SetupError(f"nothing can be sent from this process: {outcome.code}: {outcome.message}")
