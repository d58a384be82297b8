"""The files of the table and of its quarantine: of those that a listing shows, the published ones."""

import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Final

from audit_pipeline.store.layout import QUARANTINE_PREFIX, TABLE_PREFIX, dt_prefix, is_hidden
from audit_pipeline.store.objects import Store
from audit_pipeline.store.published import published

__all__ = ["PublishedFiles", "TableFile", "listed_sources", "published_files", "table_files"]

_PATH: Final = re.compile(rf"{TABLE_PREFIX}/dt=([^/]+)/source=([^/]+)/[^/]+\.parquet")
#: Concurrent listings; a week has seven.
_CONCURRENCY: Final = 16


@dataclass(frozen=True, slots=True)
class TableFile:
    """A Parquet file of the table; ``size`` in bytes."""

    key: str
    dt: date
    source: str
    size: int


def listed_sources(lake: Store, days: Iterable[date]) -> set[str]:
    """The sources with a file in the folders of these days, which engines read that know no manifests."""
    with ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="list") as pool:
        listings = pool.map(lambda day: lake.list(dt_prefix(day).rstrip("/")), days)
        keys = [info.key for infos in listings for info in infos]
    return {found[2] for key in keys if not is_hidden(key) and (found := _PATH.fullmatch(key))}


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """Keys of the table's files, and of those of its quarantine."""

    rows: list[str]
    quarantine: list[str]


def table_files(lake: Store, days: Iterable[date], sources: Collection[str] | None = None) -> list[TableFile]:
    """Every published data file of these days, ordered by day and key; of these ``sources`` alone where given."""
    with ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="list") as pool:
        listings = pool.map(lambda day: lake.list(dt_prefix(day).rstrip("/")), days)
        sizes = {info.key: info.size for infos in listings for info in infos}
    return [
        TableFile(key, date.fromisoformat(found[1]), found[2], sizes[key])
        for key in published(lake, sizes)
        if (found := _PATH.fullmatch(key)) and (sources is None or found[2] in sources)
    ]


def published_files(lake: Store) -> PublishedFiles:
    """The keys of every published file of the lake, in order."""
    keys = published(lake, [*lake.keys(TABLE_PREFIX), *lake.keys(QUARANTINE_PREFIX)])
    return PublishedFiles(
        [key for key in keys if _PATH.fullmatch(key)], [key for key in keys if key.startswith(f"{QUARANTINE_PREFIX}/")]
    )
