"""The files of the table, from a listing of the lake."""

import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Final

from audit_pipeline.store.layout import TABLE_PREFIX, dt_prefix
from audit_pipeline.store.objects import Store

__all__ = ["TableFile", "table_files"]

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


def table_files(lake: Store, days: Iterable[date], sources: Collection[str] | None = None) -> list[TableFile]:
    """Every data file of these days, ordered by day and key; of these ``sources`` alone where given."""
    with ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="list") as pool:
        listings = pool.map(lambda day: (day, lake.list(dt_prefix(day).rstrip("/"))), days)
        return [
            TableFile(info.key, day, found[2], info.size)
            for day, infos in listings
            for info in infos
            if (found := _PATH.fullmatch(info.key)) and (sources is None or found[2] in sources)
        ]
