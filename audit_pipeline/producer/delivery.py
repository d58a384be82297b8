"""The delivery queue that the publisher and the relay share: what is sent next, in which order, and with what outcome.

It keeps this order: **events of the same entity (source, entity type, entity id) reach the bus in the order they were
published.** An event that is being sent or waits for a retry holds back later ones that share an entity with it, and
nothing else. So a request never contains two events of one entity (the bus may accept the second and fail the first),
and failures of one entity do not stop the others. Order across entities is not kept, nor does EventBridge keep any
behind its API: rows are ordered by their time and id.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from audit_pipeline.producer.claim_check import ClaimCheck
from audit_pipeline.producer.entries import DEFAULT_EVENT_BYTES, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, Entry
from audit_pipeline.producer.transport import Accepted, Outcome, Refused, Transport, TryAgain

__all__ = ["Backoff", "Delivery", "Pending", "Sender", "is_final", "log_retries"]

_log = logging.getLogger(__name__)

#: Events considered for one request: a long queue for one entity must not make every request scan all of it.
_LOOK_AHEAD: Final = 1000


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: 0 to ``first * 2**(failures - 1)`` seconds, at most ``longest``."""

    first: float = 0.1
    longest: float = 20.0

    def seconds(self, failures: int) -> float:
        return random.uniform(0, min(self.longest, self.first * 2.0 ** min(failures - 1, 30)))


def _uncancellable_future() -> "Future[str]":
    """A future that cannot be cancelled: giving up a receipt does not stop the event."""
    future: Future[str] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(eq=False)
class Pending:
    """An entry to be delivered. ``number`` is its position in the order of publishing; times are monotonic."""

    number: int
    entry: Entry
    delivered: "Future[str]" = field(default_factory=_uncancellable_future)
    failures: int = 0
    not_before: float = 0.0
    #: How the last attempt ended.
    problem: str = "it has not been sent yet"
    #: To be sent alone: a request that contained it was refused as a whole, perhaps because of it.
    is_suspect: bool = False


class Sender:
    """Sends batches to the bus, and large entries to the claim check."""

    def __init__(
        self, transport: Transport, claim_check: ClaimCheck | None = None, max_event_bytes: int = DEFAULT_EVENT_BYTES
    ) -> None:
        self._transport = transport
        self._claim_check = claim_check
        self._max_event_bytes = max_event_bytes

    def is_large(self, entry: Entry) -> bool:
        return entry.size > self._max_event_bytes

    def send(self, batch: Sequence[Pending]) -> Sequence[Outcome]:
        """One outcome for each; an exception is an outcome too."""
        try:
            outcomes = self._send([pending.entry for pending in batch])
        except Exception as error:
            return [TryAgain(type(error).__name__, str(error))] * len(batch)
        if len(outcomes) != len(batch):
            return [TryAgain("InvalidResponse", f"{len(outcomes)} outcomes for {len(batch)} entries")] * len(batch)
        return outcomes

    def _send(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        if not self.is_large(entries[0]):
            return self._transport.put(entries)
        if self._claim_check is None:
            problem = f"{entries[0].size:,} bytes are over {self._max_event_bytes:,}, and no claim check is configured"
            return [Refused("TooLarge", problem)]
        return [self._claim_check.put(entries[0])]

    def reset(self) -> None:
        self._transport.reset()
        if self._claim_check:
            self._claim_check.reset()


class Delivery:
    """The entries that are not yet settled, in order. It neither sends nor waits, and is not thread-safe."""

    def __init__(self, sender: Sender, backoff: Backoff) -> None:
        self._sender = sender
        self._backoff = backoff
        self._items: dict[int, Pending] = {}
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def oldest(self) -> Pending | None:
        return next(iter(self._items.values()), None)

    def add(self, pending: Pending) -> None:
        self._items[pending.number] = pending

    def take(self, now: float) -> list[Pending]:
        """The entries of the next request; empty where none can be sent at this time."""
        if now < self._paused_until:
            return []
        batch: list[Pending] = []
        size = 0
        for pending in self._first_of_their_entities():
            if pending.not_before > now:
                continue
            goes_alone = pending.is_suspect or self._sender.is_large(pending.entry)
            if goes_alone and not batch:
                batch.append(pending)
            if goes_alone or size + pending.entry.size >= MAX_BATCH_BYTES:
                break
            batch.append(pending)
            size += pending.entry.size
            if len(batch) == MAX_BATCH_ENTRIES:
                break
        return batch

    def seconds_to_wait(self, now: float) -> float | None:
        """Seconds until the next entry can be sent; None where none waits."""
        waits = [pending.not_before for pending in self._first_of_their_entities()]
        return max(0.001, max(min(waits), self._paused_until) - now) if waits else None

    def settle(self, batch: Sequence[Pending], outcomes: Sequence[Outcome], now: float) -> list[Pending]:
        """Remove and return the entries that are accepted or finally refused; the others wait for a retry."""
        retried = 0
        settled = []
        for pending, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Accepted):
                pending.problem = f"the last attempt ended with {outcome.code}: {outcome.message}"
            if isinstance(outcome, TryAgain):
                pending.failures += 1
                pending.not_before = now + self._backoff.seconds(pending.failures)
                retried += 1
            elif is_final(outcome, len(batch)):
                if self._items.pop(pending.number, None):
                    settled.append(pending)
            else:
                pending.is_suspect = True
        if retried == len(batch):  # the bus itself fails: other entries would fail too
            self._paused_until = max(pending.not_before for pending in batch)
        return settled

    def remove_all(self) -> list[Pending]:
        removed = list(self._items.values())
        self._items.clear()
        return removed

    def _first_of_their_entities(self) -> Iterator[Pending]:
        """The entries that no earlier entry holds back."""
        held: set[str] = set()
        for pending in islice(self._items.values(), _LOOK_AHEAD):
            if held.isdisjoint(pending.entry.keys):
                yield pending
            held |= pending.entry.keys


def is_final(outcome: Outcome, batch_size: int) -> bool:
    """Whether the outcome settles its entry; the refusal of a request of several entries settles none of them."""
    if isinstance(outcome, Refused):
        return not outcome.whole_request or batch_size == 1
    return isinstance(outcome, Accepted)


def log_retries(batch: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
    """One line per request, as an outage has many."""
    failed = [(p, o) for p, o in zip(batch, outcomes, strict=True) if isinstance(o, TryAgain)]
    if failed:
        pending, outcome = failed[0]
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        _log.warning("%s%s will be retried: %s: %s", pending.entry, more, outcome.code, outcome.message)
