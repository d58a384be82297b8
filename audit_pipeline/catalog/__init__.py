"""The table that people query, over the lake's files: one interface, whatever serves it."""

from audit_pipeline.catalog.table import DayInTable, Table
from audit_pipeline.settings import Settings

__all__ = ["DayInTable", "Table", "open_table"]


def open_table(settings: Settings) -> Table:
    """The table of this deployment, in what ``AUDIT_QUERY_BACKEND`` names; only its own libraries are imported.

    Nothing is read or connected to before the first call of a method.
    """
    if settings.query_backend == "athena":
        from audit_pipeline.catalog.athena_table import AthenaTable

        return AthenaTable(settings)
    if settings.query_backend == "trino":
        from audit_pipeline.catalog.trino_table import TrinoTable

        return TrinoTable(settings)
    from audit_pipeline.catalog.duckdb import DuckDBTable

    return DuckDBTable(settings)
