"""A real S3 server for tests: SeaweedFS from PyPI, on this machine."""

import json
import random
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.aws_clients import ACCESS_KEY, AWS_VARIABLES, SECRET_KEY, aws_client
from tests.servers.processes import HOST, server_process, wait_until_ready

_IDENTITY: Final = {
    "name": "t",
    "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}


@dataclass(frozen=True)
class S3Server:
    """A running server and its boto3 client."""

    endpoint: str
    client: Any

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """The environment in which the AWS SDKs find it."""
        return AWS_VARIABLES | {"AWS_ENDPOINT_URL": endpoint or self.endpoint}

    def upload(self, bucket: str, prefix: str, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=data)

    def objects(self, bucket: str, prefix: str) -> dict[str, bytes]:
        """Every object below ``prefix/``, by its key relative to it."""
        found = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            for entry in page.get("Contents", []):
                body = self.client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                found[entry["Key"].removeprefix(f"{prefix}/")] = body
        return found


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS, ready to write to, with the objects that an earlier server left in the folder."""
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [_IDENTITY]}))
    (data := folder / "data").mkdir(exist_ok=True)
    master, volume, filer, s3 = _free_ports(4)
    command = [
        _program("weed"),
        "server",
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-master.port={master}",
        f"-volume.port={volume}",
        "-filer",
        f"-filer.port={filer}",
        "-s3",
        f"-s3.port={s3}",
        f"-s3.config={config}",
        "-volume.max=0",
        "-master.volumeSizeLimitMB=64",
        "-volume.preStopSeconds=0",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",  # its default is one port for all servers of the machine
    ]
    endpoint = f"http://{HOST}:{s3}"
    log = folder / "weed.log"
    with server_process(command, log) as process:
        client = aws_client("s3", endpoint, attempts=2)
        # its port accepts connections long before writes work
        wait_until_ready(process, log, lambda: _write_object(client), BotoCoreError, ClientError)
        yield S3Server(endpoint, client)


def _write_object(client: Any) -> None:
    with suppress(BotoCoreError, ClientError):
        client.create_bucket(Bucket="ready")
    client.put_object(Bucket="ready", Key="ready", Body=b"1")


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that are free; SeaweedFS also listens 10,000 above each of its ports."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)  # hypothesis seeds the default generator
        if port not in ports and _is_free(port) and _is_free(port + 10_000):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
