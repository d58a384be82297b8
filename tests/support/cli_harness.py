"""Runs commands in this process, as a shell would see them."""

from collections.abc import Mapping
from typing import Any

from typer.testing import CliRunner, Result

from audit_pipeline.cli.app import app


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

    def refusal(self, *arguments: str) -> str:
        """What a command that is used wrongly writes to stderr; to stdout it writes nothing."""
        result = self(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        return result.stderr
