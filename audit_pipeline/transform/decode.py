"""The kernel: the bytes of raw objects to rows, quarantine and counts, as Arrow. Pure: no storage, no Dagster.

Rows still hold events that were delivered twice: those are found over all of a run's objects
(:mod:`audit_pipeline.transform.duplicates`).
"""

import gc
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit_pipeline.epoch import DAY_MS
from audit_pipeline.store.layout import delivery_hour_of
from audit_pipeline.transform import fast, nesting, texts
from audit_pipeline.transform.exact import Exploded, explode
from audit_pipeline.transform.gunzip import decompress
from audit_pipeline.transform.ownership import OwnedDates, Scope
from audit_pipeline.transform.rows import (
    DECODED_SCHEMA,
    PLACEHOLDER_INDEX,
    REJECTED_SCHEMA,
    SEQUENCE_SHIFT,
    digest_of,
)
from audit_pipeline.transform.times import parse_times

__all__ = ["Counts", "Decoded", "RawObject", "decode", "decode_batches", "find_texts"]

#: Bytes of text that are decoded at once. Where something is wrong in them they are read text by text, so they are
#: few; and where they hold too many brackets to be sure of their depth at a look, they are fewer.
_WINDOW_BYTES: Final = 16 << 10
#: Bytes of text whose events become one table: they fit the processor's cache.
_TABLE_BYTES: Final = 512 << 10
_EDGE: Final = re.compile(rb'\}[ \t\r\n]*\{"')
_LAST_IN_OBJECT: Final = (1 << SEQUENCE_SHIFT) - 1


@dataclass(frozen=True, slots=True)
class RawObject:
    """A raw object: its key relative to raw, its place among the run's objects in (hour, key) order, its bytes."""

    key: str
    number: int
    data: bytes


@dataclass(slots=True)
class Counts:
    """``read`` counts every text; ``quarantined`` are texts of which no row can come whatever else is delivered."""

    objects: int = 0
    unreadable: int = 0
    read: int = 0
    deferred: int = 0
    quarantined: int = 0

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


def decode(objects: Iterable[RawObject], scope: Scope) -> Decoded:
    """Everything that ``objects`` hold for the run of ``scope``, at once."""
    decoder = _Decoder(scope)
    for raw_object in objects:
        decoder.add(raw_object)
    return decoder.take()


def decode_batches(objects: Iterable[RawObject], scope: Scope, batch_bytes: int) -> Iterator[Decoded]:
    """The same in batches of about ``batch_bytes`` of Arrow data; a batch ends with an object."""
    decoder = _Decoder(scope)
    for raw_object in objects:
        decoder.add(raw_object)
        if decoder.size >= batch_bytes:
            yield decoder.take()
    yield decoder.take()


