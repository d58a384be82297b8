"""How long a test waits for what must come: long enough for a machine that is twenty times as slow as usual."""

import time
from collections.abc import Callable
from typing import Final

import pytest

#: Whoever waits that long waits for something that hangs.
HANGS_SECONDS: Final = 600


def wait_until(holds: Callable[[], object], what: Callable[[], str] | str, *, every: float = 0.05) -> None:
    """Look again and again whether it ``holds``; fail with ``what`` was waited for."""
    deadline = time.monotonic() + HANGS_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"in vain: {what if isinstance(what, str) else what()}")
        time.sleep(every)
