"""The asset checks as Dagster knows them. Their rules are in ``verdicts``."""

from collections.abc import Sequence
from typing import Final

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from audit_pipeline.orchestration.names import CHECKS, CONSERVATION, HOUR_COVERAGE, WARNINGS
from audit_pipeline.orchestration.verdicts import Verdict

__all__ = ["check_specs", "evaluation_of"]

_DESCRIPTIONS: Final = {
    HOUR_COVERAGE: "Each of the day's 24 hour folders holds an object. A gap may be a quiet hour, or lost delivery.",
    CONSERVATION: "Counted anew from the files in the store, every event and row of the manifest is accounted for.",
}
#: Where these fail, the day goes no further.
_BLOCKING: Final = {CONSERVATION}


def check_specs(partitions: dg.PartitionsDefinition[str]) -> Sequence[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            check,
            asset=asset,
            description=_DESCRIPTIONS[check],
            blocking=check in _BLOCKING,
            partitions_def=partitions,
        )
        for check, asset in CHECKS.items()
    ]


def evaluation_of(
    context: dg.AssetExecutionContext, partition: str, check: str, verdict: Verdict
) -> dg.AssetCheckEvaluation:
    """The verdict as the event that Dagster keeps, about the newest materialization of the partition."""
    asset = dg.AssetKey(CHECKS[check])
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN if check in WARNINGS else dg.AssetCheckSeverity.ERROR,
        description=verdict.description,
        metadata=verdict.metadata,
        blocking=check in _BLOCKING,
        partition=partition,
        target_materialization_data=_target(context.instance, asset, partition),
    )


def _target(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    found = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=[partition]), limit=1)
    for record in found.records:
        return AssetCheckEvaluationTargetMaterializationData(
            run_id=record.run_id, storage_id=record.storage_id, timestamp=record.timestamp
        )
    return None
