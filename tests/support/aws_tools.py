"""The programs that look at the AWS side: AWS's command line, an emulator and linters, in a venv of their own.

They pin versions of botocore and others that the project does not want.
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
        missing = f"there is no {name} in {folder} ('make aws-tools' brings it in)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return found


def lint(*command: str | Path) -> str:
    """What a linter prints, with its exit code where that is not 0; nothing where it finds nothing."""
    name, *arguments = command
    done = subprocess.run(
        [aws_tool(str(name)), *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else ""
