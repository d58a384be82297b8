"""Settings from ``AUDIT_*`` environment variables (or a ``.env`` file in the working directory)."""

import os
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from audit_pipeline.errors import SettingsError

__all__ = ["Settings", "load_settings"]


class Settings(BaseSettings):
    """What one deployment needs to know.

    ``raw_url`` and ``lake_url`` are a path, ``file://`` or ``s3://`` URL. S3 credentials, region and endpoint come
    from the standard ``AWS_*`` variables.
    """

    model_config = SettingsConfigDict(env_prefix="AUDIT_", env_file=".env", extra="ignore", frozen=True)

    raw_url: str = Field(min_length=1, description="where Firehose writes its hour folders")
    lake_url: str = Field(min_length=1, description="where the table, the quarantine and the manifests live")
    start_date: date = Field(description="first partition, YYYY-MM-DD (UTC)")
    engine: Literal["local"] = Field(default="local", description="where the transform runs")
    grace_hours: int = Field(
        default=1, ge=0, le=23, description="hours of the next delivery day that still belong to a partition"
    )
    days_per_run: int = Field(default=1, ge=1, le=366, description="days that one Dagster run of a backfill handles")
    memory_mb: int = Field(
        default=1024, ge=256, description="MiB that a run may use, over all its processes, besides one raw object"
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, le=256, description="worker processes for a large day"
    )
    scratch_dir: Path | None = Field(
        default=None, description="folder for what a run spills (default: the system's temporary folder)"
    )

    @field_validator("start_date", mode="before")
    @classmethod
    def _iso_date(cls, value: object) -> object:
        # pydantic would also read numbers as days since 1970
        return date.fromisoformat(value) if isinstance(value, str) else value


def load_settings() -> Settings:
    """The settings of this environment; a :class:`SettingsError` of one line a wrong setting otherwise."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(e["loc"], e["type"], e["msg"]) for e in error.errors())) from None


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = f"AUDIT_{str(location[0]).upper()}" if location else "settings"
    described = Settings.model_fields[str(location[0])].description if location else ""
    if kind == "missing":
        return f"{name} is not set ({described})"
    return f"{name} is wrong: {message} ({described}; it is {os.environ.get(name, 'unset')!r})"
