"""The runs of one Glue job: finds, starts, polls and stops them, with retries where Glue does not answer."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError, HTTPClientError

from audit_pipeline.aws import aws_errors
from audit_pipeline.engines.glue.arguments import JobRequest, run_id_of
from audit_pipeline.engines.glue.sizing import Workers
from audit_pipeline.errors import GlueJobError
from audit_pipeline.retrying import growing, jittered, retry

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

__all__ = ["JobRun", "JobRuns"]

_log = logging.getLogger(__name__)

_UNDER_WAY: Final = frozenset({"STARTING", "RUNNING", "WAITING"})
_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"})

#: Errors after which a later attempt may succeed; so may one after a broken connection or an answer with 5xx.
_TRANSIENT: Final = frozenset(
    {
        "InternalServiceException",
        "OperationTimeoutException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
#: Errors of a quota: of concurrent runs of this job (MaxConcurrentRuns), or of the account.
_FULL: Final = frozenset({"ConcurrentRunsExceededException", "ResourceNumberLimitExceededException"})

#: How long a request is retried, in seconds.
_RETRY_SECONDS: Final = 300.0
#: How long to wait for a quota to allow a run, in seconds.
_ROOM_SECONDS: Final = 1800.0
#: How long a stop may take, in seconds; the process that stops us soon kills us.
_STOPPING_SECONDS: Final = 45.0
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job run as Glue last described it. ``log_group`` is the common prefix of its log groups' names."""

    id: str
    state: str
    arguments: Mapping[str, str]
    message: str
    log_group: str
    dpu_seconds: float | None

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED

    @property
    def run_id(self) -> str | None:
        """The run id in its manifest."""
        return run_id_of(self.arguments)


class JobRuns:
    """The runs of the job ``job``. ``first_pause`` (seconds) is the first pause between attempts, and between polls."""

    def __init__(self, client: "GlueClient", job: str, first_pause: float = 1.0) -> None:
        self._client = client
        self.job = job
        self._first_pause = first_pause

    def find_or_start(self, request: JobRequest, workers: Workers, timeout_minutes: int) -> JobRun:
        """The run under way that does the requested work, else a new one.

        StartJobRun has no idempotency token. So it is never just repeated: before every attempt, also after one whose
        outcome is unknown and while a quota is used up, the job's runs are searched. A run of the same partition that
        is being stopped is waited for, as it holds the partition's lock.
        """
        deadline = time.monotonic() + _ROOM_SECONDS
        pauses = growing(self._first_pause, 2.0, 30.0)
        while True:
            found = self._of_partition(request)
            for run in found:
                if run.state in _UNDER_WAY and request.is_same_work(run.arguments):
                    return run
            why = "its run before this one is being stopped"
            if not any(run.state == "STOPPING" for run in found):
                try:
                    return self._start(request, workers, timeout_minutes)
                except (ClientError, HTTPClientError) as error:
                    if time.monotonic() > deadline or not (_is_transient(error) or _code_of(error) in _FULL):
                        raise
                    why = _in_one_line(error)
            if time.monotonic() > deadline:
                raise GlueJobError(f"Glue job {self.job} could not start on partition {request.partition}: {why}")
            _log.info("Glue job %s cannot start on %s yet: %s", self.job, request.partition, why)
            time.sleep(jittered(next(pauses)))

    def get(self, run_id: str) -> JobRun:
        """A job run by Glue's id of it, as it is now."""
        answer = self._retry(lambda: self._client.get_job_run(JobName=self.job, RunId=run_id), _RETRY_SECONDS)
        return _job_run(answer["JobRun"])

    def stop(self, request: JobRequest) -> None:
        """Stop what runs for this request. Its errors are only logged: it is called while another error is raised."""
        try:
            with aws_errors("Glue", GlueJobError):
                ours = [run for run in self._of_partition(request) if run.run_id == request.run_id]
                for run in ours:
                    self._stop(run)
        except Exception as error:
            _log.warning(
                "cannot stop the runs of the Glue job %s for %s: %s",
                self.job,
                request.partition,
                error,
            )

    def _of_partition(self, request: JobRequest) -> list[JobRun]:
        """Runs of the same partition that have not ended, newest first, from all pages: ended runs stay for months."""
        page: dict[str, Any] = {"JobName": self.job, "MaxResults": _PAGE}
        found: list[JobRun] = []
        while True:
            answer = self._retry(partial(self._client.get_job_runs, **page), _RETRY_SECONDS)
            runs = map(_job_run, answer["JobRuns"])
            found += [run for run in runs if not run.has_ended and request.is_same_partition(run.arguments)]
            if not answer.get("NextToken"):
                return found
            page["NextToken"] = answer["NextToken"]

    def _start(self, request: JobRequest, workers: Workers, timeout_minutes: int) -> JobRun:
        arguments = request.arguments()
        answer = self._client.start_job_run(
            JobName=self.job,
            Arguments=arguments,
            Timeout=timeout_minutes,
            WorkerType=workers.kind,
            NumberOfWorkers=workers.number,
        )
        _log.info(
            *("Glue job %s: started run %s of %s on %s %s workers", self.job, answer["JobRunId"]),
            *(request.partition, workers.number, workers.kind),
        )
        return JobRun(answer["JobRunId"], "STARTING", arguments, "", "", None)

    def _stop(self, run: JobRun) -> None:
        answer = self._retry(
            lambda: self._client.batch_stop_job_run(JobName=self.job, JobRunIds=[run.id]), _STOPPING_SECONDS
        )
        refused = [error["ErrorDetail"]["ErrorMessage"] for error in answer.get("Errors", ()) if "ErrorDetail" in error]
        deadline = time.monotonic() + _STOPPING_SECONDS
        pauses = growing(self._first_pause, 1.5, 5.0)
        while True:
            now = self.get(run.id)
            if now.has_ended:
                _log.info("Glue job %s: run %s is %s", self.job, run.id, now.state)
                return
            if refused and now.state != "STOPPING":
                _log.warning("Glue job %s: run %s was not stopped: %s", self.job, run.id, "; ".join(refused))
                return
            if time.monotonic() > deadline:
                _log.warning("Glue job %s: run %s is still %s", self.job, run.id, now.state)
                return
            time.sleep(next(pauses))

    def _retry(self, request: Callable[[], Any], seconds: float) -> Any:
        return retry(request, _is_transient, growing(self._first_pause, 2.0, 20.0), seconds=seconds)


def _job_run(details: Mapping[str, Any]) -> JobRun:
    return JobRun(
        id=details["Id"],
        state=details["JobRunState"],
        arguments=details.get("Arguments", {}),
        message=_in_one_line(details.get("ErrorMessage") or details.get("StateDetail") or ""),
        log_group=details.get("LogGroupName", ""),
        dpu_seconds=details.get("DPUSeconds"),
    )


def _is_transient(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return isinstance(error, HTTPClientError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _code_of(error) in _TRANSIENT or status >= 500


def _code_of(error: Exception) -> str:
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""


def _in_one_line(text: object) -> str:
    return " ".join(str(text).split())
