"""The columns of the table and of the quarantine: their names, order and Arrow types."""

from typing import Final

import pyarrow as pa

__all__ = ["PARTITION_COLUMNS", "QUARANTINE_SCHEMA", "REASONS", "ROW_SCHEMA", "ROW_SCHEMAS"]

#: A row is one entity change. ``dt`` and ``source`` are not in the files: they are names of folders.
ROW_SCHEMA: Final = pa.schema(
    [
        pa.field("Id", pa.string(), nullable=False),
        # Athena reads INT64 TIMESTAMP_MILLIS; it misreads microseconds, and INT96 is deprecated.
        pa.field("Timestamp", pa.timestamp("ms"), nullable=False),
        pa.field("ActorName", pa.string()),
        pa.field("ActorType", pa.string()),
        pa.field("EntityId", pa.string(), nullable=False),
        pa.field("EntityName", pa.string(), nullable=False),
        pa.field("EntityType", pa.string()),
        pa.field("EntityParentId", pa.string()),
        pa.field("EntityParentName", pa.string()),
        pa.field("EntityParentType", pa.string()),
        pa.field("ChannelCode", pa.string()),
        pa.field("ChannelAccountCode", pa.string()),
        pa.field("Action", pa.string()),
        pa.field("Before", pa.string()),
        pa.field("After", pa.string()),
        pa.field("CorrelationId", pa.string()),
        pa.field("EntityIndex", pa.int32(), nullable=False),
        # new columns come last: they are added so to tables that stand, and older files have the first ones alone
        pa.field("EventType", pa.string()),
        pa.field("Account", pa.string()),
        pa.field("Region", pa.string()),
        pa.field("Context", pa.string()),
        pa.field("Extra", pa.string()),
    ]
)

#: As releases have written it, the oldest first.
ROW_SCHEMAS: Final = (pa.schema(list(ROW_SCHEMA)[:17]), ROW_SCHEMA)

PARTITION_COLUMNS: Final = ("dt", "source")

#: What could not become a row. ``Offset`` counts bytes of the decompressed object; ``Raw`` is the text as delivered.
QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("Reason", pa.string(), nullable=False),
        pa.field("Message", pa.string(), nullable=False),
        pa.field("RawKey", pa.string(), nullable=False),
        pa.field("Offset", pa.int64()),
        pa.field("EntityIndex", pa.int32()),
        pa.field("EventId", pa.string()),
        pa.field("Source", pa.string()),
        pa.field("Raw", pa.binary(), nullable=False),
    ]
)

REASONS: Final = (
    "not_json",
    "not_object",
    "missing_field",
    "wrong_type",
    "no_entities",
    "bad_time",
    "time_out_of_range",
    "unsafe_source",
    "conflicting_duplicate",
    "unreadable_object",
)
