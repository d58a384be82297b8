"""What passes between decoding and writing: rows, with what duplicates are told by."""

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

#: ``sequence`` places an event among all that a run reads: the object's number in (delivery hour, key) order, then the
#: text's number within the object.
SEQUENCE_SHIFT: Final = 32

#: Objects are numbered from 1. Sequences below this are free for rows that stand in the table already.
FIRST_OWN_SEQUENCE: Final = 1 << SEQUENCE_SHIFT

#: An event none of whose entities became a row has one row with this EntityIndex, so that it takes part in the search
#: for duplicates; it is never written.
PLACEHOLDER_INDEX: Final = -1

#: Rows with ``dt`` (days since 1970), ``source``, ``sequence``, and ``bad``: the :func:`digest_of` the event's
#: quarantined entities (null where there are none), for equal events have those equal too.
DECODED_SCHEMA: Final = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("dt", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sequence", pa.uint64(), nullable=False),
        pa.field("bad", pa.binary()),
    ]
)

#: Quarantine records with the ``sequence`` of their event.
REJECTED_SCHEMA: Final = pa.schema([*QUARANTINE_SCHEMA, pa.field("sequence", pa.uint64(), nullable=False)])


def digest_of(bad: Iterable[tuple[int, bytes]]) -> bytes:
    """A digest of an event's quarantined entities: (EntityIndex, Raw), in order."""
    digest = hashlib.sha256()
    for index, raw in bad:
        digest.update(b"%d %d " % (index, len(raw)) + raw)
    return digest.digest()
