"""Pauses between attempts and between polls: growing, jittered where many clients retry, with a deadline."""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["growing", "jittered", "retry"]

_T = TypeVar("_T")


def growing(first: float, factor: float, longest: float) -> Iterator[float]:
    """Pauses in seconds, without end: ``first``, then ``factor`` times more each time, ``longest`` at most."""
    seconds = min(first, longest)
    while True:
        yield seconds
        seconds = min(seconds * factor, longest)


def jittered(seconds: float) -> float:
    """Between half and all of ``seconds``: clients that were refused together do not come back together."""
    return seconds * random.uniform(0.5, 1)


def retry(
    attempt: Callable[[], _T],
    is_transient: Callable[[Exception], bool],
    pauses: Iterator[float],
    *,
    seconds: float,
    pause: Callable[[float], object] = time.sleep,
) -> _T:
    """What ``attempt`` returns, repeated while it raises a transient error, for ``seconds`` seconds.

    The error of the first attempt that ends after that is raised, and so is every other error at once. ``pause`` waits
    for the jittered seconds of ``pauses``; it may raise to end the waiting.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except Exception as error:
            if not is_transient(error) or time.monotonic() > deadline:
                raise
        pause(jittered(next(pauses)))
