"""How many workers a day needs, and of which type."""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["RAW_BYTES_PER_WORKER", "Workers", "workers_for"]

#: Raw bytes (compressed, as stored) for one G.1X worker (4 vCPU, 16 GB). Computed from a measurement of the Spark
#: engine outside of Glue, 37 core seconds for a million events in 162 MiB (docs/operate/scaling.md): about a minute of
#: work, as long as Glue takes to start a worker. More workers would save little and cost more.
RAW_BYTES_PER_WORKER: Final = 1 << 30
#: The least that a Spark job of Glue takes; one of them runs the driver.
_MIN_WORKERS: Final = 2
#: From so many G.1X workers on, half as many G.2X ones (twice as large, at twice the price) are used: there are fewer
#: machines to shuffle between and to wait for.
_SMALL_WORKERS: Final = 20
#: The most for one run. New accounts have a quota of a few hundred DPU over all jobs.
_MAX_WORKERS: Final = 50


@dataclass(frozen=True, slots=True)
class Workers:
    """The arguments of StartJobRun; ``number`` includes the driver's worker."""

    kind: Literal["G.1X", "G.2X"]
    number: int


def workers_for(raw_bytes: int) -> Workers:
    """The workers for a day of so many raw bytes: one for the driver, and those that the bytes need."""
    needed = -(-raw_bytes // RAW_BYTES_PER_WORKER)
    if needed < _SMALL_WORKERS:
        return Workers("G.1X", max(_MIN_WORKERS, 1 + needed))
    return Workers("G.2X", min(_MAX_WORKERS, 1 + -(-needed // 2)))
