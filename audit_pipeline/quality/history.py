"""The numbers of a partition's manifest, per source and for the day, compared with earlier manifests."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any, Final

import msgspec

from audit_pipeline.store.layout import delivery_hour_of, manifest_path
from audit_pipeline.store.manifest import Manifest, TextBytes
from audit_pipeline.store.objects import Store
from audit_pipeline.store.published import manifest_tags

__all__ = ["TRAILING_DAYS", "History", "day_line", "read_history", "source_lines"]

TRAILING_DAYS: Final = 7
#: With fewer days that have run, no number of rows counts as usual.
_LEAST_DAYS: Final = 3
#: Sources that differ from the usual by fewer rows are not compared: small sources differ by any factor.
_LEAST_DIFFERENCE: Final = 100
#: A vanished source is reported if it usually has at least this many rows.
_LEAST_USUAL_ROWS: Final = 20
#: Manifests that are read in parallel, at the cost of some that turn out not to be needed.
_READ_AT_ONCE: Final = 8


class _Output(msgspec.Struct):
    source: str
    rows: int


class _Outputs(msgspec.Struct):
    """The part of a manifest that is decoded here: its list of inputs may have 100,000 entries."""

    outputs: list[_Output]


@dataclass(frozen=True)
class History:
    """Rows by source of each of the last days that have run, and the sources that no earlier partition had.

    ``new_sources`` is None where no earlier partition has run.
    """

    trailing: Sequence[Mapping[str, int]]
    new_sources: frozenset[str] | None

    @property
    def is_enough(self) -> bool:
        return len(self.trailing) >= _LEAST_DAYS


def read_history(lake: Store, manifest: Manifest) -> History:
    """The history before a partition, read no further back than the last days and the last run of each source."""
    earlier = _earlier_partitions(lake, manifest.partition)
    since = manifest.partition - timedelta(days=TRAILING_DAYS)
    unseen = {output.source for output in manifest.outputs}
    trailing: list[Mapping[str, int]] = []
    has_earlier = False
    for partition, rows in _read(lake, earlier):
        has_earlier = True
        if partition < since and not unseen:
            break
        unseen -= rows.keys()
        if partition >= since:
            trailing.append(rows)
    return History(trailing, frozenset(unseen) if has_earlier else None)


def source_lines(manifest: Manifest, history: History, duplicate_keys: Mapping[str, int]) -> list[dict[str, Any]]:
    """A line for each source that the partition has, that the days before had, or that has duplicate keys.

    ``factor`` is how many times more or fewer rows there are than usual; None where that is not significant.
    """
    rows, late = Counter[str](), Counter[str]()
    for output in manifest.outputs:
        rows[output.source] += output.rows
        late[output.source] += output.rows if output.dt != manifest.partition else 0
    sources = sorted({*rows, *duplicate_keys, *(source for day in history.trailing for source in day)})
    return [
        {
            "source": source,
            "rows": rows[source],
            "late_rows": late[source],
            "duplicate_keys": duplicate_keys.get(source, 0),
            "is_new": None if history.new_sources is None else source in history.new_sources,
            **_compared(rows[source], [day.get(source, 0) for day in history.trailing], history.is_enough),
        }
        for source in sources
    ]


def day_line(manifest: Manifest) -> dict[str, Any]:
    """The day's numbers; ``events`` are those that it owns, ``objects`` those delivered on it.

    ``unreadable_share`` is the largest of the three shares of what became nothing (docs/design.md, "Conservation").
    """
    events, texts = manifest.events, manifest.text_bytes or TextBytes()
    owned = events.read - events.deferred
    objects = sum(delivery_hour_of(item.key).day == manifest.partition for item in manifest.inputs)
    shares = {
        "quarantine_share": events.quarantined / owned if owned else 0.0,
        "bytes_share": texts.quarantined / texts.read if texts.read else 0.0,
        "objects_share": manifest.objects.unreadable / objects if objects else 0.0,
    }
    return {
        "events": owned,
        "events_kept": events.kept,
        "events_duplicate": events.duplicate,
        "events_deferred": events.deferred,
        "events_quarantined": events.quarantined,
        "text_bytes": texts.read,
        "text_bytes_quarantined": texts.quarantined,
        "objects": objects,
        "objects_unreadable": manifest.objects.unreadable,
        **shares,
        "unreadable_share": max(shares.values()),
        "rows": manifest.rows,
        "late_rows": manifest.late_rows,
        "sources": len({output.source for output in manifest.outputs}),
    }


def _compared(rows: int, trailing: Sequence[int], is_enough: bool) -> dict[str, Any]:
    usual = float(median(trailing)) if is_enough else None
    compared: dict[str, Any] = {"usual_rows": usual, "days_compared": len(trailing), "factor": None}
    # a source without any earlier rows is new, which is another check
    if usual is None or not any(trailing):
        return compared
    has_vanished = rows == 0 and usual >= _LEAST_USUAL_ROWS
    if has_vanished or abs(rows - usual) >= _LEAST_DIFFERENCE:
        compared["factor"] = max(rows, usual) / max(1, min(rows, usual))
    return compared


def _earlier_partitions(lake: Store, partition: date) -> list[date]:
    return sorted((day for day in manifest_tags(lake) if day < partition), reverse=True)


def _read(lake: Store, partitions: Sequence[date]) -> Iterator[tuple[date, Mapping[str, int]]]:
    with ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="manifest") as pool:
        for start in range(0, len(partitions), _READ_AT_ONCE):
            some = partitions[start : start + _READ_AT_ONCE]
            for day, rows in zip(some, pool.map(lambda day: _rows_by_source(lake, day), some), strict=True):
                if rows is not None:
                    yield day, rows


def _rows_by_source(lake: Store, partition: date) -> Mapping[str, int] | None:
    """None if the manifest is gone or broken, which is a problem of its own partition, not of later ones."""
    data = lake.get_if_exists(manifest_path(partition))
    if data is None:
        return None
    try:
        manifest = msgspec.json.decode(data, type=_Outputs)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    rows = Counter[str]()
    for output in manifest.outputs:
        rows[output.source] += output.rows
    return rows
