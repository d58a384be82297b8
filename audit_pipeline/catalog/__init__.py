"""The table that people query, over the lake's files: one interface, whatever serves it."""

from audit_pipeline.catalog.duckdb import DuckDBTable
from audit_pipeline.catalog.table import DayInTable, Table
from audit_pipeline.settings import Settings

__all__ = ["DayInTable", "Table", "open_table"]


def open_table(settings: Settings) -> Table:
    """The table of this deployment. Nothing is read or connected to before the first call of a method."""
    return DuckDBTable(settings)
