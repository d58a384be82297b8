"""Events that survive the process, written in the transaction, sent by a relay; see docs/publish/producer.md.

The outbox through SQLAlchemy is in :mod:`audit_pipeline.producer.outbox.sqlalchemy`, so that only those who use it
need that library.
"""

from audit_pipeline.producer.outbox.outbox import Outbox, OutboxRecord, columns_of
from audit_pipeline.producer.outbox.relay import OutboxRelay
from audit_pipeline.producer.outbox.sqlite import SqliteOutbox

__all__ = ["Outbox", "OutboxRecord", "OutboxRelay", "SqliteOutbox", "columns_of"]
