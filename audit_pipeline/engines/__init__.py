"""Runs one partition: one call, whatever the engine."""

import importlib.util
import uuid
from datetime import date
from functools import partial

from audit_pipeline.errors import SettingsError
from audit_pipeline.extras import extra, install_line

with extra("pipeline", "audit_pipeline.engines"):
    from audit_pipeline.engines.engine import Engine, Progress
    from audit_pipeline.engines.local import LocalEngine
    from audit_pipeline.settings import Settings, glue_job_of
    from audit_pipeline.store.manifest import Manifest

__all__ = ["Engine", "Progress", "open_engine", "require_spark", "run_partition"]


def run_partition(
    settings: Settings,
    partition: date,
    *,
    run_id: str | None = None,
    progress: Progress | None = None,
    accept_vanished_raw: bool = False,
    engine: Engine | None = None,
) -> Manifest:
    """Turn the raw hour folders of ``partition`` into its files of the table, and commit them.

    Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`; then the table is as it was, or, where the
    run was stopped in the middle of its commit, the next run of the partition cleans up after it. Where raw objects
    are gone that its last run read, that is :class:`audit_pipeline.errors.RawVanishedError`, unless
    ``accept_vanished_raw``. ``engine`` is one that several runs share, such as those of several days in one Spark
    session; the default is the engine that the settings name.
    """
    return (engine or open_engine(settings)).run(
        settings,
        partition,
        run_id or str(uuid.uuid4()),
        progress or _ignore,
        accept_vanished_raw=accept_vanished_raw,
    )


def open_engine(settings: Settings) -> Engine:
    """The engine that the settings name."""
    if settings.engine == "spark":
        require_spark()
        # imported here, for without this engine pyspark need not be installed
        from audit_pipeline.engines.spark import SparkEngine
        from audit_pipeline.engines.spark.session import open_session

        return SparkEngine(partial(open_session, settings))
    if settings.engine == "glue":
        # imported here, for without this engine boto3 is not loaded
        from audit_pipeline.engines.glue.engine import GlueEngine

        return GlueEngine(glue_job_of(settings))
    return LocalEngine()


def require_spark(*others: str) -> None:
    """:class:`SettingsError` where pyspark, or another of these packages, is not installed."""
    for package in ("pyspark", *others):
        if importlib.util.find_spec(package) is None:
            raise SettingsError(f"{install_line('spark', 'AUDIT_ENGINE=spark', package)}, or choose another engine")


def _ignore(stage: str, done: int, total: int) -> None:
    pass
