"""The Spark engine on so many cores of this machine, from raw folder to commit; the last argument is their number.

Prints where the time went, in seconds, as one line of JSON. The day is run twice in the one session: ``again`` is how
long it took when the session and the Python workers were there already, as for the further days of a range run.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession

from audit_pipeline.engines import run, run_partition
from audit_pipeline.engines.spark import SparkEngine
from audit_pipeline.engines.spark.jobs import Jobs
from audit_pipeline.engines.spark.session import open_session
from audit_pipeline.settings import Settings
from bench.cases import DAY


def main() -> None:
    began = time.perf_counter()
    raw, out, _, cores, *twice = sys.argv[1:]
    settings = Settings(_env_file=None, raw_url=raw, lake_url=out, start_date=DAY, engine="spark", workers=int(cores))
    seconds: dict[str, float] = defaultdict(float)
    run.list_inputs = _timed(seconds, lambda *_: "list", run.list_inputs)
    Jobs.collect = _timed(seconds, lambda _, stage, *__: stage, Jobs.collect)  # type: ignore[method-assign]
    start = _timed(seconds, lambda *_: "start", open_session)
    engine = SparkEngine(lambda: start(settings))
    run_partition(settings, DAY, engine=engine)
    told = dict(seconds) | {"all": time.perf_counter() - began}
    if twice:
        began = time.perf_counter()
        run_partition(settings.model_copy(update={"lake_url": f"{out}-again"}), DAY, engine=engine)
        told["again"] = time.perf_counter() - began
    print(json.dumps(told))
    _stop(start(settings))


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
