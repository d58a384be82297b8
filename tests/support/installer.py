"""uv, which the tests install packages with: what pip takes minutes for takes it seconds."""

import os
import shutil
import sys
from pathlib import Path

import pytest

__all__ = ["require_uv"]


def require_uv() -> str:
    """The program."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("uv is not installed: run 'make test'")
    return found
