"""Runs Spark's jobs for one run: what is under way, what failed, and nothing left running when the run is stopped."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from audit_pipeline.engines.engine import Progress
from audit_pipeline.errors import SparkJobError

__all__ = ["DEAD", "Jobs", "explained", "open_jobs"]

#: What calls raise when Spark's JVM has died.
DEAD: Final = (Py4JError, ConnectionError)

_LOOK_SECONDS: Final = 0.5


class Jobs:
    """The jobs of one run, under one group."""

    def __init__(self, session: SparkSession, group: str, progress: Progress) -> None:
        self.session = session
        self._group = group
        self._progress = progress

    def collect(self, stage: str, frame: DataFrame) -> list[Any]:
        """The rows of a frame. ``stage`` names the job in Spark's UI and to ``progress``, which counts tasks."""
        with explained(stage), self._watched(stage):
            self.session.sparkContext.setJobGroup(self._group, stage)
            return frame.collect()

    def iterate(self, stage: str, frame: DataFrame) -> Iterator[Any]:
        """The same a partition at a time, for what may be large."""
        with explained(stage):
            self.session.sparkContext.setJobGroup(self._group, stage)
            yield from frame.toLocalIterator(prefetchPartitions=True)

    @contextmanager
    def _watched(self, stage: str) -> Iterator[None]:
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(stage, ended), name="watch-spark", daemon=True)
        watch.start()
        try:
            yield
        finally:
            ended.set()
            watch.join()

    def _watch(self, stage: str, ended: threading.Event) -> None:
        with suppress(*DEAD):  # whoever waits for the job is told
            self._tell(stage, ended)

    def _tell(self, stage: str, ended: threading.Event) -> None:
        tracker = self.session.sparkContext.statusTracker()
        told = (-1, -1)
        while not ended.wait(_LOOK_SECONDS):
            active = [info for n in tracker.getActiveStageIds() if (info := tracker.getStageInfo(n))]
            now = (sum(info.numCompletedTasks for info in active), sum(info.numTasks for info in active))
            if active and now != told:
                self._progress(stage, *now)
                told = now


@contextmanager
def open_jobs(session: SparkSession, group: str, progress: Progress) -> Iterator[Jobs]:
    """Whatever ends the run, its jobs end with it."""
    try:
        with explained("go on"):
            yield Jobs(session, group, progress)
    except BaseException:
        with suppress(*DEAD):  # there is nothing to stop
            session.sparkContext.cancelJobGroup(group)
        raise


@contextmanager
def explained(stage: str) -> Iterator[None]:
    """Spark's errors as :class:`SparkJobError`, in one line."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        raise SparkJobError(f"Spark could not {stage}: {_in_one_line(error)}") from error
    except DEAD as error:
        raise SparkJobError(
            f"Spark could not {stage}: {_in_one_line(error)}. It seems that its JVM has died, which says why on stderr "
            f"where it can; often its memory is too little (spark.driver.memory)"
        ) from error


def _in_one_line(error: Exception) -> str:
    """The last line that says something: of a task's traceback, the exception; of Java's, its message."""
    java: Any = getattr(error, "java_exception", None)
    text = str(java.getMessage() if java is not None else error)
    lines = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith(("at ", "Driver stack"))
    ]
    return " ... ".join(dict.fromkeys([lines[0], lines[-1]])) if lines else type(error).__name__
