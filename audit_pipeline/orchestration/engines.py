"""The engine as a resource of Dagster: the one that ``AUDIT_ENGINE`` names. Nothing starts before a day is run."""

from abc import ABC, abstractmethod

import dagster as dg
from pydantic import Field

from audit_pipeline.engines import Engine, require_spark
from audit_pipeline.engines.local import LocalEngine
from audit_pipeline.settings import Settings, glue_job_of

__all__ = ["EngineResource", "GlueJobResource", "LocalEngineResource", "build_engine"]


class EngineResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Gives the engine of a run of Dagster, which serves all its days."""

    @abstractmethod
    def open(self) -> Engine: ...


class LocalEngineResource(EngineResource):
    """In Dagster's own process, and in processes of its own where a day is large."""

    def open(self) -> Engine:
        return LocalEngine()


class GlueJobResource(EngineResource):
    """As runs of a Glue job, which this process starts and watches."""

    job_name: str
    poll_seconds: float = Field(default=15.0, gt=0, description="seconds between two looks at a job run, at most")
    timeout_minutes: int = Field(default=120, ge=1, le=10080, description="after which Glue ends a job run")

    def open(self) -> Engine:
        # not at the top: it loads boto3
        from audit_pipeline.engines.glue.engine import GlueEngine

        return GlueEngine(self.job_name, poll_seconds=self.poll_seconds, timeout_minutes=self.timeout_minutes)


def build_engine(settings: Settings) -> EngineResource:
    if settings.engine == "spark":
        require_spark()
        # not at the top: where the engine is another, pyspark need not be installed
        from audit_pipeline.orchestration.spark import build_spark_engine

        return build_spark_engine(settings)
    if settings.engine == "glue":
        return GlueJobResource(job_name=glue_job_of(settings))
    return LocalEngineResource()
