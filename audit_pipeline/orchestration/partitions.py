"""Which partitions there are, when each is due, and how many of them one run of a backfill takes."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import dagster as dg

from audit_pipeline.settings import Settings

__all__ = ["DUE_MINUTE", "backfill_policy", "daily_partitions", "due_at", "newest_due", "newest_due_days"]

#: Of the hour in which a day is due: Firehose names an object's hour by its oldest record, and may hold it back for
#: 15 minutes more.
DUE_MINUTE: Final = 30


def daily_partitions(first: date) -> dg.DailyPartitionsDefinition:
    """A partition a day, from the first one to the day under way, in UTC as Firehose names its folders."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return dg.DailyPartitionsDefinition(start_date=start, end_offset=1)


def backfill_policy(settings: Settings) -> dg.BackfillPolicy:
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.days_per_run)


def due_at(partition: date, grace_hours: int) -> datetime:
    """When all hour folders that the partition reads are there: half an hour after its grace hours have ended."""
    end = datetime.combine(partition + timedelta(days=1), time(), UTC)
    return end + timedelta(hours=grace_hours, minutes=DUE_MINUTE)


def newest_due(now: datetime, grace_hours: int) -> date:
    """The newest partition whose run is due."""
    return (now - timedelta(days=1, hours=grace_hours, minutes=DUE_MINUTE)).date()


def newest_due_days(settings: Settings, now: datetime, count: int) -> list[date]:
    """The newest ``count`` partitions whose run is due, oldest first; none before the first partition."""
    newest = newest_due(now, settings.grace_hours)
    days = (newest - timedelta(days=n) for n in reversed(range(count)))
    return [day for day in days if day >= settings.start_date]
