"""The Glue engine: each state of a job run, adoption, faults of the API, stops, and the real script in a process."""

import _thread
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import OpDefinition

from audit_pipeline.engines import run_partition
from audit_pipeline.engines.glue import runs as runs_module
from audit_pipeline.engines.glue.arguments import JobRequest
from audit_pipeline.engines.glue.engine import GlueEngine
from audit_pipeline.engines.glue.sizing import RAW_BYTES_PER_WORKER, Workers, workers_for
from audit_pipeline.errors import GlueJobError, RawVanishedError, SettingsError
from audit_pipeline.orchestration.build import build_defs
from audit_pipeline.orchestration.engines import GlueJobResource
from audit_pipeline.orchestration.names import JOB as PIPELINE
from audit_pipeline.orchestration.names import PARQUET
from audit_pipeline.settings import Settings
from audit_pipeline.store.changes import fingerprint
from audit_pipeline.store.manifest import Manifest, read_manifest
from audit_pipeline.store.objects import open_store
from audit_pipeline.store.raw import list_inputs
from tests.servers.glue_jobs import GROUP, JOB, SCRIPT, GlueJobs
from tests.servers.json_http import Refused
from tests.support.dagster_harness import Deployment, failure_text
from tests.support.lake import DAY1, Lake, event, key, zipped
from tests.support.waiting import HANGS_SECONDS

pytestmark = pytest.mark.slow

#: The script, on a day that takes long: it holds the partition's lock when it opens its session.
SLOW_JOB = """
import pathlib, sys, time
from pyspark.sql import SparkSession
from audit_pipeline.engines.glue import job

def slow(builder):
    pathlib.Path("at-work").touch()
    time.sleep(600)

SparkSession.Builder.getOrCreate = slow
sys.exit(job.main(sys.argv[1:]))
"""

THROTTLED = Refused("ThrottlingException", "Rate exceeded")


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GlueJobs]:
    (tmp_path / "glue").mkdir()
    with GlueJobs(tmp_path / "glue") as jobs:
        for name, value in jobs.environment().items():
            monkeypatch.setenv(name, value)
        yield jobs


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "audit_pipeline")
    return caplog


@pytest.fixture
def lake(lake: Lake) -> Lake:
    lake.write(key(DAY1), zipped(event("a") + event("b")))
    return lake


def settings(lake: Lake, **changed: Any) -> Settings:
    return Settings(raw_url=str(lake.raw), lake_url=str(lake.path), start_date=lake.first, workers=1, **changed)


def engine(**changed: Any) -> GlueEngine:
    return GlueEngine(JOB, poll_seconds=0.05, **changed)


def run(lake: Lake, run_id: str = "ours", *, engine: GlueEngine | None = None, accept: bool = False) -> Manifest:
    of_test = engine or GlueEngine(JOB, poll_seconds=0.05)
    return of_test.run(settings(lake), DAY1, run_id, lambda *_: None, accept_vanished_raw=accept)


def job_request(lake: Lake, run_id: str, *, accept: bool = False) -> JobRequest:
    inputs = list_inputs(open_store(str(lake.raw)), DAY1, lake.grace)
    return JobRequest.of(settings(lake), DAY1, run_id, fingerprint(inputs), accept_vanished_raw=accept)


def commit(lake: Lake, run_id: str) -> None:
    """What the job would do."""
    run_partition(settings(lake), DAY1, run_id=run_id)


def soon(action: Callable[[], object], when: Callable[[], bool]) -> None:
    """Do it in another thread as soon as that is so."""

    def wait() -> None:
        deadline = time.monotonic() + HANGS_SECONDS
        while not when() and time.monotonic() < deadline:
            time.sleep(0.01)
        action()

    threading.Thread(target=wait, daemon=True).start()


def interrupt_until(ended: threading.Event) -> None:
    """Again after a while, as a person would: on a busy machine Python once lost the first one."""
    while not ended.is_set():
        _thread.interrupt_main()
        ended.wait(60)


def states(jobs: GlueJobs) -> list[str]:
    return [run.state for run in jobs.runs]


# -- states


