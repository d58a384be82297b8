"""The Spark engine on so many cores of this machine, from raw folder to commit; the last argument is their number.

Prints where the time went, in seconds, as one line of JSON. ``shuffle`` are the stages that only bring together what
the next one works on: what they took is not in ``match`` and ``write``. ``cpu`` is of all processes: Spark ends its
Python workers in a way that hides theirs from who waits for them. With ``twice`` the day is run once more in the same
session: ``again`` is how long it took when session and Python workers were there already, as for the further days of a
range run.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from pyspark.sql import SparkSession

from audit_pipeline.engines import run, run_partition
from audit_pipeline.engines.spark import SparkEngine
from audit_pipeline.engines.spark.jobs import Jobs
from audit_pipeline.engines.spark.session import spark_config, start_session
from audit_pipeline.settings import Settings
from bench.cases import DAY


def main() -> None:
    began = time.perf_counter()
    raw, out, _, cores, *twice = sys.argv[1:]
    settings = Settings(_env_file=None, raw_url=raw, lake_url=out, start_date=DAY, engine="spark", workers=int(cores))
    seconds: dict[str, float] = defaultdict(float)
    run.take_inventory = _timed(seconds, lambda *_: "list", run.take_inventory)
    Jobs.collect = _timed(seconds, lambda _, stage, *__: stage, Jobs.collect)  # type: ignore[method-assign]
    with TemporaryDirectory(prefix="bench-events-") as log:
        start = _timed(seconds, lambda *_: "start", partial(_session, settings, log))
        engine = SparkEngine(start)
        run_partition(settings, DAY, engine=engine)
        figures = dict(seconds) | {"all": time.perf_counter() - began, "cpu": _cpu_seconds()}
        if twice:
            began = time.perf_counter()
            run_partition(settings.model_copy(update={"lake_url": f"{out}-again"}), DAY, engine=engine)
            figures["again"] = time.perf_counter() - began
        _stop(start())
        (events,) = Path(log).iterdir()
        of_stage = _shuffle_seconds(events)
    for stage, shuffle in of_stage.items():
        figures[stage] -= shuffle
    print(json.dumps(figures | {"shuffle": sum(of_stage.values())}))


def _session(settings: Settings, log: str) -> SparkSession:
    config = dict(spark_config(settings)) | {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{log}"}
    return start_session(lambda: SparkSession.builder.config(map=config).getOrCreate())


def _cpu_seconds() -> float:
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _shuffle_seconds(log: Path) -> dict[str, float]:
    """Of the first run, by job: the time of all its stages but the last."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    jobs = [event for event in events if event["Event"] == "SparkListenerJobStart"]
    groups = [job["Properties"]["spark.jobGroup.id"] for job in jobs]
    job_of = {
        stage: job["Properties"]["spark.job.description"]
        for job, group in zip(jobs, groups, strict=True)
        if group == groups[0]
        for stage in sorted(job["Stage IDs"])[:-1]
    }
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        if event["Event"] == "SparkListenerStageCompleted" and event["Stage Info"]["Stage ID"] in job_of:
            stage = event["Stage Info"]
            seconds[job_of[stage["Stage ID"]]] += (stage["Completion Time"] - stage["Submission Time"]) / 1000
    return seconds


def _timed(seconds: dict[str, float], name: Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds[name(*arguments)] += time.perf_counter() - began

    return timed


def _stop(session: SparkSession) -> None:
    gateway: Any = session.sparkContext._gateway
    session.stop()
    gateway.proc.stdin.close()
    gateway.proc.wait()  # or the JVM's CPU time would not be counted


if __name__ == "__main__":
    main()
