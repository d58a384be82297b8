"""The table's data files, as a listing of the lake shows them."""

import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Final

from audit_pipeline.store.layout import TABLE_PREFIX, dt_prefix
from audit_pipeline.store.objects import Store

__all__ = ["DataFile", "data_files"]

_PATH: Final = re.compile(rf"{TABLE_PREFIX}/dt=([^/]+)/source=([^/]+)/[^/]+\.parquet")
#: Listings in flight; a week has seven.
_CONCURRENCY: Final = 16


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of the table; ``size`` in bytes."""

    key: str
    dt: date
    source: str
    size: int


def data_files(lake: Store, days: Iterable[date], sources: Collection[str] | None = None) -> list[DataFile]:
    """Every data file of these days, and of these sources only where some are given, by day and key."""
    with ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="list") as pool:
        listings = pool.map(lambda day: (day, lake.list(dt_prefix(day).rstrip("/"))), days)
        return [
            DataFile(info.key, day, found[2], info.size)
            for day, infos in listings
            for info in infos
            if (found := _PATH.fullmatch(info.key)) and (sources is None or found[2] in sources)
        ]
