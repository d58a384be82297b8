"""A real S3 server for tests: SeaweedFS from PyPI, on this machine."""

import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCESS_KEY: Final = "test"
SECRET_KEY: Final = "testtest"
#: What the AWS SDKs need besides the address of a server.
AWS_VARIABLES: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_IDENTITY: Final = {
    "name": "t",
    "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}


@dataclass(frozen=True)
class S3Server:
    """A running server; ``client`` is boto3's."""

    endpoint: str
    client: Any

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """The variables that let the AWS SDKs find it."""
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
    """SeaweedFS, ready to write to. What is in the folder from an earlier time is there again."""
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [_IDENTITY]}))
    (data := folder / "data").mkdir(exist_ok=True)
    master, volume, filer, s3 = _free_ports(4)
    command = [
        _program("weed"),
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
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
    endpoint = f"http://127.0.0.1:{s3}"
    with _running(command, folder / "weed.log") as process:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=5),
        )
        _wait_until_writable(client, process, folder / "weed.log")
        yield S3Server(endpoint, client)


def _wait_until_writable(client: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Its port answers long before writes work."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()[-2000:]
        with suppress(BotoCoreError, ClientError):
            client.create_bucket(Bucket="ready")
        with suppress(BotoCoreError, ClientError):
            client.put_object(Bucket="ready", Key="ready", Body=b"1")
            return
        assert time.monotonic() < deadline, "the server takes no objects"
        time.sleep(0.2)


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=log.parent, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that are free; SeaweedFS also listens 10,000 above each of its ports."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)  # hypothesis seeds the other one
        if port not in ports and _is_free(port) and _is_free(port + 10_000):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