def test_a_run_that_succeeds_is_proved_by_its_manifest(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "ours")
    jobs.play("WAITING", "STARTING", "RUNNING", "SUCCEEDED")
    assert run(lake).run_id == "ours"
    request = jobs.runs[0].request
    assert (request["WorkerType"], request["NumberOfWorkers"], request["Timeout"]) == ("G.1X", 2, 120)
    assert request["Arguments"]["--PARTITION"] == "2026-05-01"
    assert request["Arguments"]["--AUDIT_LAKE_URL"] == str(lake.path)


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "ERROR", "STOPPED", "EXPIRED"])
def test_every_way_to_end_without_success_is_told_with_its_reason(jobs: GlueJobs, lake: Lake, state: str) -> None:
    jobs.play("STARTING", "RUNNING", "RUNNING", state)
    soon(lambda: setattr(jobs.runs[0], "message", "Out of\n memory"), lambda: bool(jobs.runs))
    with pytest.raises(GlueJobError) as error:
        run(lake)
    assert str(error.value) == (
        f"Glue job {JOB}: run {jobs.runs[0].id} of partition 2026-05-01 ended {state}: Out of memory. It has no log."
    )
    assert not jobs.requests["BatchStopJobRun"]


def test_a_failure_shows_the_end_of_both_logs(jobs: GlueJobs, lake: Lake) -> None:
    jobs.play("RUNNING", "FAILED")

    def log() -> None:
        jobs.log(jobs.runs[0], "output").write_text("".join(f"line {n}\n" for n in range(100)))
        jobs.log(jobs.runs[0], "error").write_text("StoreError: no such bucket\n")

    jobs.fail("GetJobRun", THROTTLED)  # so that the log is there in time
    soon(log, lambda: bool(jobs.runs))
    with pytest.raises(GlueJobError) as error:
        run(lake)
    lines = str(error.value).splitlines()
    assert lines[1] == f"{GROUP}/output, stream {jobs.runs[0].id}:"
    assert lines[2:-2] == [f"line {n}" for n in range(70, 100)]
    assert lines[-2:] == [f"{GROUP}/error, stream {jobs.runs[0].id}:", "StoreError: no such bucket"]


def test_progress_and_other_lines_of_the_job_are_told_once_while_it_runs(
    jobs: GlueJobs, lake: Lake, logged: pytest.LogCaptureFixture
) -> None:
    commit(lake, "ours")
    jobs.play(*["RUNNING"] * 6, "SUCCEEDED")
    output = 'progress ["decode",1,4]\na word\nprogress ["write",2,2]\nprogress [broken\n'
    soon(lambda: jobs.log(jobs.runs[0], "output").write_text(output), lambda: bool(jobs.runs))
    progress: list[tuple[str, int, int]] = []
    engine().run(settings(lake), DAY1, "ours", lambda *step: progress.append(step), accept_vanished_raw=False)
    assert progress == [("decode", 1, 4), ("write", 2, 2)]
    assert [text for text in logged.messages if text.startswith("Glue: ")] == [
        f"Glue: {line}" for line in output.splitlines()
    ]
    assert f"Glue job {JOB}: run {jobs.runs[0].id} of 2026-05-01 is RUNNING" in logged.messages


@pytest.mark.parametrize("found", [None, "another"])
def test_a_success_without_its_own_manifest_is_an_error(jobs: GlueJobs, lake: Lake, found: str | None) -> None:
    if found:
        commit(lake, found)
    jobs.play("SUCCEEDED")
    said = "there is no manifest" if found is None else "there is that of run another"
    with pytest.raises(GlueJobError, match=rf"SUCCEEDED, but the manifest of run ours is not in .*: {said}"):
        run(lake)


def test_a_log_that_may_not_be_read_fails_nothing(jobs: GlueJobs, lake: Lake, logged: pytest.LogCaptureFixture) -> None:
    commit(lake, "ours")
    jobs.play("RUNNING", "RUNNING", "SUCCEEDED")
    jobs.fail("GetLogEvents", Refused("AccessDeniedException", "not authorized"), times=9)
    run(lake)
    assert sum("cannot read the log" in text for text in logged.messages) == 1


