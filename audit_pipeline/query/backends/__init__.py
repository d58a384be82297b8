"""The engines behind the client: one interface over DuckDB, Athena and Trino."""

from audit_pipeline.query.backends.backend import Backend, Reader
from audit_pipeline.settings import QuerySettings

__all__ = ["Backend", "Reader", "open_backend"]


def open_backend(settings: QuerySettings) -> Backend:
    """The backend that ``AUDIT_QUERY_BACKEND`` names. Only its own libraries are imported."""
    if settings.query_backend == "duckdb":
        from audit_pipeline.query.backends.duckdb import DuckDBBackend

        return DuckDBBackend(settings)
    from audit_pipeline.query.backends.server import AthenaBackend, TrinoBackend

    return AthenaBackend(settings) if settings.query_backend == "athena" else TrinoBackend(settings)
