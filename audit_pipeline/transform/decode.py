"""The kernel: from the bytes of raw objects to rows, rejected documents and counts, as Arrow. Pure: it does no I/O.

The rows still contain events that were delivered twice: those are found over all objects of a run
(:mod:`audit_pipeline.transform.duplicates`).
"""

import gc
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, compress, repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit_pipeline.epoch import DAY_MS
from audit_pipeline.store.layout import delivery_hour_of
from audit_pipeline.transform import nesting
from audit_pipeline.transform.broken_text import why_not_json
from audit_pipeline.transform.decoded import Counts, Decoded, RawObject
from audit_pipeline.transform.documents import Document, is_blank_from, is_broken_utf8, split_documents
from audit_pipeline.transform.exact import Exploded, explode
from audit_pipeline.transform.fast import Event, Extras, FastReader, has_safe_sources, text_sizes
from audit_pipeline.transform.fast_columns import to_table
from audit_pipeline.transform.formats import decompress
from audit_pipeline.transform.ownership import OwnedDates, Scope
from audit_pipeline.transform.rows import (
    DECODED_SCHEMA,
    DOCUMENTS_PER_OBJECT,
    PLACEHOLDER_INDEX,
    REJECTED_SCHEMA,
    digest_of,
    sequence_of,
)
from audit_pipeline.transform.times import parse_times

__all__ = ["decode", "decode_batches", "find_documents"]

#: Bytes of text that are decoded at once: few, as a window with an error is read document by document. Where a window
#: has too many brackets for the fast check of its depth, it is made smaller.
_WINDOW_BYTES: Final = 16 << 10
#: Bytes of text whose events become one table, which fits the processor's cache.
_TABLE_BYTES: Final = 512 << 10
_EDGE: Final = re.compile(rb'\}[ \t\r\n]*\{"')


def decode(objects: Iterable[RawObject], scope: Scope) -> Decoded:
    """All that ``objects`` hold for the run of ``scope``."""
    decoder = _Decoder(scope)
    for raw_object in objects:
        decoder.add(raw_object)
    return decoder.take()


def decode_batches(objects: Iterable[RawObject], scope: Scope, batch_bytes: int) -> Iterator[Decoded]:
    """All that ``objects`` hold for the run of ``scope``, in batches of whole objects, about ``batch_bytes`` each."""
    decoder = _Decoder(scope)
    for raw_object in objects:
        decoder.add(raw_object)
        if decoder.size >= batch_bytes:
            yield decoder.take()
    yield decoder.take()


