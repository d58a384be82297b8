"""A real PostgreSQL for tests, on this machine: the programs of ``pgserver`` from PyPI.

Its Python part is not used: it adds a user to the machine when root starts it, and listens on a Unix socket only.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest

from tests.servers.processes import HOST, free_port, server_process, wait_until_ready

USER: Final = "dagster"
#: With every character that is special in a URL.
PASSWORD: Final = "p@ss/w:rd%41#?&"
_STOP_SECONDS: Final = 30


@dataclass(frozen=True)
class PostgresServer:
    """A running server that requires a password."""

    port: int

    def create_database(self, name: str) -> None:
        with closing(self.connect("postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{name}"')

    def environment(self, database: str) -> dict[str, str]:
        """The variables of ``deploy/dagster.yaml``."""
        return {
            "DAGSTER_POSTGRES_HOST": HOST,
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
            "DAGSTER_POSTGRES_DB": database,
        }

    def connect(self, database: str) -> Any:
        return psycopg2.connect(
            host=HOST, port=self.port, user=USER, password=PASSWORD, dbname=database, connect_timeout=5
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests."""
    require_postgres()
    with postgres_server() as running:
        yield running


def require_postgres() -> None:
    """Skip the test where it is not installed (no wheel for this platform). CI must have it."""
    if importlib.util.find_spec("pgserver") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL is not installed: pip install pgserver")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL, ready to connect to, in a temporary folder.

    It refuses to run as root: then it runs as nobody, who has no access to pytest's folders, nor perhaps to those of
    the virtual environment. Hence a folder of its own, with a copy of the programs.
    """
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        programs = _copy_programs(folder)
        (folder / "password").write_text(PASSWORD)
        if user:
            _give(folder, user)
        _initialize(programs, folder, user)
        port = free_port()
        with _running(programs, folder, port, user) as process:
            server = PostgresServer(port)
            wait_until_ready(
                process, folder / "log", lambda: server.connect("postgres").close(), psycopg2.OperationalError
            )
            yield server
    finally:
        shutil.rmtree(folder)


def _copy_programs(folder: Path) -> Path:
    """The programs, with the files and libraries that they find beside themselves."""
    spec = importlib.util.find_spec("pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    shutil.copytree(package / "pginstall", folder / "pgserver" / "pginstall")
    if (libraries := package.with_name("pgserver.libs")).is_dir():
        shutil.copytree(libraries, folder / "pgserver.libs")
    return folder / "pgserver" / "pginstall" / "bin"


def _give(folder: Path, user: str) -> None:
    owner = pwd.getpwnam(user).pw_uid
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, -1, follow_symlinks=False)


def _initialize(programs: Path, folder: Path, user: str | None) -> None:
    command = [
        programs / "initdb",
        f"--pgdata={folder / 'data'}",
        f"--username={USER}",
        f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]
    done = subprocess.run(command, cwd=folder, env=_environment(), user=user, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _running(programs: Path, folder: Path, port: int, user: str | None) -> Iterator["subprocess.Popen[bytes]"]:
    settings = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",  # its data need not survive a crash of the machine
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [programs / "postgres", "-D", folder / "data", *options]
    with server_process(command, folder / "log", env=_environment(), user=user) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)  # if killed, it leaves shared memory behind
            process.wait(_STOP_SECONDS)


def _environment() -> Mapping[str, str]:
    """This environment without the variables that would point to another PostgreSQL."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
