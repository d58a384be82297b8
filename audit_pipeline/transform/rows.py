"""The rows that pass from decoding to writing, with the columns by which duplicates are found."""

import hashlib
from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, ROW_SCHEMA

__all__ = [
    "DECODED_SCHEMA",
    "FIRST_OWN_SEQUENCE",
    "PLACEHOLDER_INDEX",
    "REJECTED_SCHEMA",
    "SEQUENCE_SHIFT",
    "digest_of",
]

#: ``sequence`` numbers the events of a run in the order of delivery: above this many bits the number of the object in
#: (delivery hour, key) order, from 1, and below them the number of the document within the object.
SEQUENCE_SHIFT: Final = 32

#: Sequences below this belong to rows that the table holds already.
FIRST_OWN_SEQUENCE: Final = 1 << SEQUENCE_SHIFT

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


def digest_of(bad: Iterable[tuple[int, bytes]]) -> bytes:
    """A digest of an event's quarantined entities: (EntityIndex, Raw), in order."""
    digest = hashlib.sha256()
    for index, raw in bad:
        digest.update(b"%d %d " % (index, len(raw)) + raw)
    return digest.digest()