def find_documents(data: bytes, numbers: Collection[int], max_text_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, bytes) of the documents with these numbers in an object; a ``sequence`` ends with the number."""
    text = decompress(data, max_text_bytes).text
    for number, document in enumerate(split_documents(text)):
        if number in numbers:
            yield number, document.start, text[document.start : document.end]


@dataclass
class _Pending:
    """Events of several windows, which become one table: a table of few rows costs as much as one of many."""

    events: list[Event] = field(default_factory=list)
    extras: Extras = field(default_factory=list)
    times: list[npt.NDArray[np.int64]] = field(default_factory=list)
    sequences: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    size: int = 0


class _Decoder:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.fast_reader = FastReader()
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
        _ObjectDecoder(self, raw_object).decode()

    # -- called by the decoder of one object

    def keep(
        self,
        events: list[Event],
        extras: Extras,
        times: npt.NDArray[np.int64],
        sequences: npt.NDArray[np.uint64],
        size: int,
    ) -> None:
        pending = self._pending
        pending.events += events
        pending.extras += extras
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
            times, sequences = np.concatenate(pending.times), np.concatenate(pending.sequences)
            table = to_table(pending.events, pending.extras, times, sequences)
            self._tables.append(table)
            self.size += table.nbytes

    @property
    def max_text_bytes(self) -> int:
        return self._scope.max_text_bytes

    def owned_dates_of(self, key: str) -> OwnedDates:
        return self._scope.owned_dates(delivery_hour_of(key))


class _ObjectDecoder:
    """Decodes the documents of one object, in their order."""

    def __init__(self, into: _Decoder, raw_object: RawObject) -> None:
        self._into = into
        self._object = raw_object
        self._owned = into.owned_dates_of(raw_object.key)
        self._sequence = sequence_of(raw_object.number, 0)

    def decode(self) -> None:
        content = decompress(self._object.data, self._into.max_text_bytes)
        self._into.counts.objects += 1
        collecting = gc.isenabled()
        gc.disable()  # nothing here makes cycles, and searching a million new objects for some is most of the cost
        try:
            self._read(content.text, content.unreadable is not None)
        finally:
            if collecting:
                gc.enable()
        if content.unreadable is not None and self._owned.is_own_day:
            self._into.counts.unreadable += 1
            self._into.counts.unreadable_bytes += len(self._object.data)
            self._reject_object(content.unreadable)

    def _read(self, data: bytes, is_cut: bool) -> None:
        view = memoryview(data)
        is_text = not is_broken_utf8(data)
        position, size = 0, _WINDOW_BYTES
        while position < len(data):
            end = _window_end(data, position, size)
            window = view[position:end]
            has_many_brackets = nesting.has_many_brackets(window)
            if has_many_brackets and len(window) < 2 * size:
                size //= 2  # to find which brackets are in strings takes longer than to read the window
                continue
            is_readable = is_text and not (has_many_brackets and nesting.is_too_deep(window))
            if is_readable and self._read_fast(window):
                position, size = end, min(2 * size, _WINDOW_BYTES)
            else:
                position = self._read_exactly(data, position, end, is_cut)

    def _read_fast(self, text: bytes | memoryview) -> bool:
        """Take the events of ``text`` (valid UTF-8); False where it is anything but well-formed events in range."""
        found = self._into.fast_reader.read(text)
        if found is None:
            return False
        events, extras = found
        if not has_safe_sources(events):
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
        sizes = text_sizes(text)
        counts = [len(event.detail.entities) for event in events]
        extras = extras or [None] * sum(counts)
        if not (first == last and self._owned.owns(first)):
            owned = np.fromiter(map(self._owned.owns, days.tolist()), np.bool_, len(events))
            self._into.counts.deferred += int(len(events) - owned.sum())
            extras = list(compress(extras, np.repeat(owned, counts)))
            events = list(compress(events, owned))
            times, sequences, sizes = times[owned], sequences[owned], sizes[owned]
        self._into.counts.text_bytes += int(sizes.sum())
        self._into.keep(events, extras, times, sequences, len(text))
        return True

    def _read_exactly(self, data: bytes, position: int, end: int, is_cut: bool) -> int:
        """Read document by document, to ``end`` at least; returns where the next window starts."""
        for document in split_documents(data, position):
            if document.start >= end and not document.is_inside:
                return document.start
            if is_cut and not document.is_json and is_blank_from(data, document.end):
                break  # the document that was cut off is part of the unreadable object's record
            raw = data[document.start : document.end]
            if not (document.is_json and self._read_fast(raw)):
                self._into.counts.read += 1
                self._take(raw, document)
                self._sequence += 1
        return len(data)

    def _take(self, raw: bytes, document: Document) -> None:
        exploded = explode(raw, self._owned) if document.is_json else _not_json(raw)
        if not self._owned.owns(exploded.day):
            self._into.counts.deferred += 1
            return
        self._into.counts.text_bytes += len(raw)
        of_event: dict[str, Any] = {
            "Offset": document.start,
            "EventId": exploded.event_id,
            "Source": exploded.source,
        }
        if exploded.problem:
            self._into.counts.quarantined += 1
            self._reject(*exploded.problem, raw, **of_event, text_bytes=len(raw))
            return
        rows = exploded.rows or [_placeholder(exploded)]
        digest = digest_of((bad.index, bad.raw) for bad in exploded.bad) if exploded.bad else None
        for row in rows:
            row |= {"sequence": self._sequence, "bad": digest}
        self._into.keep_exact(rows, len(raw))
        # of an event without any row, its first record has the whole text
        sizes = chain([0 if exploded.rows else len(raw)], repeat(0))
        for bad, size in zip(exploded.bad, sizes, strict=False):
            self._reject(bad.reason, bad.message, bad.raw, EntityIndex=bad.index, **of_event, text_bytes=size)

    def _reject_object(self, message: str) -> None:
        self._sequence = sequence_of(self._object.number, DOCUMENTS_PER_OBJECT - 1)
        self._reject("unreadable_object", message, self._object.data, text_bytes=0)

    def _reject(self, reason: str, message: str, raw: bytes, **columns: Any) -> None:
        self._into.reject(
            Reason=reason, Message=message, Raw=raw, RawKey=self._object.key, sequence=self._sequence, **columns
        )


def _window_end(data: bytes, start: int, size: int) -> int:
    """Where a window from ``start`` ends: before the next position that looks like the start of an event.

    Where that is wrong (inside of a string, say), the window is not well-formed and is read document by document.
    """
    found = _EDGE.search(data, start + size)
    return found.start() + 1 if found else len(data)


def _not_json(raw: bytes) -> Exploded:
    return Exploded(problem=("not_json", why_not_json(raw)))


def _placeholder(event: Exploded) -> dict[str, Any]:
    return {
        "Id": event.event_id,
        "Timestamp": event.time,
        "EntityId": "",
        "EntityName": "",
        "EntityIndex": PLACEHOLDER_INDEX,
        "dt": event.day,
        "source": event.source,
    }
