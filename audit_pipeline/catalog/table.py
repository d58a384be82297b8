"""What the pipeline asks of a table, and what it gets to know of a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from audit_pipeline.catalog.results import QueryStats
from audit_pipeline.store.manifest import Manifest

__all__ = ["DayInTable", "Table"]


@dataclass(frozen=True, slots=True)
class DayInTable:
    """What queries of the table find of one partition.

    ``rows_owned`` lie in the partition's own files, under whichever dates; ``rows_of_date`` are all of its date,
    whoever owns them, and ``rows_by_hour`` are those by the hour of their Timestamp. ``stats`` are of the queries,
    where a server answered them.
    """

    rows_owned: int
    rows_of_date: int
    rows_by_hour: Mapping[int, int]
    stats: QueryStats | None = None


class Table(Protocol):
    @property
    def location(self) -> str:
        """Where the table is found, for a person to read."""
        ...

    def define(self) -> None:
        """Create the table, or bring its definition up to date."""
        ...

    def look_up(self, manifest: Manifest) -> DayInTable:
        """Query the table for what the run of this manifest wrote, reading no more than the dates it wrote under.

        Raises a subclass of :class:`audit_pipeline.errors.AuditPipelineError`.
        """
        ...
