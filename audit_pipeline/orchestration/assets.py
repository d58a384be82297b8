"""The three assets, as one step that takes each of its days from the hour folders to the table.

One step rather than one per asset, because in a run of several days Dagster knows a step only as a whole. A step per
asset would have to fail for one bad day, and everything downstream would be skipped for the good days too; or to
succeed, and Dagster would show the bad day as materialized. Here a bad day fails alone: its remaining assets are left
out, the other days are complete, each with its own statuses, checks and metadata, and the run fails at its end with the
names of the bad days.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, cast

import dagster as dg

from audit_pipeline.contract.columns import ROW_SCHEMA
from audit_pipeline.orchestration.checks import check_specs, evaluation_of
from audit_pipeline.orchestration.days import DayOutcome, DayRunner
from audit_pipeline.orchestration.library_log import library_log
from audit_pipeline.orchestration.names import ACCEPT_VANISHED_RAW, ASSETS, PARQUET, RAW, TABLE
from audit_pipeline.orchestration.partitions import backfill_policy, daily_partitions
from audit_pipeline.orchestration.resources import AuditLake, EngineResource
from audit_pipeline.settings import Settings

__all__ = ["build_audit_log_days", "failed_days_of"]

#: In the metadata of a failed step: the problem of each failed day.
_FAILED_DAYS: Final = "failed_days"

#: For raw that changed during the run. The store has retried each failed request for minutes by then.
_RETRIES: Final = 2
_RETRY_SECONDS: Final = (2, 4)

_COLUMNS: Final = dg.TableSchema(
    columns=[
        dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
        for field in ROW_SCHEMA
    ]
)


def build_audit_log_days(settings: Settings) -> dg.AssetsDefinition:
    partitions = daily_partitions(settings.start_date)
    checks = check_specs(settings, partitions)
    blocking = {spec.name for spec in checks if spec.blocking}

    @dg.multi_asset(
        name="audit_log_days",
        specs=_specs(partitions, settings.query_backend),
        check_specs=checks,
        can_subset=True,
        backfill_policy=backfill_policy(settings),
        # the instance's limit of this pool is how many runs wait for Glue at a time
        pool="glue" if settings.engine == "glue" else None,
    )
    def audit_log_days(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[AuditLake], engine: EngineResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        runner = DayRunner(
            lake=lake,
            engine=engine.open(),
            assets={key.to_user_string() for key in context.selected_asset_keys},
            checks={key.name for key in context.selected_asset_check_keys},
            run_id=context.run.run_id,
            accept_vanished_raw=context.run.tags.get(ACCEPT_VANISHED_RAW) == "true",
            log=context.log,
        )
        days: list[DayOutcome] = []
        try:
            with library_log(context):
                days.extend(runner.run(date.fromisoformat(key)) for key in context.partition_keys)
        except BaseException:  # interrupted: the days that are done stay done
            _log_materializations(context, days)
            _log_evaluations(context, days, blocking)
            raise
        failed = [day for day in days if day.error is not None]
        if any(day.is_retryable for day in failed) and context.retry_number < _RETRIES:
            context.log.warning("will be retried: %s", _problems(failed))
            # Only the last attempt logs the days, or they would be logged twice. A `RetryPolicy` would also retry a
            # run that a person has stopped.
            raise dg.RetryRequested(_RETRIES, seconds_to_wait=_RETRY_SECONDS[context.retry_number])
        if failed:
            _log_materializations(context, days)
            _log_evaluations(context, days, blocking)
            raise _failure(failed) from failed[0].error
        for asset in ASSETS:
            if asset in runner.assets:
                for day in days:
                    context.add_asset_metadata(day.materialized[asset], asset, day.partition.isoformat())
                yield dg.MaterializeResult(asset_key=asset)
        _log_evaluations(context, days, blocking)

    return audit_log_days


def failed_days_of(event: dg.DagsterEvent) -> Mapping[str, str] | None:
    """The problem of each failed partition, from the failure event of the step; None if it failed in another way."""
    failure = event.step_failure_data.user_failure_data
    if failure is None or _FAILED_DAYS not in failure.metadata:
        return None
    return cast(Mapping[str, str], failure.metadata[_FAILED_DAYS].value)


def _specs(partitions: dg.PartitionsDefinition[str], query_backend: str) -> Sequence[dg.AssetSpec]:
    common: Mapping[str, Any] = {"group_name": "audit_log", "partitions_def": partitions}
    return [
        dg.AssetSpec(
            RAW,
            description="What Firehose wrote into the hour folders that the partition reads: its day and its grace",
            kinds={"json"},
            **common,
        ),
        dg.AssetSpec(
            PARQUET,
            deps=[RAW],
            description="The rows that the partition owns, by the dates of their events, and its quarantine",
            kinds={"parquet"},
            metadata={"dagster/column_schema": _COLUMNS},
            **common,
        ),
        dg.AssetSpec(
            TABLE,
            deps=[PARQUET],
            description="The table that people query; materialized means that a query finds all rows of the partition",
            kinds={query_backend},
            metadata={"dagster/column_schema": _COLUMNS},
            **common,
        ),
    ]


def _log_materializations(context: dg.AssetExecutionContext, days: Sequence[DayOutcome]) -> None:
    """Log the materializations of a step that fails: it has no outputs, from which Dagster would log them."""
    for day in days:
        for asset, metadata in day.materialized.items():
            context.log_event(dg.AssetMaterialization(asset, partition=day.partition.isoformat(), metadata=metadata))


def _log_evaluations(context: dg.AssetExecutionContext, days: Sequence[DayOutcome], blocking: Collection[str]) -> None:
    """Log an evaluation per day and check. In a run of several days, Dagster would log one without a partition."""
    for day in days:
        for check, verdict in day.verdicts.items():
            partition, is_blocking = day.partition.isoformat(), check in blocking
            context.log_event(evaluation_of(context, partition, check, verdict, is_blocking=is_blocking))


def _failure(failed: Sequence[DayOutcome]) -> dg.Failure:
    return dg.Failure(
        description=_problems(failed),
        metadata={_FAILED_DAYS: dg.MetadataValue.json({day.partition.isoformat(): day.problem for day in failed})},
        allow_retries=False,
    )


def _problems(failed: Sequence[DayOutcome]) -> str:
    return "; ".join(f"{day.partition}: {day.problem}" for day in failed)
