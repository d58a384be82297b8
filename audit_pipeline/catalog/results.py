"""What every query engine gives back: Arrow, and what it cost."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

__all__ = ["QueryStats", "Result", "SqlServer", "add_stats"]


@dataclass(frozen=True, slots=True)
class QueryStats:
    """Of one query; None is what the engine does not tell. ``cost_usd`` is Athena's price for the bytes scanned."""

    seconds: float
    bytes_scanned: int | None = None
    cost_usd: float | None = None
    query_id: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of one query, with the column names and types of the engine."""

    table: pa.Table
    stats: QueryStats


class SqlServer(Protocol):
    """What runs statements in the SQL of Athena and Trino."""

    def run(
        self, sql: str, parameters: Sequence[str | int] = (), *, cancelled: threading.Event | None = None
    ) -> Result:
        """Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`."""
        ...


def add_stats(stats: Sequence[QueryStats]) -> QueryStats:
    """Of several queries as of one."""
    scanned = [one.bytes_scanned for one in stats if one.bytes_scanned is not None]
    costs = [one.cost_usd for one in stats if one.cost_usd is not None]
    return QueryStats(
        seconds=sum(one.seconds for one in stats),
        bytes_scanned=sum(scanned) if scanned else None,
        cost_usd=sum(costs) if costs else None,
        query_id=", ".join(one.query_id for one in stats if one.query_id) or None,
    )
