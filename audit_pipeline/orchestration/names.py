"""The names of the assets, checks, job, schedules, sensors and run tags in Dagster."""

from collections.abc import Mapping
from typing import Final

from audit_pipeline.quality.builtin import BUILTIN_CHECKS, CONSERVATION, HOUR_COVERAGE, STRAYS, UNNAMED_FILES

__all__ = [
    "ACCEPT_VANISHED_RAW",
    "ACCEPT_VANISHED_RAW_ADVICE",
    "ASSETS",
    "CHECKS",
    "CONSERVATION",
    "HOUR_COVERAGE",
    "JOB",
    "LATE_FILES",
    "LATE_FILES_SENSOR",
    "LOCATION",
    "PARQUET",
    "RAW",
    "SCHEDULE",
    "STRAYS",
    "TABLE",
    "TODAY_SCHEDULE",
    "UNNAMED_FILES",
]

RAW: Final = "raw_hour_folders"
PARQUET: Final = "audit_log_parquet"
TABLE: Final = "audit_log_table"
ASSETS: Final = (RAW, PARQUET, TABLE)

#: The asset of each check. Those of a user's suite (see ``checks``) are checks of :data:`PARQUET`.
CHECKS: Final[Mapping[str, str]] = {
    HOUR_COVERAGE: RAW,
    STRAYS: RAW,
    CONSERVATION: PARQUET,
    UNNAMED_FILES: PARQUET,
    **dict.fromkeys(BUILTIN_CHECKS, PARQUET),
}

#: The code location, as ``workspace.yaml`` and ``dagster_cloud.yaml`` name it.
LOCATION: Final = "audit_pipeline"
JOB: Final = "audit_log_job"
SCHEDULE: Final = "audit_log_daily"
TODAY_SCHEDULE: Final = "audit_log_today"
LATE_FILES_SENSOR: Final = "audit_log_late_files"
#: The tag of a run that may drop the rows of raw objects that have vanished since the last run of the partition.
ACCEPT_VANISHED_RAW: Final = "audit_pipeline/accept_vanished_raw"
#: Where to set it. The engine's error does not say: it does not know how the run was started.
ACCEPT_VANISHED_RAW_ADVICE: Final = (
    f"audit-pipeline materialize --accept-vanished-raw; in Dagster, a run with the tag {ACCEPT_VANISHED_RAW}: true"
)
#: In the metadata of an observation of :data:`RAW`: the changes that the late-files sensor found in the partition.
LATE_FILES: Final = "late_files"
