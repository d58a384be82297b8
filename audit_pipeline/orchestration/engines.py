"""The engine resource that ``AUDIT_ENGINE`` names."""

from pydantic import Field

from audit_pipeline.engines import Engine, require_spark
from audit_pipeline.engines.local import LocalEngine
from audit_pipeline.orchestration.resources import EngineResource
from audit_pipeline.settings import Settings, glue_job_of

__all__ = ["GlueJobResource", "LocalEngineResource", "build_engine"]


class LocalEngineResource(EngineResource):
    """Runs in the process of the Dagster run, and in worker processes for a large day."""

    def open(self) -> Engine:
        return LocalEngine()


class GlueJobResource(EngineResource):
    """Runs as a Glue job, which the process of the Dagster run starts and watches."""

    job_name: str
    poll_seconds: float = Field(default=15.0, gt=0, description="longest wait (seconds) between two polls of a job run")
    timeout_minutes: int = Field(default=120, ge=1, le=10080, description="minutes after which Glue ends a job run")

    def open(self) -> Engine:
        # not at the top: it loads boto3
        from audit_pipeline.engines.glue.engine import GlueEngine

        return GlueEngine(self.job_name, poll_seconds=self.poll_seconds, timeout_minutes=self.timeout_minutes)


def build_engine(settings: Settings) -> EngineResource:
    if settings.engine == "spark":
        require_spark("dagster_pyspark")
        # not at the top: pyspark is installed for this engine only
        from audit_pipeline.orchestration.spark import build_spark_engine

        return build_spark_engine(settings)
    if settings.engine == "glue":
        return GlueJobResource(job_name=glue_job_of(settings))
    return LocalEngineResource()
