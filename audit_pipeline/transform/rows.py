"""The rows that pass from decoding to writing, with the columns by which duplicates are found."""

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, ROW_SCHEMA

__all__ = [
    "DECODED_SCHEMA",
    "DOCUMENTS_PER_OBJECT",
    "FIRST_OWN_SEQUENCE",
    "PLACEHOLDER_INDEX",
    "REJECTED_SCHEMA",
    "compared_columns",
    "digest_of",
    "documents_of",
    "existing_sequence",
    "sequence_of",
]

#: ``sequence`` numbers the events of a run in the order of delivery: the number of the object in (delivery hour, key)
#: order, from 1, above this many bits, and the number of the document within the object; plus FIRST_OWN_SEQUENCE.
_DOCUMENT_BITS: Final = 32
DOCUMENTS_PER_OBJECT: Final = 1 << _DOCUMENT_BITS

#: Sequences below this belong to rows that the table holds already: the number of columns that their file has, above
#: this many bits, and a hash of the Id.
FIRST_OWN_SEQUENCE: Final = 1 << 48
_HASH_BITS: Final = 40

#: An event whose entities are all in quarantine has one row with this EntityIndex, so that its duplicates are found; it
#: is never written.
PLACEHOLDER_INDEX: Final = -1

#: The columns of the table with ``dt`` (days since 1970), ``source``, ``sequence`` and ``bad``, the :func:`digest_of`
#: the event's quarantined entities (null where there are none): of equal events those are equal too.
DECODED_SCHEMA: Final = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("dt", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sequence", pa.uint64(), nullable=False),
        pa.field("bad", pa.binary()),
    ]
)

#: Quarantine records with the ``sequence`` of their event, and ``text_bytes``, the bytes of the event's text: 0 where
#: the event has a row, or where an earlier record has them.
REJECTED_SCHEMA: Final = pa.schema(
    [
        *QUARANTINE_SCHEMA,
        pa.field("sequence", pa.uint64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
    ]
)


def sequence_of(number: int, document: int) -> int:
    """The ``sequence`` of a document of the object with this number."""
    return FIRST_OWN_SEQUENCE + (number << _DOCUMENT_BITS) + document


def documents_of(sequences: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The numbers of objects, and of documents within them, of a run's own sequences."""
    own = (sequences - np.uint64(FIRST_OWN_SEQUENCE)).astype(np.int64)
    return own >> _DOCUMENT_BITS, own & (DOCUMENTS_PER_OBJECT - 1)


def existing_sequence(event_id: str, columns: int) -> int:
    """The ``sequence`` of an event of another partition, the same for all its rows, of a file with so many columns."""
    hashed = hashlib.blake2b(event_id.encode(), digest_size=_HASH_BITS // 8).digest()
    return (columns << _HASH_BITS) + int.from_bytes(hashed)


def compared_columns(sequence: int) -> list[str]:
    """The columns in which an event with this ``sequence`` is compared with a copy: not those that its file lacks."""
    own = sequence >= FIRST_OWN_SEQUENCE
    return [*(ROW_SCHEMA.names if own else ROW_SCHEMA.names[: sequence >> _HASH_BITS]), "bad"]


def digest_of(bad: Iterable[tuple[int, bytes]]) -> bytes:
    """A digest of an event's quarantined entities: (EntityIndex, Raw), in order."""
    digest = hashlib.sha256()
    for index, raw in bad:
        digest.update(b"%d %d " % (index, len(raw)) + raw)
    return digest.digest()
