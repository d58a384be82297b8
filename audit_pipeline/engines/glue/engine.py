"""The engine that runs a partition as a Glue job, and waits for it.

It does not use dagster-aws's ``PipesGlueClient``, which starts a job and waits for it too, for these reasons (version
0.29.27, read and run):

- it polls every 5 seconds without a time-out, does not know the state EXPIRED, and ends at the first throttled request
  while the job goes on; :meth:`GlueEngine._watch` has a deadline and retries;
- when the job fails it raises before it reads a line of the log; here the error has the end of the log;
- when the Dagster run is stopped and Glue refuses to stop the job it ends in a KeyError (it reads ``errors`` where
  boto3 gives ``Errors``); see :meth:`audit_pipeline.engines.glue.runs.JobRuns.stop`;
- it adds its own arguments to the caller's dictionary, where the next partition finds them; here each start has a new
  dictionary;
- every call starts a job, also when that of an earlier run is still at work; here that one is adopted;
- in a run of several days its context names no partition, and a success without a message counts as materialized; here
  the partition is an argument, and its manifest, written by this very run, is the only proof of success.

What Pipes would carry back (metadata, checks) comes from the manifest, as with every other engine.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Final

from audit_pipeline.aws import aws_errors, glue_jobs_client, logs_client
from audit_pipeline.engines.engine import Progress
from audit_pipeline.engines.glue.arguments import JobRequest
from audit_pipeline.engines.glue.log import JobLog
from audit_pipeline.engines.glue.progress import read_progress
from audit_pipeline.engines.glue.runs import JobRun, JobRuns
from audit_pipeline.engines.glue.sizing import workers_for
from audit_pipeline.engines.plan import refuse_vanished
from audit_pipeline.errors import GlueJobError
from audit_pipeline.retrying import growing
from audit_pipeline.settings import Settings
from audit_pipeline.store.changes import fingerprint
from audit_pipeline.store.lake import read_lake_settings
from audit_pipeline.store.manifest import Manifest, read_manifest
from audit_pipeline.store.objects import Store, open_store
from audit_pipeline.store.raw import Inventory, take_inventory

__all__ = ["GlueEngine"]

_log = logging.getLogger(__name__)

#: How long a run may wait for its workers: Glue counts the time-out only from when it has them.
_QUEUE_SECONDS: Final = 3600.0


@dataclass
class GlueEngine:
    """Runs of the Glue job ``job``: an :class:`audit_pipeline.engines.Engine`.

    ``poll_seconds`` is the longest time between two polls of a run; ``queue_seconds`` is how long it may wait for
    workers. No client is made and no request is sent before the first run.
    """

    job: str
    poll_seconds: float = 15.0
    timeout_minutes: int = 120
    queue_seconds: float = field(default=_QUEUE_SECONDS, repr=False)

    def run(
        self, settings: Settings, partition: date, run_id: str, progress: Progress, *, accept_vanished_raw: bool
    ) -> Manifest:
        """Run one partition as a job run, and wait for it; an error inside the job is a :class:`GlueJobError` here.

        The job takes the partition's lock. An interrupt stops the job run, unless it was adopted: then another process
        may be waiting for it.
        """
        lake = open_store(settings.lake_url, create=True)
        inventory = _take_inventory(settings, lake, partition)
        inventory.log()
        inputs = inventory.inputs
        if not accept_vanished_raw:  # the job would refuse too, minutes later
            refuse_vanished(read_manifest(lake, partition), inputs)
        request = JobRequest.of(
            settings, partition, run_id, fingerprint(inputs), accept_vanished_raw=accept_vanished_raw
        )
        with aws_errors("Glue", GlueJobError):
            ended = self._run_to_end(request, sum(info.size for info in inputs), progress)
        return _manifest_of(lake, partition, ended, self.job)

    @cached_property
    def _runs(self) -> JobRuns:
        return JobRuns(glue_jobs_client(), self.job, first_pause=min(1.0, self.poll_seconds))

    def _run_to_end(self, request: JobRequest, raw_bytes: int, progress: Progress) -> JobRun:
        """The job run, once it has succeeded."""
        job_run: JobRun | None = None
        try:
            job_run = self._runs.find_or_start(request, workers_for(raw_bytes), self.timeout_minutes)
            if job_run.run_id != request.run_id:
                _log.info(
                    "Glue job %s: run %s (of run %s) is already working on %s: waiting for it",
                    *(self.job, job_run.id, job_run.run_id, request.partition),
                )
            return self._watch(job_run, request.partition, progress)
        except _EndedError as error:
            raise GlueJobError(str(error)) from None
        except BaseException:
            if job_run is None or job_run.run_id == request.run_id:
                self._runs.stop(request)
            else:
                _log.warning("Glue job %s: run %s, which another run started, goes on", self.job, job_run.id)
            raise

    def _watch(self, job_run: JobRun, partition: date, progress: Progress) -> JobRun:
        deadline = time.monotonic() + self.timeout_minutes * 60 + self.queue_seconds
        log: JobLog | None = None
        state = ""
        pauses = growing(1.0, 1.5, self.poll_seconds)
        while True:
            job_run = self._runs.get(job_run.id)
            if job_run.state != state:
                state = job_run.state
                _log.info("Glue job %s: run %s of %s is %s", self.job, job_run.id, partition, state)
            if state in ("STARTING", "WAITING"):
                progress(f"wait for Glue ({state})", 0, 1)
            else:
                log = log or JobLog(logs_client(), job_run.id, job_run.log_group)
                log.follow(lambda line: _relay(line, progress))
                if job_run.has_ended:
                    return _succeeded(job_run, self.job, partition, log)
            if time.monotonic() > deadline:
                raise GlueJobError(
                    f"Glue job {self.job}: run {job_run.id} of partition {partition} is still {state} after "
                    f"{self.timeout_minutes} minutes and the time to get workers, so it is stopped: find out why in "
                    f"Glue, then run the partition again"
                )
            time.sleep(next(pauses))


class _EndedError(Exception):
    """The job run has ended by itself, without success."""


def _take_inventory(settings: Settings, lake: Store, partition: date) -> Inventory:
    agreed = read_lake_settings(lake)
    grace_hours = settings.grace_hours if agreed is None else agreed.grace_hours
    return take_inventory(open_store(settings.raw_url), partition, grace_hours)


def _relay(line: str, progress: Progress) -> None:
    if (step := read_progress(line)) is not None:
        progress(*step)
    if line.strip():
        _log.info("Glue: %s", line)


def _succeeded(job_run: JobRun, job: str, partition: date, log: JobLog) -> JobRun:
    """``job_run``; :class:`_EndedError` where it did not succeed."""
    if job_run.state == "SUCCEEDED":
        if job_run.dpu_seconds:
            _log.info("Glue job %s: run %s took %s DPU hours", job, job_run.id, f"{job_run.dpu_seconds / 3600:.3f}")
        return job_run
    tail = log.tail()
    message = job_run.message or "Glue gives no reason"
    raise _EndedError(
        f"Glue job {job}: run {job_run.id} of partition {partition} ended {job_run.state}: {message}. "
        + (f"The end of its log:\n{tail}" if tail else "It has no log.")
    )


def _manifest_of(lake: Store, partition: date, job_run: JobRun, job: str) -> Manifest:
    manifest = read_manifest(lake, partition)
    if manifest is None or manifest.run_id != job_run.run_id:
        found = "there is no manifest" if manifest is None else f"there is that of run {manifest.run_id}"
        raise GlueJobError(
            f"Glue job {job}: run {job_run.id} of partition {partition} ended SUCCEEDED, but the manifest of run "
            f"{job_run.run_id} is not in {lake.url}: {found}. Check that the job's script is of this version, then run "
            f"the partition again"
        )
    return manifest
