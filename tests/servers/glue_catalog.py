"""A Glue catalog for tests: moto's server, and a boto3 client of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError

from tests.servers.aws_clients import AWS_VARIABLES, aws_client
from tests.servers.processes import HOST, free_port, server_process, wait_until_ready


@dataclass(frozen=True)
class GlueServer:
    """A running server and its boto3 client."""

    endpoint: str
    client: Any

    def environment(self) -> dict[str, str]:
        """The environment in which the AWS SDKs find it."""
        return AWS_VARIABLES | {"AWS_ENDPOINT_URL_GLUE": self.endpoint}


@contextmanager
def glue_server(folder: Path) -> Iterator[GlueServer]:
    """A process, not a thread: moto has one state per process, which any test that uses moto itself would reset."""
    port = free_port()
    log = folder / "moto.log"
    with server_process([sys.executable, "-m", "moto.server", "-H", HOST, "-p", port], log) as process:
        endpoint = f"http://{HOST}:{port}"
        client = aws_client("glue", endpoint)
        wait_until_ready(process, log, client.get_databases, BotoCoreError)
        yield GlueServer(endpoint, client)
