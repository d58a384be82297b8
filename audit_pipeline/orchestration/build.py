"""The definitions: assets, checks, job, schedules, sensors and resources."""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from audit_pipeline.orchestration.alerts import build_alert_sensor
from audit_pipeline.orchestration.assets import build_audit_log_days
from audit_pipeline.orchestration.engines import build_engine
from audit_pipeline.orchestration.late_files import build_late_files_sensor
from audit_pipeline.orchestration.resources import AuditLake
from audit_pipeline.orchestration.schedules import build_job, build_schedules
from audit_pipeline.settings import load_settings

__all__ = ["build_defs"]


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions for the ``AUDIT_*`` variables of this environment, which are read here, once.

    No store is opened. ``resource_overrides`` replace resources by name (``lake``, ``engine``). Raises
    :class:`audit_pipeline.errors.SettingsError` for a setting that is missing or wrong.
    """
    settings = load_settings()
    with warnings.catch_warnings():
        # backfill policies are beta, partitioned checks are preview; tests cover what this package needs of both
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.Definitions(
            assets=[build_audit_log_days(settings)],
            jobs=[build_job()],
            schedules=build_schedules(settings),
            sensors=[build_late_files_sensor(settings), build_alert_sensor(settings)],
            resources={"lake": AuditLake(settings), "engine": build_engine(settings)} | dict(resource_overrides or {}),
            # the engine has its own processes; one per step would only add start-up time
            executor=dg.in_process_executor,
        )
