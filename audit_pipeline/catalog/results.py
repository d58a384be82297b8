"""The result of a query in any engine: its rows as Arrow, and its cost."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

__all__ = ["QueryStats", "Result", "SqlServer", "add_stats"]


@dataclass(frozen=True, slots=True)
class QueryStats:
    """Of one query; None where the engine does not report it. ``cost_usd`` is Athena's price for the bytes scanned."""

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
    """A server that runs statements in the SQL of Athena and Trino."""

    def run(
        self, sql: str, parameters: Sequence[str | int] = (), *, cancelled: threading.Event | None = None
    ) -> Result:
        """Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`."""
        ...


def add_stats(stats: Sequence[QueryStats]) -> QueryStats:
    """The sum over several queries."""
    scanned = [query.bytes_scanned for query in stats if query.bytes_scanned is not None]
    costs = [query.cost_usd for query in stats if query.cost_usd is not None]
    return QueryStats(
        seconds=sum(query.seconds for query in stats),
        bytes_scanned=sum(scanned) if scanned else None,
        cost_usd=sum(costs) if costs else None,
        query_id=", ".join(query.query_id for query in stats if query.query_id) or None,
    )
