"""The relay: drains an outbox to the bus, for as long as it runs, whatever happens to it in between."""

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
_PAGE: Final = 500

_log = logging.getLogger(__name__)


class OutboxRelay:
    """Sends what an outbox holds, in its order per entity, and takes out what the bus has confirmed.

    An entry is taken out after the bus has it, so a relay that is killed in between sends it twice; its ``event_id``
    tells. What the bus refuses for good is parked in the outbox and logged. Of several relays over one outbox one
    works, and another takes over ``lease_seconds`` after it was last heard of. Their clocks should agree to within
    that; if they do not, or the one at work was frozen for longer, both send for a while: twice, never less.
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
        """Drain, wait ``poll_seconds``, and so on until ``stop`` is set. Errors of the database or setup are logged."""
        while not stop.is_set():
            try:
                self.drain(stop)
            except SetupError as error:
                _log.error("%s; next try in %s seconds", error, self._poll_seconds)
            except Exception:
                # a database that is away for a while must not end the relay: nobody would start it again
                _log.exception("the outbox could not be drained; next try in %s seconds", self._poll_seconds)
            stop.wait(self._poll_seconds)

    def drain(self, stop: threading.Event | None = None) -> int:
        """Send until nothing is left that can be sent, or ``stop`` is set, or another relay is at work.

        How many entries the bus took. What fails in passing is sent again, for as long as it takes.
        :class:`SetupError`, with nothing parked, where this process has no region, no credentials or the like.
        """
        stop = stop or threading.Event()
        sent = 0
        if not self._outbox.pending(1):  # an idle relay only reads
            return 0
        try:
            while self._is_at_work(stop) and (page := self._outbox.pending(_PAGE)):
                delivery = Delivery(self._sender, self._backoff)
                for record in page:
                    delivery.add(Pending(record.position, record.entry))
                while delivery and self._is_at_work(stop):
                    sent += self._send_some(delivery, stop)
        finally:
            self._renew_at = 0.0
            self._outbox.release_lease(self._owner)
        return sent

    def _is_at_work(self, stop: threading.Event) -> bool:
        if stop.is_set():
            return False
        if monotonic() < self._renew_at:
            return True
        asked_at = monotonic()
        is_held = self._outbox.hold_lease(self._owner, self._lease_seconds)
        self._renew_at = asked_at + self._lease_seconds / 3 if is_held else 0.0
        return is_held

    def _send_some(self, delivery: Delivery, stop: threading.Event) -> int:
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
    """No entry is to blame, and all would be parked."""
    for outcome in outcomes:
        if isinstance(outcome, Refused) and outcome.by_setup:
            raise SetupError(f"nothing can be sent from this process: {outcome.code}: {outcome.message}")
