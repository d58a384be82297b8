"""The names under which Dagster knows the assets, the checks and the job."""

from typing import Final

__all__ = [
    "ASSETS",
    "CHECKS",
    "CONSERVATION",
    "HOUR_COVERAGE",
    "JOB",
    "PARQUET",
    "RAW",
    "SCHEDULE",
    "TABLE",
    "WARNINGS",
]

RAW: Final = "raw_hour_folders"
PARQUET: Final = "audit_log_parquet"
TABLE: Final = "audit_log_table"
ASSETS: Final = (RAW, PARQUET, TABLE)

HOUR_COVERAGE: Final = "hour_coverage"
CONSERVATION: Final = "conservation"
#: Check: the asset that it is about.
CHECKS: Final = {HOUR_COVERAGE: RAW, CONSERVATION: PARQUET}
#: Checks whose failure is something to look at, not an error: a quiet hour fails ``hour_coverage``.
WARNINGS: Final = frozenset({HOUR_COVERAGE})

JOB: Final = "audit_log_job"
SCHEDULE: Final = "audit_log_daily"
