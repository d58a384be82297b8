"""A driver of Spark on a cluster of two machines with an executor each, which can be killed.

``python spark_cluster_child.py MASTER SETTINGS SETTINGS`` (the last two as JSON): the first lake's run has a task that
is slow after its work, so that Spark starts a second attempt of it; in the second lake's run an executor dies, with the
records that it keeps, between decoding and writing; at last, in a run of the same lake, the driver's own JVM dies.
Prints what happened as JSON.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import psutil
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

from audit_pipeline.engines import run_partition
from audit_pipeline.engines.spark import SparkEngine, transform
from audit_pipeline.engines.spark.jobs import Jobs
from audit_pipeline.engines.spark.session import spark_config, start_session
from audit_pipeline.engines.spark.writing import Writing
from audit_pipeline.errors import SparkJobError
from audit_pipeline.settings import Settings

_DAY: Final = date(2026, 5, 1)
#: Longer than a second attempt takes to start and to end.
_SLOW_SECONDS: Final = 120
_CONFIG: Final = {
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.quantile": "0.5",
    "spark.speculation.multiplier": "3",
}


def main() -> None:
    master, *lakes = sys.argv[1:]
    slow, dying = (Settings(_env_file=None, **json.loads(lake)) for lake in lakes)
    config = {**spark_config(slow), **_CONFIG, "spark.master": master}
    engine = SparkEngine(lambda: start_session(SparkSession.builder.config(map=config).getOrCreate))
    attempts = Path(slow.lake_url).parent / "attempts"
    attempts.mkdir()
    transform.Writing = _slow_writing(str(attempts))  # type: ignore[misc]
    run_partition(slow, _DAY, engine=engine)
    transform.Writing = Writing  # type: ignore[misc]
    killed = _kill_an_executor_before("match")
    run_partition(dying, _DAY, engine=engine)
    dead = _message_of_a_run_whose_jvm_dies(dying, engine)
    print(json.dumps({"attempts": sorted(p.name for p in attempts.iterdir()), "killed": killed, "dead": dead}))


def _slow_writing(attempts: str) -> type[Writing]:
    class Slow(Writing):
        def map_batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            outcomes = list(Writing.map_batches(self, batches))
            context: Any = TaskContext.get()
            if context.partitionId() == 0:
                Path(attempts, str(context.attemptNumber())).touch()
                if context.attemptNumber() == 0:
                    time.sleep(_SLOW_SECONDS)
            yield from outcomes

    return Slow


def _kill_an_executor_before(stage: str) -> list[int]:
    collect, killed = Jobs.collect, list[int]()

    def collect_and_kill(self: Jobs, name: str, frame: Any) -> list[Any]:
        if name == stage and not killed:
            killed.append(_executor())
            os.kill(killed[0], signal.SIGKILL)
        return collect(self, name, frame)

    Jobs.collect = collect_and_kill  # type: ignore[method-assign]
    return killed


def _message_of_a_run_whose_jvm_dies(settings: Settings, engine: SparkEngine) -> str:
    def look_and_kill(stage: str, done: int, total: int) -> None:
        if stage == "decode":
            next(p for p in psutil.Process().children() if "java" in p.name()).kill()

    try:
        run_partition(settings, _DAY, engine=engine, progress=look_and_kill)
    except SparkJobError as error:
        return str(error)
    raise AssertionError("it has not died")


def _executor() -> int:
    session = SparkSession.getActiveSession()
    assert session is not None
    words = {"org.apache.spark.executor.CoarseGrainedExecutorBackend", session.sparkContext.applicationId}
    return next(p.pid for p in psutil.process_iter(["cmdline"]) if words <= set(p.info["cmdline"] or ()))


if __name__ == "__main__":
    main()
