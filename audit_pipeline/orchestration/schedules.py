"""When the pipeline runs by itself: a job for a day, and the schedule that starts it."""

from typing import Final

import dagster as dg

from audit_pipeline.orchestration.names import ASSETS, JOB, SCHEDULE
from audit_pipeline.settings import Settings

__all__ = ["build_job_and_schedule"]

#: Firehose names an object's hour by its oldest record, and may hold it back for 15 minutes more.
_MINUTE: Final = 30


def build_job_and_schedule(settings: Settings) -> dg.Definitions:
    """The job, and its schedule: yesterday's partition, half an hour after its grace hours have ended.

    The schedule is off until someone turns it on in the UI.
    """
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(*ASSETS),
        executor_def=dg.in_process_executor,
        description="A day (or several) of raw hour folders to the table, with its checks.",
    )
    schedule = dg.build_schedule_from_partitioned_job(
        job,
        name=SCHEDULE,
        hour_of_day=settings.grace_hours,
        minute_of_hour=_MINUTE,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Yesterday's partition, half an hour after its grace hours have ended (UTC).",
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])
