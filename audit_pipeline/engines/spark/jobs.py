"""Runs the Spark jobs of one run: reports their progress and errors, and cancels them when the run is stopped."""

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

_POLL_SECONDS: Final = 0.5


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
        """The rows of a frame that may be large, one Spark partition at a time."""
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
        with suppress(*DEAD):  # the thread that waits for the job gets the error
            self._report(stage, ended)

    def _report(self, stage: str, ended: threading.Event) -> None:
        tracker = self.session.sparkContext.statusTracker()
        reported = (-1, -1)
        while not ended.wait(_POLL_SECONDS):
            active = [info for n in tracker.getActiveStageIds() if (info := tracker.getStageInfo(n))]
            now = (sum(info.numCompletedTasks for info in active), sum(info.numTasks for info in active))
            if active and now != reported:
                self._progress(stage, *now)
                reported = now


@contextmanager
def open_jobs(session: SparkSession, group: str, progress: Progress) -> Iterator[Jobs]:
    """The jobs of one run, cancelled when an error or an interrupt ends it."""
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
            f"Spark could not {stage}: {_in_one_line(error)}. Its JVM has probably died: its stderr may say why. A "
            f"common reason is too little memory (spark.driver.memory)"
        ) from error


def _in_one_line(error: Exception) -> str:
    """The first and the last line with a message: of a task's traceback, the last is the exception."""
    java: Any = getattr(error, "java_exception", None)
    text = str(java.getMessage() if java is not None else error)
    lines = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith(("at ", "Driver stack"))
    ]
    return " ... ".join(dict.fromkeys([lines[0], lines[-1]])) if lines else type(error).__name__