def test_a_run_that_never_ends_is_stopped_after_its_time_out_and_the_time_for_workers(
    jobs: GlueJobs, lake: Lake
) -> None:
    jobs.play("RUNNING")
    with pytest.raises(GlueJobError, match=r"is still RUNNING after 1 minutes"):
        run(lake, engine=engine(timeout_minutes=1, queue_seconds=-59.8))
    assert states(jobs) == ["STOPPED"]


def test_a_day_whose_raw_has_gone_starts_no_job(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "earlier")
    (lake.raw / key(DAY1)).unlink()
    with pytest.raises(RawVanishedError):
        run(lake)
    assert not jobs.runs
    jobs.play("SUCCEEDED")
    with pytest.raises(GlueJobError):
        run(lake, accept=True)
    assert jobs.runs[0].arguments["--ACCEPT_VANISHED_RAW"] == "true"


# -- adoption


def test_a_run_that_is_at_work_on_the_same_is_adopted(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "earlier")
    jobs.page = 2
    earlier = jobs.begin(job_request(lake, "earlier").arguments(), "RUNNING", "RUNNING", "SUCCEEDED")
    for number in range(5):  # newer ones that have ended, over several pages
        jobs.begin(job_request(lake, f"ended {number}").arguments(), "FAILED")
    assert run(lake).run_id == "earlier"
    assert len(jobs.runs) == 6
    assert earlier.state == "SUCCEEDED"


@pytest.mark.parametrize("different", ["--PARTITION", "--INPUT", "--ACCEPT_VANISHED_RAW", "--AUDIT_GRACE_HOURS"])
def test_a_run_of_anything_else_is_not_adopted(jobs: GlueJobs, lake: Lake, different: str) -> None:
    commit(lake, "ours")
    jobs.begin(job_request(lake, "other").arguments() | {different: "else"}, "RUNNING")
    jobs.play("RUNNING", "SUCCEEDED")
    assert run(lake).run_id == "ours"
    assert states(jobs) == ["RUNNING", "SUCCEEDED"]


def test_a_run_that_is_being_stopped_is_waited_for_and_not_adopted(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "ours")
    stopping = jobs.begin(job_request(lake, "earlier").arguments(), "STOPPING")
    jobs.play("RUNNING", "SUCCEEDED")
    soon(lambda: setattr(stopping, "states", ["STOPPED"]), lambda: jobs.requests["GetJobRuns"] >= 2)
    assert run(lake).run_id == "ours"
    assert states(jobs) == ["STOPPED", "SUCCEEDED"], "the second began when the first was over"


def test_a_start_whose_answer_is_lost_is_not_sent_twice(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "ours")
    jobs.play("RUNNING", "SUCCEEDED")
    jobs.fail("StartJobRun", "lost")
    assert run(lake).run_id == "ours"
    assert len(jobs.runs) == 1


# -- faults


def test_throttling_and_broken_connections_are_borne(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "ours")
    jobs.play("RUNNING", "RUNNING", "SUCCEEDED")
    broken = Refused("InternalServiceException", "An internal error occurred", 500)
    jobs.fail("GetJobRuns", THROTTLED, broken)
    jobs.fail("StartJobRun", THROTTLED, "reset")
    jobs.fail("GetJobRun", THROTTLED, "reset", broken, "lost")
    assert run(lake).run_id == "ours"
    assert len(jobs.runs) == 1


def test_a_start_waits_until_there_is_room(jobs: GlueJobs, lake: Lake) -> None:
    commit(lake, "ours")
    jobs.max_concurrent_runs = 1
    other = jobs.begin({"--PARTITION": "2026-05-02"}, "RUNNING")
    jobs.play("RUNNING", "SUCCEEDED")
    soon(lambda: setattr(other, "states", ["SUCCEEDED"]), lambda: jobs.requests["StartJobRun"] >= 2)
    assert run(lake).run_id == "ours"


