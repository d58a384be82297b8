"""Which partitions there are, and how many of them one run of a backfill takes."""

from datetime import UTC, date, datetime

import dagster as dg

from audit_pipeline.settings import Settings

__all__ = ["backfill_policy", "daily_partitions"]


def daily_partitions(first: date) -> dg.DailyPartitionsDefinition:
    """A partition a day, from the first one to yesterday, in UTC as Firehose names its folders."""
    return dg.DailyPartitionsDefinition(start_date=datetime(first.year, first.month, first.day, tzinfo=UTC))


def backfill_policy(settings: Settings) -> dg.BackfillPolicy:
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.days_per_run)
