"""What queries of a server's table find of one partition: one statement for Athena and Trino."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from audit_pipeline.catalog.files import data_files
from audit_pipeline.catalog.literals import literal
from audit_pipeline.catalog.results import QueryStats, SqlServer, add_stats
from audit_pipeline.catalog.table import DayInTable
from audit_pipeline.store.layout import file_owner
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store

__all__ = ["look_up_day"]

#: Of one statement's sources. Athena takes 262,144 bytes, and does not say whether parameters count.
_ROOM_BYTES: Final = 200_000
#: The partition that a row's file is named after, None for a file that no run has written.
_OWNER: Final = """regexp_extract("$path", '/([0-9]{4}-[0-9]{2}-[0-9]{2})(-[0-9]{5}|)[.]parquet$', 1)"""


def look_up_day(server: SqlServer, database: str, table: str, lake: Store, manifest: Manifest) -> DayInTable:
    """As :meth:`audit_pipeline.catalog.table.Table.look_up`, over what the table of this server shows of the lake."""
    day = manifest.partition.isoformat()
    dates = sorted({manifest.partition} | {output.dt for output in manifest.outputs})
    # injected projection wants the sources named: those of the day, and under other dates of the partition's own files
    sources = {
        file.source
        for file in data_files(lake, dates)
        if file.dt == manifest.partition or file_owner(file.key) == manifest.partition
    }
    owned, by_hour = 0, Counter[int]()
    stats: list[QueryStats] = []
    for some in _batches(sorted(sources)):
        result = server.run(_statement(database, table, len(dates), len(some)), [*map(str, dates), *some])
        stats.append(result.stats)
        for dt, owner, hour, rows in zip(*result.table.to_pydict().values(), strict=True):
            owned += rows if owner == day else 0
            by_hour[hour] += rows if dt == day else 0
    return DayInTable(
        rows_owned=owned,
        rows_of_date=by_hour.total(),
        rows_by_hour={hour: rows for hour, rows in sorted(by_hour.items()) if rows},
        stats=add_stats(stats) if stats else None,
    )


def _statement(database: str, table: str, dates: int, sources: int) -> str:
    """The rows by date, by the partition that their file is named after, and by hour.

    Parameters stand in WHERE alone, where Athena takes them.
    """
    dts, injected = (", ".join("?" * count) for count in (dates, sources))
    return (
        f"""SELECT dt, {_OWNER}, hour("Timestamp"), count(*) FROM "{database}"."{table}" """
        f"WHERE dt IN ({dts}) AND source IN ({injected}) GROUP BY 1, 2, 3"
    )


def _batches(sources: Sequence[str]) -> Iterator[Sequence[str]]:
    """The sources in as few lists as fit into a statement each."""
    some: list[str] = []
    size = 0
    for source in sources:
        length = len(literal(source).encode()) + len(", ?, ")
        if some and size + length > _ROOM_BYTES:
            yield some
            some, size = [], 0
        some.append(source)
        size += length
    if some:
        yield some
