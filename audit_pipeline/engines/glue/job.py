"""The program that runs in Glue: the Spark engine on Glue's session, for the one partition that the arguments name.

It needs pyspark, and boto3 for the credentials of S3; Glue has both. It does not use ``awsglue``, whose
``getResolvedOptions`` does no more than :meth:`audit_pipeline.engines.glue.arguments.JobRequest.parse`.
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

#: CloudWatch charges for each line, and nobody reads faster.
_SECONDS_BETWEEN_LINES: Final = 2.0


def main(argv: Sequence[str]) -> int:
    """The exit code: 0, or 1 with one line on stderr for an error that a user can act on."""
    signal.signal(signal.SIGTERM, _end)
    try:
        request = JobRequest.parse(argv)
        # in the environment, so that an error names the wrong variable
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
    """Prints progress as lines of the log: the first and the last of a stage, and some between."""

    def __init__(self) -> None:
        self._stage = ""
        self._printed_at = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._printed_at >= _SECONDS_BETWEEN_LINES:
            self._stage, self._printed_at = stage, now
            print(progress_line(stage, done, total), flush=True)


def _end(*_: Any) -> NoReturn:
    """Exit on SIGTERM: the run's locks are released on the way out, if there is time."""
    raise SystemExit(128 + signal.SIGTERM)