def test_a_start_does_not_wait_for_room_for_ever(jobs: GlueJobs, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "_ROOM_SECONDS", 0.2)
    jobs.max_concurrent_runs = 0
    with pytest.raises(GlueJobError, match="Glue refused StartJobRun: ConcurrentRunsExceededException"):
        run(lake)


def test_a_job_that_does_not_exist_is_one_line(jobs: GlueJobs, lake: Lake) -> None:
    with pytest.raises(GlueJobError, match=r"^Glue refused GetJobRuns: EntityNotFoundException: Job none not found$"):
        run(lake, engine=GlueEngine("none", poll_seconds=0.05))


# -- stops


def test_an_interrupt_stops_the_job_run_and_goes_on(jobs: GlueJobs, lake: Lake) -> None:
    jobs.play("RUNNING")
    soon(_thread.interrupt_main, lambda: jobs.requests["GetJobRun"] >= 2)
    with pytest.raises(KeyboardInterrupt):
        run(lake)
    assert states(jobs) == ["STOPPED"]


def test_an_interrupt_before_the_start_is_answered_stops_what_was_started(
    jobs: GlueJobs, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = runs_module.JobRuns._start

    def interrupted(*given: Any) -> None:
        start(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs_module.JobRuns, "_start", interrupted)
    jobs.play("RUNNING")
    with pytest.raises(KeyboardInterrupt):
        run(lake)
    assert states(jobs) == ["STOPPED"]


def test_an_interrupt_leaves_an_adopted_run_alone(jobs: GlueJobs, lake: Lake, logged: pytest.LogCaptureFixture) -> None:
    jobs.begin(job_request(lake, "other").arguments(), "RUNNING")
    soon(_thread.interrupt_main, lambda: jobs.requests["GetJobRun"] >= 2)
    with pytest.raises(KeyboardInterrupt):
        run(lake)
    assert states(jobs) == ["RUNNING"]
    assert f"Glue job {JOB}: run {jobs.runs[0].id}, which another run started, goes on" in logged.messages


def test_an_interrupt_goes_on_though_glue_refuses_to_stop_the_run(
    jobs: GlueJobs, lake: Lake, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    jobs.play("RUNNING")
    refusal = {"Errors": [{"JobRunId": "x", "ErrorDetail": {"ErrorCode": "E", "ErrorMessage": "not now"}}]}
    monkeypatch.setattr(jobs, "batch_stop_job_run", lambda request: refusal)
    soon(_thread.interrupt_main, lambda: jobs.requests["GetJobRun"] >= 2)
    with pytest.raises(KeyboardInterrupt):
        run(lake)
    assert f"Glue job {JOB}: run {jobs.runs[0].id} was not stopped: not now" in logged.messages


# -- arguments and size


def test_the_job_finds_its_arguments_between_those_of_glue(lake: Lake) -> None:
    one = job_request(lake, "ours", accept=True)
    given = [text for pair in one.arguments().items() for text in pair]
    argv = ["--JOB_NAME", "x", "--enable-metrics", *given, "--additional-python-modules", "a,b", "--TempDir", ""]
    assert JobRequest.parse(argv) == one


def test_a_job_that_a_person_starts_by_hand_says_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="without --RUN_ID, --INPUT, --ACCEPT_VANISHED_RAW: start it from Dagster"):
        JobRequest.parse(["--PARTITION", "2026-05-01"])


def test_each_start_has_arguments_of_its_own(lake: Lake) -> None:
    one = job_request(lake, "ours")
    one.arguments()["--PARTITION"] = "changed"
    assert one.arguments()["--PARTITION"] == "2026-05-01"


@pytest.mark.parametrize(
    ("raw_bytes", "workers"),
    [
        (0, Workers("G.1X", 2)),
        (RAW_BYTES_PER_WORKER, Workers("G.1X", 2)),
        (RAW_BYTES_PER_WORKER + 1, Workers("G.1X", 3)),
        (RAW_BYTES_PER_WORKER * 19, Workers("G.1X", 20)),
        (RAW_BYTES_PER_WORKER * 20, Workers("G.2X", 11)),
        (RAW_BYTES_PER_WORKER * 10_000, Workers("G.2X", 50)),
    ],
)
def test_workers_grow_with_the_days_bytes(raw_bytes: int, workers: Workers) -> None:
    assert workers_for(raw_bytes) == workers


# -- the settings


def test_the_glue_engine_without_its_job_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in Deployment(tmp_path).environment(engine="glue").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"^AUDIT_GLUE_JOB is not set \(name of the Glue job"):
        build_defs()


