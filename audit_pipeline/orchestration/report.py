"""What Dagster shows of a day: listings and manifests as metadata. Numbers stay numbers: Dagster plots them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final
from urllib.parse import quote, urlsplit

import dagster as dg

from audit_pipeline.catalog import DayInTable
from audit_pipeline.catalog.results import QueryStats
from audit_pipeline.store.layout import DeliveryHour, delivery_hour_of, manifest_path
from audit_pipeline.store.manifest import InputObject, Manifest
from audit_pipeline.store.objects import ObjectInfo, Store
from audit_pipeline.store.raw import NAMED_STRAYS, Inventory
from audit_pipeline.store.s3 import s3_endpoint

__all__ = ["Metadata", "bar_chart", "describe_inventory", "describe_manifest", "describe_table", "markdown_table"]

Metadata = dict[str, dg.MetadataValue]

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_CHART_LINES: Final = 4
#: Files and sources that are listed; the manifest has all of them.
_LISTED: Final = 50


def describe_inventory(raw: Store, inventory: Inventory) -> Metadata:
    """The raw objects that a run of the partition reads, and those that it does not."""
    partition, objects = inventory.partition, inventory.inputs
    named = inventory.strays[:NAMED_STRAYS]
    return {
        "objects": _number(len(objects)),
        "objects_skipped": _number(len(inventory.skipped)),
        "objects_strays": _number(len(inventory.strays)),
        "bytes_in": _number(sum(info.size for info in objects)),
        **({"strays": dg.MetadataValue.json(named)} if named else {}),
        **_delivery_hours(partition, objects),
        "folder": link(raw, DeliveryHour(partition, 0).prefix.rsplit("hour=", 1)[0]),
    }


def describe_manifest(lake: Store, manifest: Manifest) -> Metadata:
    """What a run read, wrote, dropped and quarantined."""
    events, seconds = manifest.events, (manifest.finished_at - manifest.started_at).total_seconds()
    rows_per_source: Counter[str] = Counter()
    for output in manifest.outputs:
        rows_per_source[output.source] += output.rows
    numbers = {
        "objects": manifest.objects.read,
        "objects_unreadable": manifest.objects.unreadable,
        "objects_skipped": manifest.objects.skipped or 0,
        "objects_strays": manifest.objects.strays or 0,
        "unreadable_bytes": manifest.unreadable_bytes or 0,
        "text_bytes": manifest.text_bytes.read if manifest.text_bytes else 0,
        "text_bytes_quarantined": manifest.text_bytes.quarantined if manifest.text_bytes else 0,
        "events": events.read,
        "events_kept": events.kept,
        "events_duplicate": events.duplicate,
        "events_deferred": events.deferred,
        "events_quarantined": events.quarantined,
        "rows": manifest.rows,
        "rows_late": manifest.late_rows,
        "quarantined": manifest.quarantined_records,
        "bytes_in": sum(item.size for item in manifest.inputs),
        "bytes_out": sum(output.size for output in manifest.outputs),
        "files": len(manifest.outputs),
    }
    return {
        "dagster/row_count": _number(manifest.rows),
        **{name: _number(number) for name, number in numbers.items()},
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "quarantined_by_reason": _counts("reason", "records", manifest.quarantine.by_reason),
        "rows_per_source": _counts("source", "rows", rows_per_source),
        **_delivery_hours(manifest.partition, manifest.inputs),
        "data_files": _data_files(lake, manifest),
        "manifest": link(lake, manifest_path(manifest.partition)),
        **({"quarantine": link(lake, manifest.quarantine.path)} if manifest.quarantine.path else {}),
        "run_of_manifest": dg.MetadataValue.text(manifest.run_id),
    }


def describe_table(location: str, day: DayInTable) -> Metadata:
    """What queries of the table show of the partition."""
    hours = [f"{hour:02}" for hour in range(24)]
    rows = [day.rows_by_hour.get(hour, 0) for hour in range(24)]
    table = markdown_table(["hour of Timestamp", "rows"], zip(hours, rows, strict=True))
    return {
        "dagster/row_count": _number(day.rows_of_date),
        "rows_of_partition": _number(day.rows_owned),
        "rows_of_date": _number(day.rows_of_date),
        "event_hours_chart": dg.MetadataValue.md(bar_chart(hours, rows)),
        "event_hours": dg.MetadataValue.md(table),
        "table": dg.MetadataValue.text(location),
        **(_queries(day.stats) if day.stats else {}),
    }


def link(store: Store, key: str) -> dg.MetadataValue:
    """Where an object or folder is: a path or, in AWS, a link to the console."""
    url = _console_url(store, key)
    if url:
        return dg.MetadataValue.url(url)
    return dg.MetadataValue.path(store.root / key if store.root is not None else store.url_of(key))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with all columns but the first aligned to the right, as numbers are."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def bar_chart(labels: Sequence[str], values: Sequence[int]) -> str:
    """Vertical bars of block characters in a fenced block, one per value, with every other label below."""
    top = max(values, default=0)
    # rounded up, so that a small value shows
    heights = [-(-value * _CHART_LINES * 8 // top) if top else 0 for value in values]
    lines = [
        "".join(_BLOCKS[max(0, min(8, height - 8 * line))] * 2 + " " for height in heights).rstrip()
        for line in reversed(range(_CHART_LINES))
    ]
    lines.append("".join(f"{label:2} " if n % 2 == 0 else "   " for n, label in enumerate(labels)).rstrip())
    return "\n".join(["```", *lines, "```"])


def _queries(stats: QueryStats) -> Metadata:
    """What the queries of the table took, as far as the backend reports it."""
    metadata: Metadata = {"query_seconds": dg.MetadataValue.float(round(stats.seconds, 3))}
    if stats.bytes_scanned is not None:
        metadata["query_bytes_scanned"] = _number(stats.bytes_scanned)
    if stats.cost_usd is not None:
        metadata["query_cost_usd"] = dg.MetadataValue.float(round(stats.cost_usd, 8))
    if stats.query_id is not None:
        metadata["query_id"] = dg.MetadataValue.text(stats.query_id)
    return metadata


def _delivery_hours(partition: date, objects: Sequence[ObjectInfo | InputObject]) -> Metadata:
    """The histogram of the hour folders: those of the day, then the grace hours of the next day."""
    sizes: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for item in objects:
        hour = delivery_hour_of(item.key)
        sizes[(hour.day - partition).days, hour.hour].append(item.size)
    shown = [(0, hour) for hour in range(24)] + sorted(slot for slot in sizes if slot[0])
    labels = [f"{hour:02}" if day == 0 else f"+{hour}" for day, hour in shown]
    rows = [(label, len(sizes[slot]), sum(sizes[slot])) for label, slot in zip(labels, shown, strict=True)]
    return {
        "delivery_hours_chart": dg.MetadataValue.md(bar_chart(labels, [size for _, _, size in rows])),
        "delivery_hours": dg.MetadataValue.md(markdown_table(["hour folder", "objects", "bytes"], rows)),
    }


def _data_files(lake: Store, manifest: Manifest) -> dg.MetadataValue:
    shown = manifest.outputs[:_LISTED]
    rows = [(_linked(lake, output.path), output.rows, output.size) for output in shown]
    table = markdown_table(["file", "rows", "bytes"], rows)
    more = len(manifest.outputs) - len(shown)
    return dg.MetadataValue.md(table + (f"\n\nand {more:,} more, see the manifest" if more else ""))


def _linked(lake: Store, path: str) -> str:
    url = _console_url(lake, path)
    return f"[{path}]({url})" if url else f"`{lake.root / path if lake.root is not None else lake.url_of(path)}`"


def _console_url(store: Store, key: str) -> str | None:
    if store.root is not None or s3_endpoint():
        return None
    parts = urlsplit(store.url_of(key))
    kind = "buckets" if key.endswith("/") else "object"
    return f"https://s3.console.aws.amazon.com/s3/{kind}/{parts.netloc}?prefix={quote(parts.path.lstrip('/'))}"


def _counts(name: str, counted: str, counts: Mapping[str, int]) -> dg.MetadataValue:
    if not counts:
        return dg.MetadataValue.md("none")
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows: list[tuple[str, int]] = most[:_LISTED]
    if len(most) > _LISTED:
        rows.append((f"{len(most) - _LISTED:,} others", sum(count for _, count in most[_LISTED:])))
    return dg.MetadataValue.md(markdown_table([name, counted], rows))


def _number(value: int) -> dg.MetadataValue:
    return dg.MetadataValue.int(value)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
