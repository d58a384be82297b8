"""A small Glue and CloudWatch Logs for tests: a server on this machine that an unchanged boto3 client takes for both.

It has one job. A run of it is the job's script in a process of its own, with the arguments of StartJobRun over the
job's default arguments, and with the log groups that Glue writes. Tests configure states that a run goes through
instead of running (``play``), and faults of operations (``fail``). Sources:

- https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-jobs-runs.html : runs, states, errors;
- https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html : arguments of a run;
- https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html : logs.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.servers.aws_clients import AWS_VARIABLES
from tests.servers.json_http import JsonService, Refused, Reset
from tests.support.paths import REPOSITORY

JOB: Final = "audit-logs-pipeline"
SCRIPT: Final = REPOSITORY / "aws" / "glue" / "job.py"
GROUP: Final = "/aws-glue/jobs"

_Json = dict[str, Any]
_ENDED: Final = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED")
#: Glue sets its own up before the script.
_SPARK: Final = "--master local[2] --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1"


@dataclass
class Run:
    """A run. ``states`` are those to come, one per GetJobRun; after them, the state is that of the process, if any."""

    id: str
    request: _Json
    arguments: dict[str, str]
    states: list[str]
    process: "subprocess.Popen[bytes] | None" = None
    was_stopped: bool = False
    message: str = ""

    def step(self) -> str:
        state = self.state
        if len(self.states) > 1:
            self.states.pop(0)
        return state

    @property
    def state(self) -> str:
        if len(self.states) > 1 or self.process is None:
            return self.states[0]
        code = self.process.poll()
        if self.was_stopped:
            return "STOPPING" if code is None else "STOPPED"
        return "RUNNING" if code is None else "FAILED" if code else "SUCCEEDED"


@dataclass
class GlueJobs(JsonService):
    """``folder`` gets the logs; ``defaults`` are the job's arguments. ``runs`` are all runs so far, oldest first."""

    folder: Path
    script: Path = SCRIPT
    python: Path = Path(sys.executable)
    defaults: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    max_concurrent_runs: int = 4
    page: int = 200
    runs: list[Run] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._played: list[str] = []
        self._faults: dict[str, list[Refused | str]] = {}

    def stop(self) -> None:
        super().stop()
        for run in self.runs:
            if run.process is not None and run.process.poll() is None:
                os.killpg(run.process.pid, signal.SIGKILL)
                run.process.wait()

    def environment(self) -> dict[str, str]:
        """The environment in which the AWS SDKs find it."""
        return AWS_VARIABLES | {
            "AWS_ENDPOINT_URL_GLUE": self.endpoint,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.endpoint,
        }

    def play(self, *states: str) -> None:
        """The next runs start no process: each GetJobRun moves them to the next of these states, up to the last."""
        self._played = list(states)

    def fail(self, operation: str, *faults: Refused | str, times: int = 1) -> None:
        """Faults of the next requests: an error, ``reset`` (before the operation), or ``lost`` (after it)."""
        self._faults.setdefault(operation, []).extend(faults * times)

    def begin(self, arguments: Mapping[str, str], *states: str) -> Run:
        """A run that another client starts; without states, with a process."""
        self.play(*states)
        run_id = self.start_job_run({"JobName": JOB, "Arguments": dict(arguments)})["JobRunId"]
        self.play()
        return next(run for run in self.runs if run.id == run_id)

    def log(self, run: Run, name: str) -> Path:
        return self.folder / f"{run.id}.{name}"

    def respond(self, operation: str, request: _Json) -> _Json:
        with self._lock:
            self.requests[operation] += 1
            faults = self._faults.get(operation, [])
            fault = faults.pop(0) if faults else None
            if isinstance(fault, Refused):
                raise fault
            if fault == "reset":
                raise Reset
            operations = {
                "StartJobRun": self.start_job_run,
                "GetJobRun": self.get_job_run,
                "GetJobRuns": self.get_job_runs,
                "BatchStopJobRun": self.batch_stop_job_run,
                "GetLogEvents": self.get_log_events,
            }
            if operation not in operations:
                raise Refused("UnknownOperationException", operation)
            response = operations[operation](request)
            if fault == "lost":
                raise Reset
            return response

    # The operations

    def start_job_run(self, request: _Json) -> _Json:
        _check_job(request)
        if sum(run.state not in _ENDED for run in self.runs) >= self.max_concurrent_runs:
            raise Refused("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {JOB}")
        run_id = f"jr_{uuid.uuid4().hex}"
        states = list(self._played) or ["STARTING", "RUNNING"]
        run = Run(run_id, request, dict(request.get("Arguments", {})), states)
        if not self._played:
            run.process = self._launch(run)
        self.runs.append(run)
        return {"JobRunId": run_id}

    def get_job_run(self, request: _Json) -> _Json:
        _check_job(request)
        run = self._run(request["RunId"])
        return {"JobRun": self._describe(run, run.step())}

    def get_job_runs(self, request: _Json) -> _Json:
        _check_job(request)
        first = int(request.get("NextToken", "0"))
        newest_first = self.runs[::-1]
        last = first + min(request["MaxResults"], self.page)
        more = {"NextToken": str(last)} if last < len(newest_first) else {}
        return {"JobRuns": [self._describe(run, run.state) for run in newest_first[first:last]]} | more

    def batch_stop_job_run(self, request: _Json) -> _Json:
        stopped: list[_Json] = []
        errors: list[_Json] = []
        for run_id in request["JobRunIds"]:
            run = self._run(run_id)
            if run.state in (*_ENDED, "STOPPING"):
                detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": f"Job run is in {run.state} state"}
                errors.append({"JobName": JOB, "JobRunId": run_id, "ErrorDetail": detail})
                continue
            run.was_stopped = True
            if run.process is None:
                run.states = ["STOPPING", "STOPPED"]
            else:
                run.states = ["RUNNING"]
                run.process.terminate()
            stopped.append({"JobName": JOB, "JobRunId": run_id})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def get_log_events(self, request: _Json) -> _Json:
        path = self.folder / f"{request['logStreamName']}.{request['logGroupName'].rpartition('/')[2]}"
        if not request["logGroupName"].startswith(f"{GROUP}/") or not path.exists() or not path.stat().st_size:
            raise Refused("ResourceNotFoundException", "The specified log stream does not exist.")
        lines = path.read_text().splitlines()
        first = int(request.get("nextToken", "f/0").removeprefix("f/"))
        limit = request.get("limit", 10_000)
        last = min(first + limit, len(lines))
        if not request.get("startFromHead"):
            first, last = max(0, len(lines) - limit), len(lines)
        events = [{"timestamp": 0, "message": line + "\n", "ingestionTime": 0} for line in lines[first:last]]
        return {"events": events, "nextForwardToken": f"f/{last}", "nextBackwardToken": f"b/{first}"}

    def _launch(self, run: Run) -> "subprocess.Popen[bytes]":
        merged = {**self.defaults, **run.arguments}
        arguments = [text for pair in merged.items() for text in pair]
        of_glue = ["--JOB_NAME", JOB, "--JOB_RUN_ID", run.id, "--JOB_ID", "j_1", "--TempDir", "s3://temporary/"]
        conf = f"--conf {merged['--conf']}" if "--conf" in merged else ""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AUDIT_", "DAGSTER_"))}
        environment = (
            kept
            | {
                "PYTHONPATH": str(REPOSITORY),
                "PYSPARK_PYTHON": str(self.python),
                "PYSPARK_SUBMIT_ARGS": f"{_SPARK} {conf} pyspark-shell",
            }
            | dict(self.variables)
        )
        with self.log(run, "output").open("wb") as output, self.log(run, "error").open("wb") as error:
            return subprocess.Popen(
                [self.python, self.script, *of_glue, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=error,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def _run(self, run_id: str) -> Run:
        for run in self.runs:
            if run.id == run_id:
                return run
        raise Refused("EntityNotFoundException", f"Job run {run_id} not found")

    def _describe(self, run: Run, state: str) -> _Json:
        message = run.message
        if state == "FAILED" and run.process is not None:
            message = f"SystemExit: {run.process.returncode}"
        return {
            "Id": run.id,
            "Attempt": 0,
            "JobName": JOB,
            "StartedOn": time.time(),
            "JobRunState": state,
            "Arguments": run.arguments,
            "LogGroupName": GROUP,
            **{name: run.request[name] for name in ("Timeout", "WorkerType", "NumberOfWorkers") if name in run.request},
            **({"ErrorMessage": message} if message else {}),
            **({"DPUSeconds": 120.0} if state in _ENDED else {}),
        }


def _check_job(request: _Json) -> None:
    if request["JobName"] != JOB:
        raise Refused("EntityNotFoundException", f"Job {request['JobName']} not found")
