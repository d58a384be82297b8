"""The Spark engine resource, on the session of ``dagster_pyspark``."""

from dagster_pyspark import LazyPySparkResource

from audit_pipeline.engines import Engine
from audit_pipeline.engines.spark import SparkEngine
from audit_pipeline.engines.spark.session import spark_config, start_session
from audit_pipeline.orchestration.resources import EngineResource
from audit_pipeline.settings import Settings

__all__ = ["SparkEngineResource", "build_spark_engine"]


class SparkEngineResource(EngineResource):
    """Runs on a Spark session that starts when the first day of a Dagster run has something to read.

    For a cluster, pass ``build_defs`` another one as ``engine``, with the ``spark_config`` of the cluster.
    """

    pyspark: LazyPySparkResource

    def open(self) -> Engine:
        return SparkEngine(lambda: start_session(lambda: self.pyspark.spark_session))


def build_spark_engine(settings: Settings) -> SparkEngineResource:
    return SparkEngineResource(pyspark=LazyPySparkResource(spark_config=dict(spark_config(settings))))
