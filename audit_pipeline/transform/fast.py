"""The fast path: a window of well-formed events to columns.

It reads what producers nearly always send, and gives the same rows as :mod:`audit_pipeline.transform.exact`. A window
with anything else in it is left to that, as a whole. The cost is in allocations and cache misses, so windows are small
enough for the processor's cache, and the structs are not tracked by the garbage collector.
"""

from itertools import chain
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Meta, Raw, Struct

from audit_pipeline.epoch import DAY_MS
from audit_pipeline.transform.exact import actor_type, is_safe_source
from audit_pipeline.transform.rows import DECODED_SCHEMA

__all__ = ["Event", "has_safe_sources", "read_events", "text_sizes", "to_table"]

_NULL: Final = Raw(b"null")

# Only a whole number above 0 has one spelling, so that its value gives its text: `-0`, `1.10` and `1e2` do not.
_Text = str | Annotated[int, Meta(ge=1)]
_NonEmpty = Annotated[str, Meta(min_length=1)]


class _Entity(Struct, gc=False):
    id: _NonEmpty | Annotated[int, Meta(ge=1)]
    name: _Text


class _Parent(Struct, gc=False):
    id: _Text | None = None
    name: _Text | None = None
    type: _Text | None = None


class _Actor(Struct, gc=False):
    name: _Text | None = None
    type: Raw = _NULL


class _Change(Struct, gc=False):
    entity: _Entity
    parent: _Parent | None = None
    channel_code: _Text | None = None
    channel_account_code: _Text | None = None
    before: Raw = _NULL
    after: Raw = _NULL


class _Detail(Struct, gc=False):
    entities: Annotated[list[_Change], Meta(min_length=1)]
    event_id: str | None = None
    entity_type: _Text | None = None
    action: _Text | None = None
    correlation_id: _Text | None = None
    actor: _Actor | None = None


class Event(Struct, gc=False):
    """The members of an event that columns are made of."""

    id: _NonEmpty
    source: str
    time: str
    detail: _Detail


_EVENTS = msgspec.json.Decoder(Event)
_TEXTS = msgspec.json.Decoder(Raw)
_NO_PARENT: Final = _Parent()
_NO_ACTOR: Final = _Actor()


class _Cache(dict[Any, Any]):
    """Results of a function by argument; emptied when there are ``size`` of them."""

    def __init__(self, function: Any, size: int = 10_000) -> None:
        self._function, self._size = function, size

    def __missing__(self, key: Any) -> Any:
        if len(self) >= self._size:
            self.clear()
        value = self[key] = self._function(key)
        return value


_actor_types = _Cache(actor_type)
_safe_sources = _Cache(is_safe_source)


def read_events(window: bytes | memoryview) -> list[Event] | None:
    """The events of a window of valid UTF-8; None where it holds anything else."""
    try:
        return _EVENTS.decode_lines(window)
    except (msgspec.DecodeError, RecursionError):
        return None


def text_sizes(window: bytes | memoryview) -> npt.NDArray[np.int64]:
    """The bytes of each event of a window that :func:`read_events` has read, without what separates them."""
    return np.fromiter(map(len, _TEXTS.decode_lines(window)), np.int64)


def has_safe_sources(events: list[Event]) -> bool:
    return all(_safe_sources[source] for source in {event.source for event in events})


def to_table(events: list[Event], times: npt.NDArray[np.int64], sequences: npt.NDArray[np.uint64]) -> pa.Table:
    """Rows of :data:`DECODED_SCHEMA`, one an entity change; ``times`` (ms) and ``sequences`` are the events'."""
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
    columns["bad"] = pa.nulls(len(changes), pa.binary())
    return pa.table([columns[name] for name in DECODED_SCHEMA.names], schema=DECODED_SCHEMA)


def _event_columns(
    events: list[Event], details: list[_Detail], times: npt.NDArray[np.int64], sequences: npt.NDArray[np.uint64]
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
        "dt": pa.array(times // DAY_MS, pa.int32()),
        "source": _texts([event.source for event in events]),
        "sequence": pa.array(sequences, pa.uint64()),
    }


def _change_columns(changes: list[_Change]) -> dict[str, pa.Array]:
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
