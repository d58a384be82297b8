"""What the kernel takes and what it gives: raw objects, and the rows, rejected documents and counts of them."""

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["Counts", "Decoded", "RawObject"]


@dataclass(frozen=True, slots=True)
class RawObject:
    """A raw object: its key relative to raw, its number among the run's objects in (hour, key) order, its bytes."""

    key: str
    number: int
    data: bytes


@dataclass(slots=True)
class Counts:
    """``read`` counts all documents; ``quarantined`` those that give no row, whatever else is delivered.

    ``unreadable_bytes`` are of the objects as delivered, ``text_bytes`` of the documents that the run owns.
    """

    objects: int = 0
    unreadable: int = 0
    unreadable_bytes: int = 0
    read: int = 0
    deferred: int = 0
    quarantined: int = 0
    text_bytes: int = 0

    def __iadd__(self, other: "Counts") -> "Counts":
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


@dataclass(frozen=True, slots=True)
class Decoded:
    """``rows`` of DECODED_SCHEMA and ``rejected`` of REJECTED_SCHEMA (both of :mod:`.rows`)."""

    rows: pa.Table
    rejected: pa.Table
    counts: Counts
