"""Errors between an application and the bus; each names the event that it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit_pipeline.errors import AuditPipelineError

if TYPE_CHECKING:
    from audit_pipeline.producer.entries import Entry

__all__ = [
    "BufferFullError",
    "DeliveryError",
    "EventTooLargeError",
    "FlushTimeoutError",
    "InvalidEventError",
    "ProducerError",
    "PublisherClosedError",
    "SetupError",
    "Undelivered",
]

#: Events that an error's text names one by one.
_NAMED = 3


class ProducerError(AuditPipelineError):
    """Base of the producer's errors."""


class InvalidEventError(ProducerError):
    """An event breaks the contract, or contains a value that cannot be written exactly. Nothing was sent."""


class EventTooLargeError(InvalidEventError):
    """An event is larger than the bus or its target accepts. Nothing was sent."""


class PublisherClosedError(ProducerError):
    """An event was published after ``close``."""


class BufferFullError(ProducerError):
    """The buffer stayed full for as long as ``publish`` may wait. The event was not accepted."""


class FlushTimeoutError(ProducerError):
    """``flush`` ran out of time; the events are still in the buffer and are still being sent."""


class SetupError(ProducerError):
    """A relay can send nothing from its process: no region, no credentials, … The events are still in the outbox."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event that the bus did not accept: the entry, to be sent again, and the bus's code and message."""

    entry: "Entry"
    code: str
    message: str


class DeliveryError(ProducerError):
    """Events did not reach the bus; ``undelivered`` has them whole, to be kept or sent again."""

    def __init__(self, undelivered: Sequence[Undelivered]) -> None:
        self.undelivered = tuple(undelivered)
        named = "; ".join(f"{u.entry}: {u.code}: {u.message}" for u in self.undelivered[:_NAMED])
        more = f"; and {len(self.undelivered) - _NAMED:,} more" if len(self.undelivered) > _NAMED else ""
        super().__init__(
            f"{len(self.undelivered):,} audit events were not delivered: {named}{more}. "
            "They are in this error's .undelivered: keep them in an outbox, or send them again when the cause is gone"
        )
