"""The three assets, as one step that takes each of its days from the hour folders to the table.

Why one step, and not one an asset: in a run of several days Dagster knows a step only as a whole. A step an asset would
have to fail for one bad day, and everything behind it would be skipped for the good days too; or to succeed, and then
Dagster would call the bad day materialized. Here a bad day fails alone: its further assets are left out, the other days
are complete, each with its own statuses, checks and metadata, and the run fails at its end, naming the bad days.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import dagster as dg

from audit_pipeline.contract.columns import ROW_SCHEMA
from audit_pipeline.orchestration.checks import check_specs, evaluation_of
from audit_pipeline.orchestration.days import Day, Work
from audit_pipeline.orchestration.names import ACCEPT_VANISHED_RAW, ASSETS, PARQUET, RAW, TABLE
from audit_pipeline.orchestration.partitions import backfill_policy, daily_partitions
from audit_pipeline.orchestration.resources import AuditLake, EngineResource
from audit_pipeline.settings import Settings

__all__ = ["FAILED_DAYS", "build_audit_log_days"]

#: In the metadata of a failed step: for each bad day, what went wrong.
FAILED_DAYS: Final = "failed_days"

#: The store has repeated each of its requests for minutes by then. This is for raw that changed under the run.
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
        # of the runs that wait for Glue, the instance's limit of this pool lets so many go at a time
        pool="glue" if settings.engine == "glue" else None,
    )
    def audit_log_days(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[AuditLake], engine: EngineResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        work = Work(
            lake=lake,
            engine=engine.open(),
            assets={key.to_user_string() for key in context.selected_asset_keys},
            checks={key.name for key in context.selected_asset_check_keys},
            run_id=context.run.run_id,
            accept_vanished_raw=context.run.tags.get(ACCEPT_VANISHED_RAW) == "true",
            log=context.log,
        )
        days: list[Day] = []
        try:
            for partition in map(date.fromisoformat, context.partition_keys):
                day = work.do(partition)
                days.append(day)
        except BaseException:  # stopped by a person or by the machine: what is done stays done
            _log_materializations(context, days)
            _log_evaluations(context, days, blocking)
            raise
        failed = [day for day in days if day.error is not None]
        if any(day.is_worth_a_retry for day in failed) and context.retry_number < _RETRIES:
            context.log.warning("to be tried again: %s", _problems(failed))
            # The next attempt reports, lest a day be told of twice. A `RetryPolicy` instead of this would also repeat
            # a run that a person has stopped.
            raise dg.RetryRequested(_RETRIES, seconds_to_wait=_RETRY_SECONDS[context.retry_number])
        if failed:
            _log_materializations(context, days)
            _log_evaluations(context, days, blocking)
            raise _failure(failed) from failed[0].error
        for asset in ASSETS:
            if asset in work.assets:
                for day in days:
                    context.add_asset_metadata(day.materialized[asset], asset, day.partition.isoformat())
                yield dg.MaterializeResult(asset_key=asset)
        _log_evaluations(context, days, blocking)

    return audit_log_days


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
            description="The rows that the partition owns, under the dates of their events, and its quarantine",
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


def _log_materializations(context: dg.AssetExecutionContext, days: Sequence[Day]) -> None:
    """The materializations of a step that fails: without outputs, Dagster would know of none."""
    for day in days:
        for asset, metadata in day.materialized.items():
            context.log_event(dg.AssetMaterialization(asset, partition=day.partition.isoformat(), metadata=metadata))


def _log_evaluations(context: dg.AssetExecutionContext, days: Sequence[Day], blocking: Collection[str]) -> None:
    """An evaluation a day and check. Of a run of several days, Dagster would keep one, of no partition."""
    for day in days:
        for check, verdict in day.verdicts.items():
            partition, is_blocking = day.partition.isoformat(), check in blocking
            context.log_event(evaluation_of(context, partition, check, verdict, is_blocking=is_blocking))


def _failure(failed: Sequence[Day]) -> dg.Failure:
    return dg.Failure(
        description=_problems(failed),
        metadata={FAILED_DAYS: dg.MetadataValue.json({day.partition.isoformat(): day.problem for day in failed})},
        allow_retries=False,
    )


def _problems(failed: Sequence[Day]) -> str:
    return "; ".join(f"{day.partition}: {day.problem}" for day in failed)
