"""Audit logs as evidence: raw EventBridge events in hour folders become exact, queryable Parquet, run by Dagster."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit_pipeline.query import AsyncAuditLogClient, AuditLogClient, AuditLogQuery

__all__ = ["AsyncAuditLogClient", "AuditLogClient", "AuditLogQuery", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # late, so that a worker process or --help does not wait for the query engines' libraries
    if name in __all__:
        from audit_pipeline import query

        return getattr(query, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
