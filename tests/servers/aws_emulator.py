"""An emulator of AWS on this machine (ministack), and AWS's own command line, which deploys to it."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError

from tests.servers.aws_clients import AWS_VARIABLES, aws_client
from tests.servers.processes import HOST, free_port, server_process, wait_until_ready
from tests.support.aws_tools import aws_tool


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    endpoint: str
    folder: Path

    def client(self, service: str) -> Any:
        return aws_client(service, self.endpoint)

    def deploy(self, template: Path, stack: str, **parameters: str) -> str:
        """The output of ``aws cloudformation deploy`` with these parameters."""
        command = [aws_tool("aws"), "cloudformation", "deploy", "--template-file", str(template), "--stack-name", stack]
        # without the option, one of the two versions of the command line fails where nothing changes
        command += ["--capabilities", "CAPABILITY_IAM", "--no-fail-on-empty-changeset"]
        if parameters:
            command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
        return self.run(command, self.folder)

    def run(self, command: Sequence[str], folder: Path, **environment: str) -> str:
        """The output of a program for which the emulator is AWS, with ``aws`` on its path."""
        path = f"{Path(aws_tool('aws')).parent}{os.pathsep}{os.environ['PATH']}"
        variables = {"PATH": path, "HOME": str(self.folder), "AWS_ENDPOINT_URL": self.endpoint, **AWS_VARIABLES}
        done = subprocess.run(
            command, cwd=folder, env=variables | environment, capture_output=True, text=True, timeout=120, check=False
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
        # by default it listens on every address, and opens a port for MQTT
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
    }
    log = folder / "emulator.log"
    with server_process([aws_tool("ministack")], log, env=environment) as process:
        running = Emulator(f"http://{HOST}:{port}", folder)
        wait_until_ready(process, log, lambda: running.client("sqs").list_queues(), BotoCoreError)
        yield running
