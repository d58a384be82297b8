"""Checks that need all rows of a day at once, in DuckDB, which spills to disk what does not fit into its memory."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb

from audit_pipeline.catalog.duckdb import create_view, open_connection
from audit_pipeline.catalog.files import table_files
from audit_pipeline.errors import StoreError
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store

__all__ = ["Duplicates", "Selected", "find_duplicates", "select_rows"]

_KEY: Final = 'dt, source, "Id", "EntityIndex"'
#: Nulls are left to another check. Of other dates, only the keys that this partition wrote there count.
_KEYS: Final = f"""
    SELECT {_KEY} FROM of_dates WHERE "Id" IS NOT NULL AND "EntityIndex" IS NOT NULL
    AND (dt = $day OR (dt, source, "Id") IN (SELECT (dt, source, "Id") FROM written_late))"""


@dataclass(frozen=True)
class Duplicates:
    """Keys that occur more than once: their number by source, and the first with the number of rows (``times``)."""

    by_source: Mapping[str, int] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Selected:
    """The number of rows that a query returned, and the first of them."""

    count: int = 0
    rows: Sequence[Mapping[str, Any]] = ()
    problem: str | None = None


def find_duplicates(settings: Settings, lake: Store, manifest: Manifest, limit: int) -> Duplicates:
    """Keys (source, Id, EntityIndex) that more than one row of a ``dt`` has, in the files of any partition.

    These are all keys of the partition's own date, and those that it wrote to other dates. Raises
    :class:`StoreError` if the files change meanwhile.
    """
    try:
        with _connection(settings, lake) as connection:
            _view_dates(connection, lake, manifest)
            return _find_duplicates(connection, manifest, limit)
    except duckdb.Error as error:
        return Duplicates(problem=_one_line(error))


def select_rows(settings: Settings, lake: Store, manifest: Manifest, query: str, limit: int) -> Selected:
    """The result of a query, in which ``{batch}`` stands for the partition's rows. Raises :class:`StoreError`."""
    try:
        with _connection(settings, lake) as connection:
            create_view(connection, "batch", lake, [output.path for output in manifest.outputs])
            inner = query.strip().rstrip(";").replace("{batch}", "batch")
            # the line break ends a comment
            (count,) = _one(connection, f"SELECT count(*) FROM ({inner}\n)")
            rows = _dicts(connection.execute(f"SELECT * FROM ({inner}\n) LIMIT {limit}"))
            return Selected(count, rows)
    except duckdb.Error as error:
        return Selected(problem=_one_line(error))


def _view_dates(connection: duckdb.DuckDBPyConnection, lake: Store, manifest: Manifest) -> None:
    day = manifest.partition
    late = [output for output in manifest.outputs if output.dt != day]
    written = {(output.dt, output.source) for output in late}
    files = table_files(lake, sorted({day} | {output.dt for output in late}))
    wanted = (file.key for file in files if file.dt == day or (file.dt, file.source) in written)
    create_view(connection, "of_dates", lake, list(wanted))
    create_view(connection, "written_late", lake, [output.path for output in late])


def _find_duplicates(connection: duckdb.DuckDBPyConnection, manifest: Manifest, limit: int) -> Duplicates:
    day = {"day": manifest.partition.isoformat()}
    # hashes of 8 bytes first: ten million keys would be a gigabyte, and hardly any occurs twice
    connection.execute(
        f"CREATE TEMP TABLE suspects AS SELECT hash({_KEY}) AS hashed FROM ({_KEYS}) "
        "GROUP BY hashed HAVING count(*) > 1",
        day,
    )
    if _one(connection, "SELECT count(*) FROM suspects") == (0,):
        return Duplicates()
    connection.execute(
        f"CREATE TEMP TABLE duplicates AS SELECT {_KEY}, count(*) AS times FROM ({_KEYS}) "
        f"WHERE hash({_KEY}) IN (SELECT hashed FROM suspects) GROUP BY ALL HAVING times > 1",
        day,
    )
    by_source = connection.execute("SELECT source, count(*) FROM duplicates GROUP BY source").fetchall()
    first = connection.execute(
        f'SELECT source, "Id", "EntityIndex", dt, times FROM duplicates ORDER BY {_KEY} LIMIT {limit}'
    )
    return Duplicates(dict(by_source), _dicts(first))


@contextmanager
def _connection(settings: Settings, lake: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_connection(settings, lake) as connection:
        # scripts read the output of the command
        connection.execute("SET enable_progress_bar = false")
        try:
            yield connection
        except (duckdb.IOException, duckdb.HTTPException, duckdb.OutOfMemoryException) as error:
            raise StoreError(f"the rows of the day cannot be queried: {_one_line(error)}") from error


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


def _dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _one_line(error: duckdb.Error) -> str:
    return re.sub(r"\s+", " ", str(error).split("\n\n", 1)[0])