def test_the_step_is_in_the_pool_glue_for_this_engine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = []
    for engine in ("local", "glue"):
        for name, value in Deployment(tmp_path).environment(engine=engine, glue_job=JOB).items():
            monkeypatch.setenv(name, value)
        (step,) = build_defs().resolve_job_def(PIPELINE).graph.node_defs
        assert isinstance(step, OpDefinition)
        pools.append(step.pool)
    assert pools == [None, "glue"]


# -- from Dagster, with the real script on a real Spark


@pytest.fixture
def deployment(jobs: GlueJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    deployment = Deployment(tmp_path / "deployment").create()
    for name, value in deployment.environment(engine="glue", glue_job=JOB).items():
        monkeypatch.setenv(name, value)
    return deployment


def test_a_day_materialized_by_glue_has_the_rows_of_the_local_engine(
    jobs: GlueJobs, deployment: Deployment, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    engine = GlueJobResource(job_name=JOB, poll_seconds=0.2)
    with deployment.instance() as instance:
        result = instance.run("2026-05-01", overrides={"engine": engine})
        assert result.success, failure_text(result) + jobs.log(jobs.runs[0], "error").read_text()[-2000:]
    local = Settings(raw_url=str(deployment.raw), lake_url=str(tmp_path / "local"), start_date=DAY1, workers=1)
    wanted = run_partition(local, DAY1)
    manifest = read_manifest(open_store(str(deployment.lake)), DAY1)
    assert manifest is not None
    assert (manifest.engine, manifest.run_id) == ("glue", result.run_id)
    assert (manifest.events, manifest.outputs, manifest.quarantine) == (
        *(wanted.events, wanted.outputs, wanted.quarantine),
    )
    assert any(text.startswith('Glue: progress ["') for text in logged.messages)
    assert "Glue: 2026-05-01: " in " ".join(logged.messages)


def test_a_day_that_the_job_refuses_fails_with_the_jobs_own_words(jobs: GlueJobs, deployment: Deployment) -> None:
    engine = GlueJobResource(job_name=JOB, poll_seconds=0.2)
    jobs.variables = {"AUDIT_MEMORY_MB": "1"}
    with deployment.instance() as instance:
        said = failure_text(instance.run("2026-05-01", overrides={"engine": engine}))
    assert "GlueJobError" in said
    assert "ended FAILED: SystemExit: 1. The end of its log:" in said
    assert "SettingsError: AUDIT_MEMORY_MB is wrong" in said


def test_a_cancelled_dagster_run_ends_the_job_and_its_lock_and_the_next_run_works(
    jobs: GlueJobs, deployment: Deployment, tmp_path: Path
) -> None:
    slow = tmp_path / "slow_job.py"
    slow.write_text(SLOW_JOB)
    jobs.script = slow
    engine = GlueJobResource(job_name=JOB, poll_seconds=0.2)
    is_locked = deployment.lake / "auditlog_lock" / "partition=2026-05-01"
    with deployment.instance() as instance:
        ended = threading.Event()
        soon(lambda: interrupt_until(ended), lambda: is_locked.exists() and (jobs.folder / "at-work").exists())
        assert not instance.run("2026-05-01", overrides={"engine": engine}).success
        ended.set()
        assert states(jobs) == ["STOPPED"]
        process = jobs.runs[0].process
        assert process is not None
        assert not psutil.pid_exists(process.pid)
        newest = max(is_locked.glob("*.json"))
        assert json.loads(newest.read_text())["released"] is True
        jobs.script = SCRIPT
        assert instance.run("2026-05-01", assets=[PARQUET], overrides={"engine": engine}).success
    assert states(jobs) == ["STOPPED", "SUCCEEDED"]
