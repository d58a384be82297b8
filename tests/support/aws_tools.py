"""The programs that check the AWS side: AWS's command line, an emulator and linters, in a venv of their own.

They pin other versions of botocore and others than the project.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY


def aws_tool(name: str) -> str:
    """The program's path; the test is skipped where it is missing, and fails on CI."""
    folder = os.environ.get("AWS_TOOLS", REPOSITORY / ".venv-aws" / "bin")
    found = shutil.which(name, path=folder)
    if found is None:
        missing = f"{name} is not in {folder}: run 'make aws-tools'"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found


def lint(*command: str | Path) -> str:
    """The output of a linter, with its exit code, where it finds something; else an empty text."""
    name, *arguments = command
    done = subprocess.run(
        [aws_tool(str(name)), *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else ""
