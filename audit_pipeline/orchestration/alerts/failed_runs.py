"""Which days a failed run failed for, and why."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

import dagster as dg
from dagster._core.events import JobFailureData
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)

from audit_pipeline.errors import FailedCheckError
from audit_pipeline.orchestration.alerts.events import RunFailed
from audit_pipeline.orchestration.assets import FAILED_DAYS
from audit_pipeline.orchestration.names import ASSETS, JOB, TABLE

__all__ = ["run_failed"]

_OF_INTEREST = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
}


def run_failed(instance: dg.DagsterInstance, event_id: int, at: datetime, entry: dg.EventLogEntry) -> RunFailed | None:
    """The failure of a run, from the event that says so. None if the run is not about this pipeline's assets."""
    run = instance.get_run_by_id(entry.run_id)
    # one that Dagster starts again by itself has not failed yet
    if run is None or run.tags.get(WILL_RETRY_TAG) == "true":
        return None
    logged = instance.all_logs(run.run_id, of_type=_OF_INTEREST)
    events = [log.dagster_event for log in logged if log.dagster_event is not None]
    awaits = _awaited(events) or (TABLE if run.job_name == JOB else None)
    if awaits is None:
        return None
    days = _told_days(events)
    if days is None:  # it was killed, or never began
        done = {partition for name, partition in _done(events) if name == awaits}
        problem = _problem_of(entry)
        days = {partition: problem for partition in _partitions_of(run) if partition not in done}
    return RunFailed(event_id, at, run.run_id, days, awaits)


def _awaited(events: Sequence[dg.DagsterEvent]) -> str | None:
    """The last of this pipeline's assets that the run planned, else a check of them."""
    assets, checks = set(), []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            assets.add(event.asset_materialization_planned_data.asset_key.to_user_string())
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            planned = event.asset_check_planned_data
            if planned.asset_key.to_user_string() in ASSETS:
                checks.append(planned.check_name)
    return next((asset for asset in reversed(ASSETS) if asset in assets), checks[-1] if checks else None)


def _told_days(events: Sequence[dg.DagsterEvent]) -> Mapping[str | None, str] | None:
    """What the step told of its bad days; None if it did not come to that.

    A day that a check holds back is left out: it has the check's own alert.
    """
    for event in events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            told = event.step_failure_data.user_failure_data
            if told and FAILED_DAYS in told.metadata:
                days = told.metadata[FAILED_DAYS].value
                assert isinstance(days, dict)
                return {
                    day: problem
                    for day, problem in days.items()
                    if not problem.startswith(f"{FailedCheckError.__name__}:")
                }
    return None


def _done(events: Sequence[dg.DagsterEvent]) -> Iterator[tuple[str, str | None]]:
    """(asset or check, partition) of what the run got done."""
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
            yield event.asset_key.to_user_string(), event.partition
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            yield event.asset_check_evaluation_data.check_name, event.asset_check_evaluation_data.partition


def _problem_of(entry: dg.EventLogEntry) -> str:
    event = entry.dagster_event
    # of a run that was found dead, there is only a message
    data = event.event_specific_data if event else None
    error = data.error if isinstance(data, JobFailureData) else None
    message = event.message if event else None
    return " ".join((error.message if error else message or "the run failed").split())


def _partitions_of(run: dg.DagsterRun) -> Sequence[str | None]:
    if partition := run.tags.get(PARTITION_NAME_TAG):
        return [partition]
    first, last = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    if not first or not last:
        return [None]
    start = date.fromisoformat(first)
    return [(start + timedelta(days=n)).isoformat() for n in range((date.fromisoformat(last) - start).days + 1)]
