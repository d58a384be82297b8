"""What runs in Glue: the Spark engine on Glue's session, for the one partition that the arguments name.

It needs pyspark, and boto3 for the keys of S3: Glue brings both. It has no use for ``awsglue``, whose
``getResolvedOptions`` gives no more than :meth:`audit_pipeline.engines.glue.arguments.JobRequest.parse` does.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from pyspark.sql import SparkSession

from audit_pipeline.engines.glue.arguments import JobRequest
from audit_pipeline.engines.glue.progress import progress_line
from audit_pipeline.engines.spark import SparkEngine
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.settings import load_settings

__all__ = ["main"]

#: CloudWatch takes each line for money, and nobody reads faster.
_SECONDS_BETWEEN_LINES: Final = 2.0


def main(argv: Sequence[str]) -> int:
    """The exit code: 0, or 1 with one line on stderr for an error that a user can act on."""
    signal.signal(signal.SIGTERM, _end)
    try:
        request = JobRequest.parse(argv)
        # also for the libraries below, and so that a wrong one is told by its name
        os.environ.update(request.settings)
        engine = SparkEngine(SparkSession.builder.getOrCreate, name="glue")
        manifest = engine.run(
            load_settings(),
            request.partition,
            request.run_id,
            _Printer(),
            accept_vanished_raw=request.accept_vanished_raw,
        )
    except AuditPipelineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    print(f"{request.partition}: {manifest.rows:,} rows in {len(manifest.outputs):,} files", flush=True)
    return 0


class _Printer:
    """Progress as lines of the log: the first and the last of a stage, and some between."""

    def __init__(self) -> None:
        self._stage = ""
        self._told_at = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._told_at >= _SECONDS_BETWEEN_LINES:
            self._stage, self._told_at = stage, now
            print(progress_line(stage, done, total), flush=True)


def _end(*_: Any) -> NoReturn:
    """Stopped: the run's locks are released on the way out, where there is time for it."""
    raise SystemExit(128 + signal.SIGTERM)
