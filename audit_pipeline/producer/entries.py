"""An event as it is sent to the bus, and the limits of its size."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

__all__ = [
    "DEFAULT_EVENT_BYTES",
    "MAX_BATCH_BYTES",
    "MAX_BATCH_ENTRIES",
    "MAX_EVENT_BYTES",
    "Entry",
]

#: PutEvents accepts 1 to 10 entries (its model in botocore).
MAX_BATCH_ENTRIES: Final = 10
#: "The total entry size must be less than 1MB" (the same), read in the smaller sense of MB.
MAX_BATCH_BYTES: Final = 1_000_000
#: A record of Firehose has at most 1,024,000 bytes, EventBridge's envelope included, for which this leaves ample room.
MAX_EVENT_BYTES: Final = 900 * 1024
#: What every target of a bus accepts (256 KB was the limit of the whole request until 2026).
DEFAULT_EVENT_BYTES: Final = 256 * 1024

#: The size of a ``Time`` ("Calculating PutEvents event entry size" in the EventBridge user guide).
_TIME_BYTES: Final = 14


@dataclass(frozen=True)
class Entry:
    """One event, ready to be sent any number of times: all copies are equal byte for byte.

    ``time`` is UTC in whole seconds, ``detail`` JSON text; ``keys`` are the entities within which order is kept.
    """

    event_id: str
    source: str
    detail_type: str
    time: datetime
    detail: str
    keys: frozenset[str]

    @cached_property
    def size(self) -> int:
        """Bytes as PutEvents counts them."""
        return _TIME_BYTES + sum(len(text.encode()) for text in (self.source, self.detail_type, self.detail))

    def __str__(self) -> str:
        return f"event {self.event_id} ({self.detail_type} from {self.source})"
