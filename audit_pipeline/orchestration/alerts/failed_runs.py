"""Which days a failed run failed for, and why."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import dagster as dg

from audit_pipeline.errors import FailedCheckError
from audit_pipeline.orchestration.alerts.events import RunFailed
from audit_pipeline.orchestration.assets import failed_days_of
from audit_pipeline.orchestration.dagster_internals import WILL_RETRY_TAG
from audit_pipeline.orchestration.names import ASSETS, JOB, TABLE
from audit_pipeline.orchestration.partitions import partitions_of

__all__ = ["run_failed"]

_READ_TYPES = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
}


def run_failed(instance: dg.DagsterInstance, event_id: int, at: datetime, entry: dg.EventLogEntry) -> RunFailed | None:
    """The failure of a run, from its failure event. None if the run is not about this pipeline's assets."""
    run = instance.get_run_by_id(entry.run_id)
    # a run that Dagster retries by itself has not failed yet
    if run is None or run.tags.get(WILL_RETRY_TAG) == "true":
        return None
    logged = instance.all_logs(run.run_id, of_type=_READ_TYPES)
    events = [log.dagster_event for log in logged if log.dagster_event is not None]
    awaits = _awaited(events) or (TABLE if run.job_name == JOB else None)
    if awaits is None:
        return None
    days = _failed_days(events)
    if days is None:  # it was killed, or never started
        done = {partition for name, partition in _done(events) if name == awaits}
        problem = _problem_of(entry)
        keys: Sequence[str | None] = [day.isoformat() for day in partitions_of(run)] or [None]
        days = {key: problem for key in keys if key not in done}
    return RunFailed(event_id, at, run.run_id, days, awaits)


def _awaited(events: Sequence[dg.DagsterEvent]) -> str | None:
    """The last of this pipeline's assets that the run planned, else one of their checks."""
    assets, checks = set(), []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            assets.add(event.asset_materialization_planned_data.asset_key.to_user_string())
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            planned = event.asset_check_planned_data
            if planned.asset_key.to_user_string() in ASSETS:
                checks.append(planned.check_name)
    return next((asset for asset in reversed(ASSETS) if asset in assets), checks[-1] if checks else None)


def _failed_days(events: Sequence[dg.DagsterEvent]) -> Mapping[str | None, str] | None:
    """The failed days and their problems as the step reported them; None if it ended before that.

    A day that a check holds back is left out: the check has an alert of its own.
    """
    failures = (event for event in events if event.event_type == dg.DagsterEventType.STEP_FAILURE)
    for days in map(failed_days_of, failures):
        if days is not None:
            held_back = f"{FailedCheckError.__name__}:"
            return {day: problem for day, problem in days.items() if not problem.startswith(held_back)}
    return None


def _done(events: Sequence[dg.DagsterEvent]) -> Iterator[tuple[str, str | None]]:
    """(asset or check, partition) of what the run completed."""
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
            yield event.asset_key.to_user_string(), event.partition
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            yield event.asset_check_evaluation_data.check_name, event.asset_check_evaluation_data.partition


def _problem_of(entry: dg.EventLogEntry) -> str:
    event = entry.dagster_event
    if event is None:
        return "the run failed"
    # a run whose process was found dead has only a message
    error = event.job_failure_data.error if event.event_specific_data else None
    return " ".join((error.message if error else event.message or "the run failed").split())
