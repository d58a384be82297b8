"""The interface of an outbox to its relay: entries in the order they were written, and a lease that one relay holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from audit_pipeline.producer.entries import Entry

__all__ = ["LEASE_TABLE", "OUTBOX_TABLE", "Outbox", "OutboxRecord", "columns_of", "entry_of"]

OUTBOX_TABLE: Final = "audit_outbox"
LEASE_TABLE: Final = "audit_outbox_lease"


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """An entry and its position; ``problem`` is why the bus refused it, where it did."""

    position: int
    entry: Entry
    problem: str | None = None


class Outbox(Protocol):
    """The relay's side of an outbox. Each call is a transaction of its own."""

    def pending(self, limit: int) -> Sequence[OutboxRecord]:
        """The oldest entries that are not parked, ordered by position."""

    def remove(self, positions: Sequence[int]) -> None:
        """Delete entries that the bus has accepted."""

    def park(self, position: int, problem: str) -> None:
        """Keep an entry that the bus refused, but leave it out of :meth:`pending` until ``send_again``."""

    def hold_lease(self, owner: str, seconds: float) -> bool:
        """Take or renew the lease for ``seconds`` from now; whether ``owner`` has it."""

    def release_lease(self, owner: str) -> None: ...


def columns_of(entry: Entry) -> dict[str, str]:
    """The columns of an entry in the table of the outbox, all text, for applications that write it themselves."""
    return {
        "event_id": entry.event_id,
        "source": entry.source,
        "detail_type": entry.detail_type,
        "event_time": entry.time.isoformat(),
        "detail": entry.detail,
        "entity_keys": json.dumps(sorted(entry.keys)),
    }


def entry_of(columns: Mapping[str, Any]) -> Entry:
    return Entry(
        event_id=columns["event_id"],
        source=columns["source"],
        detail_type=columns["detail_type"],
        time=datetime.fromisoformat(columns["event_time"]).astimezone(UTC),
        detail=columns["detail"],
        keys=frozenset(json.loads(columns["entity_keys"])),
    )
