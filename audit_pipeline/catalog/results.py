"""What every query engine gives back: Arrow, and what it cost."""

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["QueryStats", "Result"]


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
