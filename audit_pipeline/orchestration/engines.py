"""The engine as a resource of Dagster: the one that ``AUDIT_ENGINE`` names. Nothing starts before a day is run."""

from abc import ABC, abstractmethod

import dagster as dg

from audit_pipeline.engines import Engine
from audit_pipeline.engines.local import LocalEngine
from audit_pipeline.settings import Settings

__all__ = ["EngineResource", "LocalEngineResource", "build_engine"]


class EngineResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Gives the engine of a run of Dagster, which serves all its days."""

    @abstractmethod
    def open(self) -> Engine: ...


class LocalEngineResource(EngineResource):
    """In Dagster's own process, and in processes of its own where a day is large."""

    def open(self) -> Engine:
        return LocalEngine()


def build_engine(settings: Settings) -> EngineResource:
    if settings.engine == "spark":
        # not at the top: where the engine is another, pyspark need not be installed
        from audit_pipeline.orchestration.spark import build_spark_engine

        return build_spark_engine(settings)
    return LocalEngineResource()
