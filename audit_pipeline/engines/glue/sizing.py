"""How many workers a day needs, and of which type."""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["RAW_BYTES_PER_WORKER", "Workers", "workers_for"]

#: Raw bytes (compressed, as they lie in the store) that one G.1X worker (4 vCPU, 16 GB) is given. From what the Spark
#: engine takes here, 37 core seconds for a million events in 162 MiB (docs/operate/scaling.md), and not from a run in
#: Glue: about a minute of work, as long as Glue takes to start it. More workers would save little and cost more.
RAW_BYTES_PER_WORKER: Final = 1 << 30
#: One runs the driver; Spark jobs of Glue take no less.
_MIN_WORKERS: Final = 2
#: G.1X workers from which on G.2X ones (twice as large, at twice the price) take over: half as many machines to shuffle
#: between, and to get hold of.
_SMALL_WORKERS: Final = 20
#: Of a run. Accounts begin with a quota of some hundred DPU over all jobs.
_MAX_WORKERS: Final = 50


@dataclass(frozen=True, slots=True)
class Workers:
    """As StartJobRun takes them; the driver's own is counted."""

    kind: Literal["G.1X", "G.2X"]
    number: int


def workers_for(raw_bytes: int) -> Workers:
    """The workers for a day of so many raw bytes: the driver's, and those that the bytes need."""
    needed = -(-raw_bytes // RAW_BYTES_PER_WORKER)
    if needed < _SMALL_WORKERS:
        return Workers("G.1X", max(_MIN_WORKERS, 1 + needed))
    return Workers("G.2X", min(_MAX_WORKERS, 1 + -(-needed // 2)))
