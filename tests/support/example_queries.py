"""Two queries that Athena users run, in their own spelling: the table must answer them as they are."""

UPDATES_BY_A_USER = """-- All updates by a specific user in the last week
SELECT *
FROM audit_logs_db.auditlog
WHERE dt >= '2026-05-27'
AND source = 'myapp.orderservice'
AND ActorName = 'jane@example.com'
AND Action = 'Update'
ORDER BY Timestamp DESC
LIMIT 100;
"""
CHANGES_OF_AN_ORDER = """-- All changes to an Order and its child OrderItems
SELECT *
FROM audit_logs_db.auditlog
WHERE dt >= '2026-05-11' AND dt <= '2026-05-18'
AND source IN ('myapp.orderservice', 'myapp.inventoryservice')
AND (EntityId = '500' OR EntityParentId = '500')
ORDER BY Timestamp DESC;
"""
