"""The quarantine file of a run: what could not become a row, in order, then conflicting copies of events."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit_pipeline.store.layout import delivery_hour_of
from audit_pipeline.store.objects import ObjectInfo, Store
from audit_pipeline.transform.decode import find_documents
from audit_pipeline.transform.duplicates import DedupResult, Sequences
from audit_pipeline.transform.exact import explode
from audit_pipeline.transform.ownership import Scope
from audit_pipeline.transform.parquet import write_quarantine
from audit_pipeline.transform.rows import REJECTED_SCHEMA, documents_of, sequence_of

__all__ = ["Quarantined", "quarantine_records", "write_quarantine_file"]


@dataclass
class Quarantined:
    """What a quarantine file holds: records by reason, and the bytes of the texts that became no row at all."""

    by_reason: Counter[str] = field(default_factory=Counter)
    text_bytes: int = 0


def write_quarantine_file(records: Iterator[pa.Table], path: Path) -> Quarantined:
    """Write the file, unless there are no records. ``records`` are tables of REJECTED_SCHEMA."""
    quarantined = Quarantined()

    def counted() -> Iterator[pa.Table]:
        for table in records:
            quarantined.by_reason.update(table["Reason"].to_pylist())
            quarantined.text_bytes += pc.sum(table["text_bytes"]).as_py() or 0
            if len(table):
                yield table

    tables = counted()
    first = next(tables, None)
    if first is not None:
        with pa.OSFile(str(path), "wb") as sink:
            write_quarantine(itertools.chain([first], tables), sink)
    return quarantined


def quarantine_records(
    raw: Store, inputs: Sequence[ObjectInfo], scope: Scope, rejected: Iterable[pa.Table], dedup: DedupResult
) -> Iterator[pa.Table]:
    """Tables of REJECTED_SCHEMA: what decoding rejected, without that of dropped events, then the conflicts."""
    dropped = np.concatenate([dedup.duplicates, dedup.conflicts])
    for table in rejected:
        yield table.filter(pa.array(~np.isin(table["sequence"].to_numpy(), dropped)))
    yield from _conflict_records(raw, inputs, scope, dedup.conflicts)


def _conflict_records(
    raw: Store, inputs: Sequence[ObjectInfo], scope: Scope, conflicts: Sequences
) -> Iterator[pa.Table]:
    """The conflicting copies as delivered. They are few, so their documents are read again rather than kept."""
    numbers, documents = documents_of(conflicts)
    for number in np.unique(numbers).tolist():
        info = inputs[number - 1]  # objects are numbered from 1
        wanted = set(documents[numbers == number].tolist())
        data = raw.get(info.key, if_match=info.e_tag)
        owned = scope.owned_dates(delivery_hour_of(info.key))
        records: list[dict[str, Any]] = []
        for index, offset, document in find_documents(data, wanted, scope.max_text_bytes):
            event = explode(document, owned)
            records.append(
                {
                    "Reason": "conflicting_duplicate",
                    "Message": "differs from the event with the same source and id that stands in the table",
                    "RawKey": info.key,
                    "Offset": offset,
                    "EventId": event.event_id,
                    "Source": event.source,
                    "Raw": document,
                    "sequence": sequence_of(number, index),
                    "text_bytes": len(document),
                }
            )
        yield pa.Table.from_pylist(records, schema=REJECTED_SCHEMA)
