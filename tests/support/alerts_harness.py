"""Looks for alerts at a real Dagster instance, and what a project reports there."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import msgspec
from dagster._core.events import DagsterEvent

from audit_pipeline.orchestration.alerts import Alert, sensor
from audit_pipeline.orchestration.names import JOB, LATE_FILES, PARQUET, RAW, TABLE
from audit_pipeline.settings import load_settings
from tests.support.dagster_harness import Deployment, Instance

#: No day's deadline has passed: the first day ends at midnight and has six hours.
EARLY = datetime(2026, 5, 2, 5, 59, tzinfo=UTC)
LOG = logging.getLogger("alerts-under-test")


@dataclass
class Watch:
    """Ticks of the sensor on a real instance; the alerts are read from the alert file."""

    deployment: Deployment
    instance: Instance
    cursor: str | None = None
    log: logging.Logger = field(default=LOG)

    def tick(self, now: datetime = EARLY) -> list[Alert]:
        """The alerts that the tick sent."""
        before = len(self.sent())
        self.cursor = sensor.tick(self.instance.dagster, load_settings(), self.cursor, now, self.log)
        return self.sent()[before:]

    def sent(self) -> list[Alert]:
        path = self.deployment.home / "alerts.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Alert) for line in lines]

    def evaluate(
        self,
        check: str = "sources",
        partition: str = "2026-05-01",
        *,
        passed: bool = False,
        severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
        description: str = "it failed",
        metadata: dict[str, Any] | None = None,
        asset: str = PARQUET,
    ) -> None:
        """An evaluation as a check that the project may have reports it in a run."""
        evaluation = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset),
            check_name=check,
            passed=passed,
            severity=severity,
            description=description,
            metadata=metadata,
            partition=partition,
        )
        reported = DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
            job_name=JOB,
            event_specific_data=evaluation,
        )
        self.instance.dagster.report_dagster_event(reported, run_id="some-run")

    def observe(self, **files: object) -> None:
        details = {"new": [], "new_count": 0, "fingerprint": "f1", "requested": True, "problem": None} | files
        self.instance.dagster.report_runless_asset_event(
            dg.AssetObservation(RAW, partition="2026-05-01", metadata={LATE_FILES: dg.MetadataValue.json(details)})
        )

    def materialize(self, asset: str = TABLE, partition: str = "2026-05-01") -> None:
        self.instance.dagster.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))
