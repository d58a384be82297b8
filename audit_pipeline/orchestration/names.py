"""The names under which Dagster knows the assets, the checks and the job."""

from typing import Final

__all__ = ["ASSETS", "CHECKS", "CONSERVATION", "HOUR_COVERAGE", "JOB", "PARQUET", "RAW", "SCHEDULE", "TABLE"]

RAW: Final = "raw_hour_folders"
PARQUET: Final = "audit_log_parquet"
TABLE: Final = "audit_log_table"
ASSETS: Final = (RAW, PARQUET, TABLE)

HOUR_COVERAGE: Final = "hour_coverage"
CONSERVATION: Final = "conservation"
#: Check: the asset that it is about.
CHECKS: Final = {HOUR_COVERAGE: RAW, CONSERVATION: PARQUET}

JOB: Final = "audit_log_job"
SCHEDULE: Final = "audit_log_daily"
