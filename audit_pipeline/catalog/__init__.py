"""The table over the lake's files: its definition, and one interface to DuckDB, Athena and Trino."""

from audit_pipeline.catalog.table import DayInTable, Table
from audit_pipeline.settings import Settings

__all__ = ["DayInTable", "Table", "open_table"]


def open_table(settings: Settings) -> Table:
    """The table of this deployment, in the engine that ``AUDIT_QUERY_BACKEND`` names.

    Only the libraries of this engine are imported, and nothing is connected to before a method is called.
    """
    if settings.query_backend == "athena":
        from audit_pipeline.catalog.athena_table import AthenaTable

        return AthenaTable(settings)
    if settings.query_backend == "trino":
        from audit_pipeline.catalog.trino_table import TrinoTable

        return TrinoTable(settings)
    from audit_pipeline.catalog.duckdb import DuckDBTable

    return DuckDBTable(settings)
