"""The columns of events that the fast path has read, a column at a time."""

from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Raw

from audit_pipeline.epoch import DAY_MS
from audit_pipeline.transform.exact import actor_type
from audit_pipeline.transform.fast import Actor, Change, Detail, Event, Extras, Parent
from audit_pipeline.transform.memo import Memo
from audit_pipeline.transform.rows import DECODED_SCHEMA

__all__ = ["to_table"]

_NO_PARENT: Final = Parent()
_NO_ACTOR: Final = Actor()

_actor_types = Memo(actor_type)


def to_table(
    events: list[Event], extras: Extras, times: npt.NDArray[np.int64], sequences: npt.NDArray[np.uint64]
) -> pa.Table:
    """Rows of :data:`DECODED_SCHEMA`, one an entity change.

    ``times`` (ms) and ``sequences`` are the events', ``extras`` those of their changes.
    """
    details = [event.detail for event in events]
    entities = [detail.entities for detail in details]
    counts = np.fromiter(map(len, entities), np.int64, len(entities))
    changes = list(chain.from_iterable(entities))
    columns = _event_columns(events, details, times, sequences)
    if len(changes) > len(events):
        of_event = pa.array(np.repeat(np.arange(len(events)), counts))
        repeated = pa.RecordBatch.from_pydict(columns).take(of_event)
        columns = dict(zip(columns, repeated.columns, strict=True))
    columns |= _change_columns(changes)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    columns["EntityIndex"] = pa.array(np.arange(len(changes)) - first, pa.int32())
    columns["Extra"] = pa.array(extras, pa.binary()).view(pa.string())
    columns["bad"] = pa.nulls(len(changes), pa.binary())
    return pa.table([columns[name] for name in DECODED_SCHEMA.names], schema=DECODED_SCHEMA)


def _event_columns(
    events: list[Event], details: list[Detail], times: npt.NDArray[np.int64], sequences: npt.NDArray[np.uint64]
) -> dict[str, pa.Array]:
    actors = [detail.actor or _NO_ACTOR for detail in details]
    return {
        "Id": _texts([detail.event_id or event.id for event, detail in zip(events, details, strict=True)]),
        "Timestamp": pa.array(times, pa.timestamp("ms")),
        "ActorName": _texts([actor.name for actor in actors]),
        "ActorType": _texts([_actor_types[bytes(actor.type)] for actor in actors]),
        "EntityType": _texts([detail.entity_type for detail in details]),
        "Action": _texts([detail.action for detail in details]),
        "CorrelationId": _texts([detail.correlation_id for detail in details]),
        "EventType": _texts([event.detail_type for event in events]),
        "Account": _texts([event.account for event in events]),
        "Region": _texts([event.region for event in events]),
        "Context": _as_written([detail.context for detail in details]),
        "dt": pa.array(times // DAY_MS, pa.int32()),
        "source": _texts([event.source for event in events]),
        "sequence": pa.array(sequences, pa.uint64()),
    }


def _change_columns(changes: list[Change]) -> dict[str, pa.Array]:
    entities = [change.entity for change in changes]
    parents = [change.parent or _NO_PARENT for change in changes]
    return {
        "EntityId": _texts([entity.id for entity in entities]),
        "EntityName": _texts([entity.name for entity in entities]),
        "EntityParentId": _texts([parent.id for parent in parents]),
        "EntityParentName": _texts([parent.name for parent in parents]),
        "EntityParentType": _texts([parent.type for parent in parents]),
        "ChannelCode": _texts([change.channel_code for change in changes]),
        "ChannelAccountCode": _texts([change.channel_account_code for change in changes]),
        "Before": _as_written([change.before for change in changes]),
        "After": _as_written([change.after for change in changes]),
    }


def _texts(values: list[str | int | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except pa.ArrowTypeError:
        return pa.array([str(value) if type(value) is int else value for value in values], pa.string())


def _as_written(values: list[Raw]) -> pa.Array:
    """The texts byte for byte, in one copy: nothing is decoded and encoded again. ``null`` becomes NULL."""
    lengths = np.fromiter(map(len, values), np.int32, len(values))
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    valid = np.ones(len(values), np.bool_)
    for index in np.flatnonzero(lengths == len(b"null")).tolist():
        valid[index] = bytes(values[index]) != b"null"
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(
        pa.string(), len(values), [bitmap, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )
