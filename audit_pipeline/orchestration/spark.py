"""The Spark engine as a resource of Dagster, over ``dagster_pyspark``'s session."""

from dagster_pyspark import LazyPySparkResource

from audit_pipeline.engines import Engine
from audit_pipeline.engines.spark import SparkEngine
from audit_pipeline.engines.spark.session import spark_config, start_session
from audit_pipeline.orchestration.engines import EngineResource
from audit_pipeline.settings import Settings

__all__ = ["SparkEngineResource", "build_spark_engine"]


class SparkEngineResource(EngineResource):
    """On a Spark session that starts when the first day of a run has something to read, and serves all its days.

    For a cluster, give ``build_defs`` another one as ``engine``, with the ``spark_config`` of the cluster.
    """

    pyspark: LazyPySparkResource

    def open(self) -> Engine:
        return SparkEngine(lambda: start_session(lambda: self.pyspark.spark_session))


def build_spark_engine(settings: Settings) -> SparkEngineResource:
    return SparkEngineResource(pyspark=LazyPySparkResource(spark_config=dict(spark_config(settings))))
