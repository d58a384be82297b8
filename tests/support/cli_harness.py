"""Runs commands as a shell would see them: in this process, in one of their own, or on a terminal."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from audit_pipeline.cli.app import app
from tests.support.dagster_harness import Deployment
from tests.support.lake import DAY1, Lake
from tests.support.waiting import HANGS_SECONDS

#: Escape sequences that clear the screen and set the title, C1's CSI, a right-to-left override, and rich's markup.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[red]x[/red][link=http://x]"
DANGEROUS = set("\x1b\x07\x9b\u202e")

Row = dict[str, Any]


class Commands:
    """Commands under variables of their own; None takes one away."""

    def __init__(self, env: Mapping[str, str | None]) -> None:
        self.env: dict[str, Any] = dict(env)

    def __call__(self, *arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments), env=self.env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def shows(self, *arguments: str) -> str:
        """What a command that succeeds writes to stdout."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> list[Row]:
        return json_lines(self.shows(*arguments, "--json"))

    def refusal(self, *arguments: str) -> str:
        """What a command that is used wrongly writes to stderr; to stdout it writes nothing."""
        result = self(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        return result.stderr

    def refuses(self, *arguments: str) -> str:
        """The refusal as one line, without the frame that Typer draws around it."""
        return " ".join(self.refusal(*arguments).replace("│", " ").split())

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Arguments and environment of the command as a process."""
        given = {name: value for name, value in (os.environ | self.env).items() if value is not None}
        given["PYTHONPATH"] = os.pathsep.join(sys.path)
        return [sys.executable, "-m", "audit_pipeline.cli", *arguments], given

    def in_a_process(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command, env = self.command(*arguments)
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=HANGS_SECONDS)

    def on_a_terminal(self, *arguments: str, columns: int = 120, code: int = 0) -> str:
        """What a terminal shows, and then what goes to stderr."""
        command, given = self.command(*arguments)
        master, terminal = pty.openpty()
        env = given | {"COLUMNS": str(columns), "TERM": "xterm-256color"}
        env.pop("NO_COLOR", None)
        process = subprocess.Popen(command, env=env, stdout=terminal, stderr=subprocess.PIPE)
        os.close(terminal)
        shown = b"".join(iter(lambda: _read(master), b""))
        os.close(master)
        _, errors = process.communicate(timeout=HANGS_SECONDS)
        assert process.returncode == code, errors
        return shown.decode() + errors.decode()


class LakeCommands(Commands):
    """Commands on one lake; without Dagster until :meth:`with_dagster`."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        super().__init__(
            {
                "COLUMNS": None,  # xdist sets it
                "AUDIT_RAW_URL": str(lake.raw),
                "AUDIT_LAKE_URL": str(lake.path),
                "AUDIT_START_DATE": str(DAY1),
                "AUDIT_WORKERS": "1",
                "DAGSTER_HOME": None,
            }
        )

    def with_dagster(self) -> "LakeCommands":
        self.env["DAGSTER_HOME"] = str(Deployment(self.lake.root).create(with_examples=False).home)
        return self


class QueryCommands(Commands):
    """Commands that only query a lake."""

    def __init__(self, lake: Path) -> None:
        super().__init__({"COLUMNS": None, "AUDIT_LAKE_URL": str(lake), "AUDIT_WORKERS": "1"})


def json_lines(text: str) -> list[Row]:
    return [json.loads(line) for line in text.splitlines()]


def one_error(stderr: str) -> str:
    """The one line that a command wrote about its error."""
    assert stderr.startswith("error: "), stderr
    assert stderr.count("\n") == 1, stderr
    return stderr.removeprefix("error: ").strip()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how a terminal ends
        return b""
