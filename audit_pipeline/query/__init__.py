"""Query client of the audit log: safe SQL, typed rows, pages by cursor, histories, exports; see docs/ask/query.md."""

from audit_pipeline.extras import extra

with extra("query", "audit_pipeline.query"):
    from audit_pipeline.contract.values import Action, ActorType
    from audit_pipeline.query.asynchronous import AsyncAuditLogClient
    from audit_pipeline.query.client import AuditLogClient
    from audit_pipeline.query.differences import Difference, differences
    from audit_pipeline.query.errors import CursorError, InvalidQueryError
    from audit_pipeline.query.items import AuditLogItem, HistoryEntry, Page
    from audit_pipeline.query.query import AuditLogQuery, Order, PageDirection, QueryLimits

__all__ = [
    "Action",
    "ActorType",
    "AsyncAuditLogClient",
    "AuditLogClient",
    "AuditLogItem",
    "AuditLogQuery",
    "CursorError",
    "Difference",
    "HistoryEntry",
    "InvalidQueryError",
    "Order",
    "Page",
    "PageDirection",
    "QueryLimits",
    "differences",
]