def find_texts(data: bytes, numbers: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, text) of the texts with these numbers in an object; ``sequence`` counts them so."""
    found = decompress(data).text
    for number, text in enumerate(texts.split(found)):
        if number in numbers:
            yield number, text.start, found[text.start : text.end]


@dataclass
class _Pending:
    """Events of several windows that become one table: a table of few rows costs as much as one of many."""

    events: list[fast.Event] = field(default_factory=list)
    times: list[npt.NDArray[np.int64]] = field(default_factory=list)
    sequences: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    size: int = 0


class _Decoder:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._reset()

    def _reset(self) -> None:
        self.size = 0
        self.counts = Counts()
        self._tables: list[pa.Table] = []
        self._pending = _Pending()
        self._exact_rows: list[dict[str, Any]] = []
        self._rejected: list[dict[str, Any]] = []

    def take(self) -> Decoded:
        self._flush()
        if self._exact_rows:
            self._tables.append(pa.Table.from_pylist(self._exact_rows, schema=DECODED_SCHEMA))
        decoded = Decoded(
            rows=pa.concat_tables(self._tables) if self._tables else DECODED_SCHEMA.empty_table(),
            rejected=pa.Table.from_pylist(self._rejected, schema=REJECTED_SCHEMA),
            counts=self.counts,
        )
        self._reset()
        return decoded

    def add(self, raw_object: RawObject) -> None:
        _ObjectDecoder(self, raw_object).run()

    # -- what the decoder of one object hands in

    def keep(
        self, events: list[fast.Event], times: npt.NDArray[np.int64], sequences: npt.NDArray[np.uint64], size: int
    ) -> None:
        pending = self._pending
        pending.events += events
        pending.times.append(times)
        pending.sequences.append(sequences)
        pending.size += size
        if pending.size >= _TABLE_BYTES:
            self._flush()

    def keep_exact(self, rows: list[dict[str, Any]], size: int) -> None:
        self._exact_rows += rows
        self.size += size

    def reject(self, **record: Any) -> None:
        self._rejected.append(record)
        self.size += len(record["Raw"])

    def _flush(self) -> None:
        pending, self._pending = self._pending, _Pending()
        if pending.events:
            table = fast.to_table(pending.events, np.concatenate(pending.times), np.concatenate(pending.sequences))
            self._tables.append(table)
            self.size += table.nbytes

    def owned_dates_of(self, key: str) -> OwnedDates:
        return self._scope.owned_dates(delivery_hour_of(key))


class _ObjectDecoder:
    """One object's texts, in their order."""

    def __init__(self, into: _Decoder, raw_object: RawObject) -> None:
        self._into = into
        self._object = raw_object
        self._owned = into.owned_dates_of(raw_object.key)
        self._sequence = raw_object.number << SEQUENCE_SHIFT

    def run(self) -> None:
        found = decompress(self._object.data)
        self._into.counts.objects += 1
        collecting = gc.isenabled()
        gc.disable()  # nothing here makes cycles, and looking for some in a million new objects is most of the cost
        try:
            self._read(found.text, found.unreadable is not None)
        finally:
            if collecting:
                gc.enable()
        if found.unreadable is not None and self._owned.is_own_day:
            self._into.counts.unreadable += 1
            self._reject_object(found.unreadable)

    def _read(self, data: bytes, is_cut: bool) -> None:
        view = memoryview(data)
        is_text = not texts.is_broken_utf8(data)
        position, size = 0, _WINDOW_BYTES
        while position < len(data):
            end = _window_end(data, position, size)
            window = view[position:end]
            has_many_brackets = nesting.has_many_brackets(window)
            if has_many_brackets and len(window) < 2 * size:
                size //= 2  # looking into strings for what is no level takes longer than to read it
                continue
            is_readable = is_text and not (has_many_brackets and nesting.is_too_deep(window))
            if is_readable and self._read_fast(window):
                position, size = end, min(2 * size, _WINDOW_BYTES)
            else:
                position = self._read_exactly(data, position, end, is_cut)

    def _read_fast(self, text: bytes | memoryview) -> bool:
        """Whether the text (valid UTF-8) was well-formed events and nothing else, all in range."""
        events = fast.read_events(text)
        if events is None or not fast.has_safe_sources(events):
            return False
        if not events:
            return True
        epochs = parse_times([event.time for event in events])
        if None in epochs:
            return False
        times = np.array(epochs, np.int64)
        days = times // DAY_MS
        first, last = int(days.min()), int(days.max())
        if self._owned.is_own_day and not (self._owned.is_in_range(first) and self._owned.is_in_range(last)):
            return False
        sequences = np.arange(self._sequence, self._sequence + len(events), dtype=np.uint64)
        self._sequence += len(events)
        self._into.counts.read += len(events)
        if not (first == last and self._owned.owns(first)):
            owned = np.fromiter(map(self._owned.owns, days.tolist()), np.bool_, len(events))
            self._into.counts.deferred += int(len(events) - owned.sum())
            events = [event for event, is_ours in zip(events, owned.tolist(), strict=True) if is_ours]
            times, sequences = times[owned], sequences[owned]
        self._into.keep(events, times, sequences, len(text))
        return True

    def _read_exactly(self, data: bytes, position: int, end: int, is_cut: bool) -> int:
        """Read text by text up to ``end`` at least; where the next window starts."""
        for text in texts.split(data, position):
            if text.start >= end:
                return text.start
            if is_cut and not text.is_json and texts.is_blank_from(data, text.end):
                break  # the text that the cut goes through is part of the unreadable object's record
            raw = data[text.start : text.end]
            if not (text.is_json and self._read_fast(raw)):
                self._take_text(raw, text)
        return len(data)

    def _take_text(self, raw: bytes, text: texts.Text) -> None:
        self._into.counts.read += 1
        self._explode(raw, text)
        self._sequence += 1

    def _explode(self, raw: bytes, text: texts.Text) -> None:
        found = explode(raw, self._owned) if text.is_json else _not_json(raw)
        if not self._owned.owns(found.day):
            self._into.counts.deferred += 1
            return
        told: dict[str, Any] = {"Offset": text.start, "EventId": found.event_id, "Source": found.source}
        if found.problem:
            self._into.counts.quarantined += 1
            self._reject(*found.problem, raw, **told)
            return
        rows = found.rows or [_placeholder(found)]
        digest = digest_of((bad.index, bad.raw) for bad in found.bad) if found.bad else None
        for row in rows:
            row |= {"sequence": self._sequence, "bad": digest}
        self._into.keep_exact(rows, len(raw))
        for bad in found.bad:
            self._reject(bad.reason, bad.message, bad.raw, EntityIndex=bad.index, **told)

    def _reject_object(self, message: str) -> None:
        self._sequence = (self._object.number << SEQUENCE_SHIFT) + _LAST_IN_OBJECT
        self._reject("unreadable_object", message, self._object.data)

    def _reject(self, reason: str, message: str, raw: bytes, **more: Any) -> None:
        self._into.reject(
            Reason=reason, Message=message, Raw=raw, RawKey=self._object.key, sequence=self._sequence, **more
        )


def _window_end(data: bytes, start: int, size: int) -> int:
    """Where a window from ``start`` can end: before the next place that looks like an event's start.

    Where that is wrong (inside a string, say), the window is not well-formed and is read text by text.
    """
    found = _EDGE.search(data, start + size)
    return found.start() + 1 if found else len(data)


def _not_json(raw: bytes) -> Exploded:
    return Exploded(problem=("not_json", f"{len(raw)} bytes that are no JSON text"))


def _placeholder(found: Exploded) -> dict[str, Any]:
    return {
        "Id": found.event_id,
        "Timestamp": found.time,
        "EntityId": "",
        "EntityName": "",
        "EntityIndex": PLACEHOLDER_INDEX,
        "dt": found.day,
        "source": found.source,
    }
