"""Settings from ``AUDIT_*`` environment variables (or a ``.env`` file in the working directory)."""

import os
from datetime import date
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, SettingsConfigDict

from audit_pipeline.errors import SettingsError

__all__ = ["QuerySettings", "Settings", "glue_job_of", "load_query_settings", "load_settings"]

#: Names that Glue, Athena and Trino accept without quotes, whatever their case.
_NAME: Final = "^[a-z][a-z0-9_]{0,127}$"

#: Marks fields that most installations leave alone, which docs/operate/settings.md lists separately.
_TUNING: Final[JsonDict] = {"group": "tuning"}

_AnySettings = TypeVar("_AnySettings", bound="QuerySettings")


class QuerySettings(BaseSettings):
    """The settings of the query client.

    ``lake_url`` is a path, ``file://`` or ``s3://`` URL. Credentials, region and endpoints of AWS are those of boto3.
    """

    model_config = SettingsConfigDict(env_prefix="AUDIT_", env_file=".env", extra="ignore", frozen=True)

    lake_url: str = Field(min_length=1, description="where table, quarantine and manifests are")
    query_backend: Literal["duckdb", "athena", "trino"] = Field(
        default="duckdb", description="what answers queries, and where the table is defined"
    )
    database: str = Field(default="audit_logs_db", pattern=_NAME, description="database (schema) of the table")
    table: str = Field(default="auditlog", pattern=_NAME, description="name of the table")
    athena_workgroup: str = Field(default="primary", min_length=1, description="Athena workgroup of every query")
    athena_output_url: str | None = Field(
        default=None, pattern="^s3://.", description="where Athena puts results (default: the workgroup's place)"
    )
    trino_url: str | None = Field(default=None, description="Trino server and catalog, https://user@host:port/catalog")
    query_max_days: int = Field(default=7, ge=1, le=36600, description="days that one query may span")
    query_max_limit: int = Field(
        default=1000, ge=1, le=100_000, description="rows that one page may have", json_schema_extra=_TUNING
    )
    cursor_key: SecretStr | None = Field(default=None, description="secret that signs cursors (default: unsigned)")
    memory_mb: int = Field(
        default=1024,
        ge=256,
        description="MiB that a run or a query may use, over all its processes, besides one raw object",
        json_schema_extra=_TUNING,
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="worker processes for a large day, threads of a query (default: the cores)",
        json_schema_extra=_TUNING,
    )
    scratch_dir: Path | None = Field(
        default=None,
        description="folder for what a run or a query spills (default: the system's temporary folder)",
        json_schema_extra=_TUNING,
    )


class Settings(QuerySettings):
    """The settings of the pipeline; ``raw_url`` is a path or URL like ``lake_url``."""

    raw_url: str = Field(min_length=1, description="where Firehose writes its hour folders")
    start_date: date = Field(description="first partition, YYYY-MM-DD (UTC)")
    engine: Literal["local", "spark", "glue"] = Field(default="local", description="where the transform runs")
    glue_job: str | None = Field(
        default=None, min_length=1, description="name of the Glue job that AUDIT_ENGINE=glue starts"
    )
    grace_hours: int = Field(
        default=1, ge=0, le=23, description="hours of the next delivery day that still belong to a partition"
    )
    max_object_text_bytes: int = Field(
        default=1 << 30,
        ge=1,
        description="bytes of text that a raw object may hold; a longer one is unreadable",
        json_schema_extra=_TUNING,
    )
    days_per_run: int = Field(
        default=1,
        ge=1,
        le=366,
        description="days that one Dagster run of a backfill handles",
        json_schema_extra=_TUNING,
    )
    quality_suite: Path | None = Field(
        default=None, description="file (.yaml or .py) with expectations of your own (default: only the built-in ones)"
    )
    quarantine_warn_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of a day's events in quarantine above which its check warns",
        json_schema_extra=_TUNING,
    )
    quarantine_error_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of a day's events in quarantine above which its table is held back",
        json_schema_extra=_TUNING,
    )
    late_days: int = Field(
        default=3,
        ge=1,
        le=366,
        description="newest days that are watched for late files all day",
        json_schema_extra=_TUNING,
    )
    late_sweep_days: int = Field(
        default=30,
        ge=1,
        le=3660,
        description="newest days that are checked for late files once a day",
        json_schema_extra=_TUNING,
    )
    late_settle_minutes: int = Field(
        default=5,
        ge=0,
        le=1440,
        description="minutes without a further file before a late one makes its day run again",
        json_schema_extra=_TUNING,
    )
    late_max_runs: int = Field(
        default=5,
        ge=1,
        le=100,
        description="runs that the late-file sensor may request at a time",
        json_schema_extra=_TUNING,
    )
    deadline_hours: int = Field(
        default=6, ge=1, le=720, description="hours after its end (UTC) by which a day must be in the table"
    )
    alert_file: Path | None = Field(
        default=None, description="JSON Lines file of all alerts (default: alerts.jsonl in DAGSTER_HOME)"
    )
    alert_sns_topic_arn: str | None = Field(
        default=None, pattern="^arn:[^:]+:sns:[^:]+:[0-9]+:[A-Za-z0-9_.-]+$", description="SNS topic that alerts go to"
    )
    alert_slack_token: SecretStr | None = Field(default=None, description="token of the Slack app that posts alerts")
    alert_slack_channel: str | None = Field(default=None, description="Slack channel that alerts are posted to")
    alert_webhook_url: SecretStr | None = Field(
        default=None, description="http(s) URL that alerts are posted to as JSON"
    )

    @field_validator("start_date", mode="before")
    @classmethod
    def _iso_date(cls, value: object) -> object:
        # pydantic would also read numbers as days since 1970
        return date.fromisoformat(value) if isinstance(value, str) else value


def load_settings() -> Settings:
    """The settings of this environment. Raises a :class:`SettingsError` of one line that names each wrong setting."""
    return _load(Settings)


def load_query_settings() -> QuerySettings:
    """The settings of this environment that the query client needs. Raises :class:`SettingsError`."""
    return _load(QuerySettings)


def glue_job_of(settings: Settings) -> str:
    """The name of the Glue job. Raises :class:`SettingsError` if none is set."""
    if settings.glue_job is None:
        described = Settings.model_fields["glue_job"].description
        raise SettingsError(f"AUDIT_GLUE_JOB is not set ({described})")
    return settings.glue_job


def _load(kind: type[_AnySettings]) -> _AnySettings:
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(e["loc"], e["type"], e["msg"]) for e in error.errors())) from None


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = f"AUDIT_{str(location[0]).upper()}" if location else "settings"
    described = Settings.model_fields[str(location[0])].description if location else ""
    if kind == "missing":
        return f"{name} is not set ({described})"
    return f"{name} is wrong: {message} ({described}; it is {os.environ.get(name, 'unset')!r})"
