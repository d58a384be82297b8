"""An emulator of AWS on this machine, and AWS's own command line that deploys to it."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tests.servers.glue_catalog import free_port
from tests.servers.s3 import ACCESS_KEY, AWS_VARIABLES, SECRET_KEY
from tests.support.aws_tools import aws_tool


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    endpoint: str
    folder: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
        )

    def deploy(self, template: Path, stack: str, **parameters: str) -> str:
        """What ``aws cloudformation deploy`` prints, parameters added."""
        command = [aws_tool("aws"), "cloudformation", "deploy", "--template-file", str(template), "--stack-name", stack]
        # of the two versions of the command line, one takes a deployment that changes nothing for an error
        command += ["--capabilities", "CAPABILITY_IAM", "--no-fail-on-empty-changeset"]
        if parameters:
            command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
        return self.run(command, self.folder)

    def run(self, command: Sequence[str], folder: Path, **environment: str) -> str:
        """What a program prints for which the emulator is AWS, and which finds ``aws``."""
        path = f"{Path(aws_tool('aws')).parent}{os.pathsep}{os.environ['PATH']}"
        known = {"PATH": path, "HOME": str(self.folder), "AWS_ENDPOINT_URL": self.endpoint, **AWS_VARIABLES}
        done = subprocess.run(
            command, cwd=folder, env=known | environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def outputs(self, stack: str) -> dict[str, str]:
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}


@contextmanager
def emulator(folder: Path) -> Iterator[Emulator]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        # by itself it listens on every address, and opens a port for MQTT
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
    }
    log = folder / "emulator.log"
    with log.open("wb") as output:
        process = subprocess.Popen([aws_tool("ministack")], env=environment, cwd=folder, stdout=output, stderr=output)
    try:
        running = Emulator(f"http://127.0.0.1:{port}", folder)
        _wait_until_it_answers(running, process, log)
        yield running
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(running: Emulator, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            running.client("sqs").list_queues()
            return
        except BotoCoreError:
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
