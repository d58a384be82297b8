"""What the table shows of one partition, by a statement that Athena and Trino run alike."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from audit_pipeline.catalog.files import table_files
from audit_pipeline.catalog.literals import sql_literal
from audit_pipeline.catalog.results import QueryStats, SqlServer, add_stats
from audit_pipeline.catalog.table import DayInTable
from audit_pipeline.store.layout import file_owner
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store

__all__ = ["look_up_day"]

#: Bytes of the sources in one statement. Athena's limit is 262,144, and it does not say whether parameters count.
_MAX_SOURCES_BYTES: Final = 200_000
#: The partition that a row's file is named after, NULL for a file that no run has written.
_OWNER: Final = """regexp_extract("$path", '/([0-9]{4}-[0-9]{2}-[0-9]{2})(-[0-9]{5}|)[.]parquet$', 1)"""


def look_up_day(server: SqlServer, database: str, table: str, lake: Store, manifest: Manifest) -> DayInTable:
    """What the table ``database.table`` of this server shows of the manifest's partition."""
    day = manifest.partition.isoformat()
    dates = sorted({manifest.partition} | {output.dt for output in manifest.outputs})
    # injected projection needs the sources by name: those of the day, and of the partition's own files of other dates
    sources = {
        file.source
        for file in table_files(lake, dates)
        if file.dt == manifest.partition or file_owner(file.key) == manifest.partition
    }
    owned, by_hour = 0, Counter[int]()
    stats: list[QueryStats] = []
    for batch in _batches(sorted(sources)):
        result = server.run(_statement(database, table, len(dates), len(batch)), [*map(str, dates), *batch])
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

    Parameters stand in WHERE alone, as Athena allows them nowhere else.
    """
    dts, injected = (", ".join("?" * count) for count in (dates, sources))
    return (
        f"""SELECT dt, {_OWNER}, hour("Timestamp"), count(*) FROM "{database}"."{table}" """
        f"WHERE dt IN ({dts}) AND source IN ({injected}) GROUP BY 1, 2, 3"
    )


def _batches(sources: Sequence[str]) -> Iterator[Sequence[str]]:
    """The sources in lists that each fit into one statement."""
    batch: list[str] = []
    size = 0
    for source in sources:
        length = len(sql_literal(source).encode()) + len(", ?, ")
        if batch and size + length > _MAX_SOURCES_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += length
    if batch:
        yield batch
