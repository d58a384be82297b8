"""What is to be paid for: a workload, and the amounts that it makes of everything that has a price.

The constants are what the amounts rest on besides what the user says; each says where it comes from.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from audit_pipeline.cost.rounding import MB, steps

__all__ = [
    "DAYS_A_MONTH",
    "GZIP_RATIO",
    "LAKE_GETS_A_RUN",
    "LAKE_PUTS_A_RUN",
    "LISTINGS_A_RUN",
    "PARQUET_MONTHS",
    "RAW_MONTHS",
    "Amounts",
    "Engine",
    "Workload",
    "pages",
]

DAYS_A_MONTH: Final = 30
#: How much smaller gzip makes raw: 6.1 to 6.4 was measured on events of 1.7 KB.
GZIP_RATIO: Final = Decimal("6.2")
#: Bytes of Parquet for one of event: 18.9 MB was measured for 100,000 events of 1.7 KB.
PARQUET_SHARE: Final = Decimal("18.9") / Decimal("170")
#: Raw is kept for 90 days (the stack's lifecycle).
RAW_MONTHS: Final = 3
#: The table is never deleted. What it costs is printed as it is after a year.
PARQUET_MONTHS: Final = 12

#: Requests of a run to the lake, its checks included: 59 to 76 PUT and LIST (files, locks, manifest) and 127 to 254 GET
#: and HEAD were counted on an S3 server, for days of 100,000 events that became 7 to 12 files.
LAKE_PUTS_A_RUN: Final = 80
LAKE_GETS_A_RUN: Final = 260
#: A run's hour folders are listed for the inventory and again by the engine.
LISTINGS_A_RUN: Final = 2
#: Of one listing.
_KEYS_A_PAGE: Final = 1000

#: Of the sensor of late files: ticks a day, days that it watches all day, days that it sweeps once a day besides.
_CHECKS_PER_DAY: Final = 288
_WATCHED_DAYS: Final = 3
_SWEPT_DAYS: Final = 27

#: Athena queries in a month: assumed.
_QUERIES: Final = 1000
#: A query of a week reads 0.8 to 1.3 % of its bytes (docs/develop/performance.md) for a page.
_WEEK_SHARE: Final = Decimal("0.013")


class Engine(StrEnum):
    """The product's engines."""

    LOCAL = "local"
    SPARK = "spark"
    GLUE = "glue"


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is billed for some days. ``run_seconds`` and ``query_bytes`` are those of one run and one query.

    ``event_bytes`` are those of one event with its envelope, uncompressed, on average; ``raw_bytes`` and
    ``parquet_bytes`` are what the days add to the store.
    """

    events: int
    event_bytes: int
    raw_bytes: int
    raw_objects: int
    run_puts: int
    run_gets: int
    parquet_bytes: int
    runs: int
    run_seconds: Decimal
    engine: Engine
    queries: int = 0
    query_bytes: int = 0
    query_puts: int = 0
    query_gets: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """A steady stream of events. Sizes in bytes; the buffer is Firehose's, which counts before compression."""

    events_per_day: int
    event_bytes: int = 1700
    buffer_seconds: int = 900
    buffer_bytes: int = 128 * MB
    engine: Engine = Engine.LOCAL
    grace_hours: int = 1

    @property
    def raw_objects(self) -> int:
        """Objects that Firehose writes in a day: at the end of a buffer's time or when it is full; none is empty.

        A large stream is written by several shards at once, each with a buffer of its own: then it is more.
        """
        by_time = steps(86_400, self.buffer_seconds)
        by_size = steps(self.events_per_day * self.event_bytes, self.buffer_bytes)
        return min(self.events_per_day, max(by_time, by_size))

    @property
    def run_puts(self) -> int:
        """PUT and LIST requests of a day's run."""
        return LISTINGS_A_RUN * self._listing_of_a_day + LAKE_PUTS_A_RUN

    @property
    def run_gets(self) -> int:
        """GET requests of a day's run: the objects of its day and of the grace hours, and those of the lake."""
        return self.raw_objects + self._objects_in_grace + LAKE_GETS_A_RUN

    @property
    def sensor_lists(self) -> int:
        """LIST requests a day of the sensor of late files; with each check one for the manifests."""
        return (_CHECKS_PER_DAY * _WATCHED_DAYS + _SWEPT_DAYS) * self._listing_of_a_day + _CHECKS_PER_DAY

    def month(self, run_seconds: Decimal) -> Amounts:
        """The amounts of 30 days, with a run of so many seconds a day."""
        total = self.events_per_day * DAYS_A_MONTH * self.event_bytes
        week = self.events_per_day * 7 * self.event_bytes
        return Amounts(
            events=self.events_per_day * DAYS_A_MONTH,
            event_bytes=self.event_bytes,
            raw_bytes=int(total / GZIP_RATIO),
            raw_objects=self.raw_objects * DAYS_A_MONTH,
            run_puts=self.run_puts * DAYS_A_MONTH,
            run_gets=self.run_gets * DAYS_A_MONTH,
            parquet_bytes=int(total * PARQUET_SHARE),
            runs=DAYS_A_MONTH,
            run_seconds=run_seconds,
            engine=self.engine,
            queries=_QUERIES,
            query_bytes=int(week * PARQUET_SHARE * _WEEK_SHARE),
            # a query of seven days of one source lists each (dt, source), and reads its file's footer and some pages
            query_puts=_QUERIES * 7,
            query_gets=_QUERIES * 7 * 4,
        )

    @property
    def _objects_in_grace(self) -> int:
        return math.ceil(Decimal(self.raw_objects * self.grace_hours) / 24)

    @property
    def _listing_of_a_day(self) -> int:
        """Requests that list what a run reads: its day, and each grace hour by itself."""
        in_an_hour = math.ceil(Decimal(self.raw_objects) / 24)
        return pages(self.raw_objects) + self.grace_hours * pages(in_an_hour)


def pages(keys: int) -> int:
    """LIST requests for so many keys; one where there is none."""
    return max(1, steps(keys, _KEYS_A_PAGE))
