"""A Glue catalog for tests: moto's server in a process of its own, and what its clients ask of it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tests.servers.s3 import ACCESS_KEY, AWS_VARIABLES, SECRET_KEY

HOST = "127.0.0.1"


@dataclass(frozen=True)
class GlueServer:
    """A running server; ``client`` is boto3's."""

    endpoint: str
    client: Any

    def environment(self) -> dict[str, str]:
        """The variables that let the AWS SDKs find it."""
        return AWS_VARIABLES | {"AWS_ENDPOINT_URL_GLUE": self.endpoint}


@contextmanager
def glue_server(folder: Path) -> Iterator[GlueServer]:
    """Not a thread of this process: moto has one state a process, which any test with a moto of its own would reset."""
    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        endpoint = f"http://{HOST}:{port}"
        client = boto3.client(
            "glue",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5),
        )
        _wait_until_it_answers(client, process, folder / "moto.log")
        yield GlueServer(endpoint, client)
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(client: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            client.get_databases()
            return
        except BotoCoreError:
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
