"""The asset checks as Dagster knows them. Their rules are in :mod:`audit_pipeline.quality`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from audit_pipeline.orchestration.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from audit_pipeline.orchestration.names import CHECKS, CONSERVATION, HOUR_COVERAGE, PARQUET, STRAYS, UNNAMED_FILES
from audit_pipeline.quality import quality_checks
from audit_pipeline.quality.verdicts import Severity, Verdict
from audit_pipeline.settings import Settings

__all__ = ["check_specs", "checks_of", "evaluation_of"]

_DESCRIPTIONS: Final = {
    HOUR_COVERAGE: "Each of the day's 24 hour folders holds an object. A gap may be a quiet hour, or lost delivery.",
    STRAYS: "Every object of the day is in an hour folder, where a partition reads it, under a key that can be read.",
    CONSERVATION: "The files in the store, counted again, hold every event and row that the manifest counts.",
    UNNAMED_FILES: "Manifests name every file in the folders of the table and of the quarantine.",
}
_SEVERITIES: Final[Mapping[Severity, dg.AssetCheckSeverity]] = {
    "warn": dg.AssetCheckSeverity.WARN,
    "error": dg.AssetCheckSeverity.ERROR,
}


def check_specs(settings: Settings, partitions: dg.PartitionsDefinition[str]) -> Sequence[dg.AssetCheckSpec]:
    """The checks of the three assets. Where one that is ``blocking`` fails as an error, the day goes no further."""
    own = [
        dg.AssetCheckSpec(
            check,
            asset=CHECKS[check],
            description=description,
            blocking=check in (CONSERVATION, UNNAMED_FILES),
            partitions_def=partitions,
        )
        for check, description in _DESCRIPTIONS.items()
    ]
    of_quality = [
        dg.AssetCheckSpec(
            check.name,
            asset=PARQUET,
            description=check.description,
            blocking=check.is_critical,
            partitions_def=partitions,
        )
        for check in quality_checks(settings)
    ]
    return [*own, *of_quality]


def checks_of(settings: Settings) -> dict[str, str]:
    """The asset of every check, those of the user's suite included."""
    return {**CHECKS, **{check.name: PARQUET for check in quality_checks(settings)}}


def evaluation_of(
    context: dg.AssetExecutionContext, partition: str, check: str, verdict: Verdict, *, is_blocking: bool
) -> dg.AssetCheckEvaluation:
    """The verdict as a Dagster event, about the newest materialization of the partition."""
    asset = dg.AssetKey(CHECKS.get(check, PARQUET))
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check,
        passed=verdict.passed,
        severity=_SEVERITIES[verdict.severity],
        description=verdict.description,
        metadata={name: _metadata_value(value) for name, value in verdict.metadata.items()},
        blocking=is_blocking,
        partition=partition,
        target_materialization_data=_target(context.instance, asset, partition),
    )


def _metadata_value(value: Any) -> Any:
    """A list of rows as a table, anything else as it is."""
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return value
    columns = list(dict.fromkeys(name for row in value for name in row))
    records = [dg.TableRecord({name: _cell(row.get(name)) for name in columns}) for row in value]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name) for name in columns]))


def _cell(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _target(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    newest = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=[partition]), limit=1)
    for record in newest.records:
        return AssetCheckEvaluationTargetMaterializationData(
            run_id=record.run_id, storage_id=record.storage_id, timestamp=record.timestamp
        )
    return None
