"""When the pipeline runs by itself: the job of a day, its nightly schedule, and an hourly one for the day under way."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg

from audit_pipeline.orchestration.names import ASSETS, JOB, SCHEDULE, TODAY_SCHEDULE
from audit_pipeline.orchestration.partitions import DUE_MINUTE, due_at, newest_due, partitions_in_flight
from audit_pipeline.settings import Settings

if TYPE_CHECKING:
    from audit_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

__all__ = ["build_job", "build_schedules"]

#: The last hourly run of a day must have ended when its nightly run starts.
_AHEAD_OF_NIGHTLY: Final = timedelta(hours=1)
#: Minute of each hour at which the day under way is refreshed.
_REFRESH_MINUTE: Final = 5


def build_job() -> "UnresolvedAssetJobDefinition":
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(*ASSETS),
        executor_def=dg.in_process_executor,
        description="Takes one day or several from the raw hour folders to the table, with the checks.",
    )


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The nightly and the hourly schedule. Both are off until someone turns them on in the UI."""
    return [_nightly(settings), _hourly(settings)]


def _nightly(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=SCHEDULE,
        job_name=JOB,
        cron_schedule=f"{DUE_MINUTE} {settings.grace_hours} * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Runs yesterday's partition, half an hour after its grace hours have ended (UTC).",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        partition = newest_due(context.scheduled_execution_time.astimezone(UTC), settings.grace_hours)
        if partition < settings.start_date:
            return dg.SkipReason(f"{partition} is before the first partition, {settings.start_date}")
        return dg.RunRequest(run_key=partition.isoformat(), partition_key=partition.isoformat())

    return nightly


def _hourly(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=TODAY_SCHEDULE,
        job_name=JOB,
        cron_schedule=f"{_REFRESH_MINUTE} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Runs the day under way (UTC) each hour, so that its events can be queried within the hour.",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> Sequence[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        days = _days_under_way(settings, now)
        busy = partitions_in_flight(context.instance)
        requests = [
            dg.RunRequest(run_key=f"{day}|{now:%Y-%m-%dT%H}", partition_key=day.isoformat())
            for day in days
            if day not in busy
        ]
        return requests or dg.SkipReason(f"runs are under way: {', '.join(map(str, days))}")

    return hourly


def _days_under_way(settings: Settings, now: datetime) -> list[date]:
    """Today; and yesterday until an hour before its nightly run."""
    today = now.date()
    yesterday = today - timedelta(days=1)
    is_open = now < due_at(yesterday, settings.grace_hours) - _AHEAD_OF_NIGHTLY
    return [day for day in ([yesterday] if is_open else []) + [today] if day >= settings.start_date]
