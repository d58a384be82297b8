"""Which partitions have a run under way."""

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

__all__ = ["partitions_in_flight", "partitions_of"]


def partitions_in_flight(instance: dg.DagsterInstance) -> set[date]:
    """The partitions of all runs that are queued or under way, alone or in a range."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return {partition for run in runs for partition in partitions_of(run)}


def partitions_of(run: dg.DagsterRun) -> Iterable[date]:
    """The partitions that a run was started for, by its tags."""
    one = run.tags.get(PARTITION_NAME_TAG)
    if one is not None:
        return [date.fromisoformat(one)]
    start, end = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    if start is None or end is None:
        return []
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
