"""Runs from Python, in this process, on the Dagster instance of ``DAGSTER_HOME``: the UI shows them as its own."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Literal, cast

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.execution.api import execute_run
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from audit_pipeline.errors import SettingsError
from audit_pipeline.orchestration.assets import FAILED_DAYS
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.checks import checks_of
from audit_pipeline.orchestration.names import ACCEPT_VANISHED_RAW, ASSETS, JOB, LOCATION
from audit_pipeline.settings import load_settings

__all__ = ["CheckResult", "DayResult", "check_results", "materialize"]

CheckResult = Literal["passed", "warns", "failed"]

#: Where Dagster's UI finds the job. A run that does not say so is missing from its timeline, which is its first page.
_ORIGIN: Final = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), SINGLETON_REPOSITORY_NAME), JOB
)
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class DayResult:
    """``succeeded``: all its assets are materialized. ``error`` is one line.

    ``warnings`` are the failed checks that are something to look at, not an error.
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
    unless ``accept_vanished_raw``. A run that a signal stops is the last one:
    ``KeyboardInterrupt``. :class:`SettingsError` if ``DAGSTER_HOME`` is not set.
    """
    settings = load_settings()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    results: list[DayResult] = []
    with _instance() as instance:
        job = build_defs().resolve_job_def(JOB)
        for start in range(0, len(days), settings.days_per_run):
            chunk = days[start : start + settings.days_per_run]
            outcome = _run(instance, job, chunk, {ACCEPT_VANISHED_RAW: "true"} if accept_vanished_raw else {})
            for result in map(outcome.of, chunk):
                results.append(result)
                if on_day is not None:
                    on_day(result)
            if outcome.was_interrupted:  # Dagster takes it for a failure like any other
                raise KeyboardInterrupt
    return results


def check_results(first: date, last: date) -> dict[date, dict[str, CheckResult | None]]:
    """By day and check, what the newest evaluation said (None: not evaluated). ``{}`` without ``DAGSTER_HOME``."""
    if not os.environ.get("DAGSTER_HOME"):
        return {}
    names = {dg.AssetCheckKey(dg.AssetKey(asset), check): check for check, asset in checks_of(load_settings()).items()}
    results: dict[date, dict[str, CheckResult | None]] = {}
    with _instance() as instance:
        for n in range((last - first).days + 1):
            day = first + timedelta(days=n)
            newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
                list(names), partition_filter=PartitionKeyFilter(key=day.isoformat())
            )
            results[day] = {name: _result_of(newest[key]) if key in newest else None for key, name in names.items()}
    return results


def _result_of(record: AssetCheckExecutionRecord) -> CheckResult | None:
    if record.status == AssetCheckExecutionRecordStatus.SUCCEEDED:
        return "passed"
    if record.status != AssetCheckExecutionRecordStatus.FAILED:
        return None
    evaluation = record.evaluation
    is_warning = isinstance(evaluation, dg.AssetCheckEvaluation) and evaluation.severity == dg.AssetCheckSeverity.WARN
    return "warns" if is_warning else "failed"


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        raise SettingsError("DAGSTER_HOME is not set: give the folder where Dagster keeps its runs")
    if not Path(home).is_absolute() or not Path(home).is_dir():
        raise SettingsError(f"DAGSTER_HOME is wrong: {home!r} is not the absolute path of a folder that exists")
    log = logging.getLogger("dagster")
    log.addFilter(_without_hint_at_defaults)
    try:
        # its telemetry would greet on the terminal, and call home
        reference = InstanceRef.from_dir(home, overrides={"telemetry": {"enabled": False}})
        with dg.DagsterInstance.from_ref(reference) as instance:
            yield instance
    finally:
        log.removeFilter(_without_hint_at_defaults)


def _without_hint_at_defaults(record: logging.LogRecord) -> bool:
    """Without a ``dagster.yaml``, which is fine, Dagster would say so on the terminal each time."""
    return "No dagster instance configuration file" not in record.getMessage()


def _run(
    instance: dg.DagsterInstance, job: dg.JobDefinition, days: Sequence[date], tags: Mapping[str, str]
) -> "_Outcome":
    first, last = days[0].isoformat(), days[-1].isoformat()
    if first == last:
        partition_tags = job.get_tags_for_partition_key(first, None)
    else:
        partition_tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    # not JobDefinition.execute_in_process, whose runs have no origin
    run = instance.create_run_for_job(
        job, run_config=_QUIET, tags={**job.run_tags, **partition_tags, **tags}, remote_job_origin=_ORIGIN
    )
    execute_run(InMemoryJob(job), run, instance)
    # from the instance, for the result lacks what a step told before it was interrupted
    logs = instance.all_logs(run.run_id, of_type=_TOLD)
    return _Outcome([log.dagster_event for log in logs if log.dagster_event is not None])


_TOLD: Final = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


class _Outcome:
    """What the events of a run say of its days."""

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
                self._add_step_failure(event.step_failure_data)
            elif event.job_failure_data.error and not self.was_interrupted:
                self._error = " ".join(event.job_failure_data.error.message.split())

    def of(self, day: date) -> DayResult:
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
        return tuple(check for (day, check), found in self._failed_checks.items() if (day, found) == (key, severity))

    def _add_step_failure(self, failure: StepFailureData) -> None:
        told = failure.user_failure_data
        if told and FAILED_DAYS in told.metadata:
            self._errors.update(cast(dict[str, str], told.metadata[FAILED_DAYS].value))
        if failure.error and failure.error.cls_name == DagsterExecutionInterruptedError.__name__:
            self.was_interrupted = True
            self._error = "the run was interrupted"
