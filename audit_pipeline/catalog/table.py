"""The interface to the table in a query engine, and what it shows of a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from audit_pipeline.catalog.results import QueryStats
from audit_pipeline.store.manifest import Manifest

__all__ = ["DayInTable", "Table"]


@dataclass(frozen=True, slots=True)
class DayInTable:
    """What the table shows of one partition.

    ``rows_owned`` are in the partition's own files, of all dates; ``rows_of_date`` are all rows of its date, of any
    owner, and ``rows_by_hour`` counts these by the hour of their Timestamp. ``stats`` are of the queries, where a
    server ran them.
    """

    rows_owned: int
    rows_of_date: int
    rows_by_hour: Mapping[int, int]
    stats: QueryStats | None = None


class Table(Protocol):
    @property
    def location(self) -> str:
        """The table and the location of its files, for display."""
        ...

    def define(self) -> None:
        """Create the table, or update its definition."""
        ...

    def look_up(self, manifest: Manifest) -> DayInTable:
        """Query the table for what the run of this manifest wrote; only the dates that it wrote are read.

        Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`.
        """
        ...
