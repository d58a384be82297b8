"""Which partitions there are, when each is due, which a run is for, and how many of them a backfill gives a run."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import dagster as dg

from audit_pipeline.orchestration.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    NOT_FINISHED_STATUSES,
    PARTITION_NAME_TAG,
)
from audit_pipeline.settings import Settings

__all__ = [
    "DUE_MINUTE",
    "backfill_policy",
    "daily_partitions",
    "due_at",
    "newest_due",
    "newest_due_days",
    "partitions_in_flight",
    "partitions_of",
]

#: Minute of the hour in which a day is due: Firehose names an object's hour by its oldest record, and may hold the
#: object back for another 15 minutes.
DUE_MINUTE: Final = 30


def daily_partitions(first: date) -> dg.DailyPartitionsDefinition:
    """One partition per day, from the first one to the day under way, in UTC as Firehose names its folders."""
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


def partitions_in_flight(instance: dg.DagsterInstance) -> set[date]:
    """The partitions of all runs that are queued or under way."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return {partition for run in runs for partition in partitions_of(run)}


def partitions_of(run: dg.DagsterRun) -> list[date]:
    """The partitions that a run was started for, one or a range, by its tags; none for keys that are not dates."""
    key = run.tags.get(PARTITION_NAME_TAG)
    start = key or run.tags.get(ASSET_PARTITION_RANGE_START_TAG)
    end = key or run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    if start is None or end is None:
        return []
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except ValueError:  # a run of another pipeline on the same instance
        return []
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
