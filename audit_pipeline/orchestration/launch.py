"""Dagster runs from Python, in this process, on the instance of ``DAGSTER_HOME``: the UI shows them like its own."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

import dagster as dg

from audit_pipeline.orchestration.assets import failed_days_of
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.checks import checks_of
from audit_pipeline.orchestration.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    SINGLETON_REPOSITORY_NAME,
    InMemoryJob,
    InstanceRef,
    PartitionKeyFilter,
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    execute_run,
)
from audit_pipeline.orchestration.home import dagster_home, require_dagster_home
from audit_pipeline.orchestration.names import ACCEPT_VANISHED_RAW, ASSETS, JOB, LOCATION
from audit_pipeline.settings import load_settings

__all__ = ["CheckResult", "DayResult", "check_results", "materialize"]

CheckResult = Literal["passed", "warns", "failed"]

#: Where the UI finds the job. A run without it is missing from the timeline, which is the UI's first page.
_ORIGIN: Final = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), SINGLETON_REPOSITORY_NAME), JOB
)
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_READ_TYPES: Final = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


@dataclass(frozen=True)
class DayResult:
    """``succeeded``: all assets of the day are materialized. ``error`` is one line.

    ``warnings`` are the failed checks whose severity is a warning.
    """

    partition: date
    succeeded: bool
    failed_checks: tuple[str, ...]
    warnings: tuple[str, ...]
    error: str | None


def materialize(
    first: date,
    last: date,
    *,
    on_day: Callable[[DayResult], None] | None = None,
    accept_vanished_raw: bool = False,
) -> list[DayResult]:
    """Run the assets and checks of these days, both ends included, ``AUDIT_DAYS_PER_RUN`` in each run.

    ``on_day`` is called for each day when its run has ended. A day whose raw has vanished since its last run fails,
    unless ``accept_vanished_raw``. Raises ``KeyboardInterrupt`` after a run that a signal stopped, and
    :class:`audit_pipeline.errors.SettingsError` if ``DAGSTER_HOME`` is not set.
    """
    settings = load_settings()
    days = _days(first, last)
    tags = {ACCEPT_VANISHED_RAW: "true"} if accept_vanished_raw else {}
    results: list[DayResult] = []
    with _open_instance() as instance:
        job = build_defs().resolve_job_def(JOB)
        for start in range(0, len(days), settings.days_per_run):
            chunk = days[start : start + settings.days_per_run]
            outcome = _run(instance, job, chunk, tags)
            for result in map(outcome.result_of, chunk):
                results.append(result)
                if on_day is not None:
                    on_day(result)
            if outcome.was_interrupted:  # Dagster records it as a failure like any other
                raise KeyboardInterrupt
    return results


def check_results(first: date, last: date) -> dict[date, dict[str, CheckResult | None]]:
    """The newest result of each check by day, None for one that was not evaluated. ``{}`` without ``DAGSTER_HOME``."""
    if dagster_home() is None:
        return {}
    names = {dg.AssetCheckKey(dg.AssetKey(asset), check): check for check, asset in checks_of(load_settings()).items()}
    results: dict[date, dict[str, CheckResult | None]] = {}
    with _open_instance() as instance:
        for day in _days(first, last):
            newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
                list(names), partition_filter=PartitionKeyFilter(key=day.isoformat())
            )
            results[day] = {
                name: _check_result(newest[key].evaluation) if key in newest else None for key, name in names.items()
            }
    return results


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _check_result(evaluation: object) -> CheckResult | None:
    if not isinstance(evaluation, dg.AssetCheckEvaluation):  # only planned
        return None
    if evaluation.passed:
        return "passed"
    return "warns" if evaluation.severity == dg.AssetCheckSeverity.WARN else "failed"


@contextmanager
def _open_instance() -> Iterator[dg.DagsterInstance]:
    home = require_dagster_home()
    log = logging.getLogger("dagster")
    log.addFilter(_is_not_about_defaults)
    try:
        # telemetry would print a greeting on the terminal
        reference = InstanceRef.from_dir(str(home), overrides={"telemetry": {"enabled": False}})
        with dg.DagsterInstance.from_ref(reference) as instance:
            yield instance
    finally:
        log.removeFilter(_is_not_about_defaults)


def _is_not_about_defaults(record: logging.LogRecord) -> bool:
    """Without a ``dagster.yaml``, which is optional, Dagster logs a hint on the terminal each time."""
    return "No dagster instance configuration file" not in record.getMessage()


def _run(
    instance: dg.DagsterInstance, job: dg.JobDefinition, days: Sequence[date], tags: Mapping[str, str]
) -> "_RunOutcome":
    first, last = days[0].isoformat(), days[-1].isoformat()
    if first == last:
        partition_tags = job.get_tags_for_partition_key(first, None)
    else:
        partition_tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    run = instance.create_run_for_job(
        job, run_config=_QUIET, tags={**job.run_tags, **partition_tags, **tags}, remote_job_origin=_ORIGIN
    )
    execute_run(InMemoryJob(job), run, instance)
    # from the instance: the result lacks what an interrupted step had logged
    logs = instance.all_logs(run.run_id, of_type=_READ_TYPES)
    return _RunOutcome([log.dagster_event for log in logs if log.dagster_event is not None])


class _RunOutcome:
    """What the events of a run say about its days."""

    def __init__(self, events: Iterable[dg.DagsterEvent]) -> None:
        self.was_interrupted = False
        self._materialized: set[tuple[str, str]] = set()
        self._failed_checks: dict[tuple[str, str], dg.AssetCheckSeverity] = {}
        self._errors: dict[str, str] = {}
        self._error = "the run failed, see Dagster"
        for event in events:
            if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
                if event.asset_key and event.partition:
                    self._materialized.add((event.partition, event.asset_key.to_user_string()))
            elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                evaluation = event.asset_check_evaluation_data
                if evaluation.partition and not evaluation.passed:
                    self._failed_checks[evaluation.partition, evaluation.check_name] = evaluation.severity
            elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
                self._add_step_failure(event)
            elif event.job_failure_data.error and not self.was_interrupted:
                self._error = " ".join(event.job_failure_data.error.message.split())

    def result_of(self, day: date) -> DayResult:
        key = day.isoformat()
        succeeded = all((key, asset) in self._materialized for asset in ASSETS)
        return DayResult(
            partition=day,
            succeeded=succeeded,
            failed_checks=self._checks_of(key, dg.AssetCheckSeverity.ERROR),
            warnings=self._checks_of(key, dg.AssetCheckSeverity.WARN),
            error=None if succeeded else self._errors.get(key, self._error),
        )

    def _checks_of(self, key: str, severity: dg.AssetCheckSeverity) -> tuple[str, ...]:
        return tuple(check for (day, check), worst in self._failed_checks.items() if (day, worst) == (key, severity))

    def _add_step_failure(self, event: dg.DagsterEvent) -> None:
        self._errors.update(failed_days_of(event) or {})
        error = event.step_failure_data.error
        if error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
            self.was_interrupted = True
            self._error = "the run was interrupted"
