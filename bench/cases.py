"""The cases: how many events, how Firehose cut them into objects, and what stands between them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

__all__ = ["DAY", "LARGE_EVENTS", "QUICK_EVENTS", "ROOT", "Case", "Facts", "make_cases"]

#: What children are started in, so that ``-m bench…`` finds this package.
ROOT: Final = Path(__file__).resolve().parents[1]

#: The only delivery day. It is the first of all, so no event of it is left to another run: all rows are this run's.
DAY: Final = date(2026, 5, 1)

LARGE_EVENTS: Final = 1_000_000
QUICK_EVENTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Case:
    """``buffer_seconds`` are Firehose's: 60 make up to 1,440 objects a day, 300 up to 288."""

    name: str
    events: int
    buffer_seconds: int
    newline: bool

    @property
    def folder_name(self) -> str:
        return f"{self.events}-events-{self.buffer_seconds}s-{'newline' if self.newline else 'concatenated'}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What lies in a case's raw folder. ``rows``: entity changes of distinct events, all of this run's table."""

    objects: int
    events: int
    distinct_events: int
    rows: int
    raw_bytes: int
    text_bytes: int


def make_cases(large_events: int) -> list[Case]:
    """A tenth of the events in many small objects, and all of them in fewer large ones; each with both delimiters."""
    sizes = (("small", max(1, large_events // 10), 60), ("large", large_events, 300))
    return [
        Case(f"{name}-{'newline' if newline else 'concatenated'}", events, seconds, newline)
        for name, events, seconds in sizes
        for newline in (True, False)
    ]
