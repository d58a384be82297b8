"""The engine that runs a partition on a Spark session of any size, from two cores of this machine to a cluster."""

from collections.abc import Callable
from datetime import date

from pyspark.sql import SparkSession

from audit_pipeline.engines.engine import Progress
from audit_pipeline.engines.run import execute_run
from audit_pipeline.engines.spark.transform import open_transform
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest

__all__ = ["SparkEngine"]


class SparkEngine:
    """An :class:`audit_pipeline.engines.Engine`; ``name`` is what manifests call it.

    ``session`` is called once there is something to read, so that Spark is not started for an empty day. All runs of
    one engine share its session.
    """

    def __init__(self, session: Callable[[], SparkSession], name: str = "spark") -> None:
        self._session = session
        self._name = name

    def run(
        self, settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool
    ) -> Manifest:
        return execute_run(
            self._name,
            lambda context: open_transform(context, self._session),
            *(settings, partition, run_id, progress),
            accept_vanished_raw=accept_vanished_raw,
        )
