"""The outbox in the application's own database, through SQLAlchemy (any database that it supports)."""

import time
from collections.abc import Sequence
from typing import Final

from audit_pipeline.extras import extra
from audit_pipeline.producer.entries import Entry
from audit_pipeline.producer.errors import Undelivered
from audit_pipeline.producer.outbox.outbox import LEASE_TABLE, OUTBOX_TABLE, OutboxRecord, columns_of, entry_of

with extra("outbox", "audit_pipeline.producer.outbox.sqlalchemy"):
    from sqlalchemy import (
        BigInteger,
        Column,
        Connection,
        Double,
        Engine,
        Integer,
        MetaData,
        String,
        Table,
        Text,
        delete,
        insert,
        or_,
        select,
        update,
    )
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import Session

__all__ = ["SqlAlchemyOutbox", "outbox_tables"]

_LEASE_NAME: Final = "relay"


def outbox_tables(metadata: MetaData) -> tuple[Table, Table]:
    """The tables of the outbox and of its lease, added to ``metadata``: for the application's own migrations."""
    outbox = Table(
        OUTBOX_TABLE,
        metadata,
        # SQLite increments only a column that is declared INTEGER
        Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("event_id", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("detail_type", Text, nullable=False),
        Column("event_time", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("entity_keys", Text, nullable=False),
        Column("problem", Text),
        sqlite_autoincrement=True,
    )
    lease = Table(
        LEASE_TABLE,
        metadata,
        Column("name", String(64), primary_key=True),
        Column("owner", String(255), nullable=False),
        Column("until", Double, nullable=False),
    )
    return outbox, lease


class SqlAlchemyOutbox:
    """An outbox in the database of ``engine``. :meth:`create_tables` or the application's migrations create its tables.

    Positions are assigned when entries are written, not when they are committed. Two transactions that change the same
    entity must therefore contend for a lock (as two updates of its row do) before they write to the outbox; then the
    order per entity is that of the transactions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._metadata = MetaData()
        self._outbox, self._lease = outbox_tables(self._metadata)

    def create_tables(self) -> None:
        """Create the tables where they are missing."""
        self._metadata.create_all(self._engine)

    def add(self, entry: Entry, transaction: Session | Connection | None = None) -> None:
        """Write an entry in the transaction of a session or connection, or else in one of its own.

        The caller commits its transaction, and the entry with it; a rollback discards both.
        """
        statement = insert(self._outbox).values(columns_of(entry))
        if transaction is not None:
            transaction.execute(statement)
            return
        with self._engine.begin() as own:
            own.execute(statement)

    def keep(self, undelivered: Undelivered) -> None:
        """For a publisher's ``on_undelivered``: keeps an event that could not be sent, for a relay to send."""
        self.add(undelivered.entry)

    def parked(self) -> Sequence[OutboxRecord]:
        """The entries that the bus refused, each with its ``problem``."""
        return self._records(self._outbox.c.problem.is_not(None), None)

    def send_again(self, positions: Sequence[int]) -> None:
        """Have the relay send parked entries again, once the cause is fixed."""
        with self._engine.begin() as own:
            own.execute(update(self._outbox).where(self._outbox.c.position.in_(positions)).values(problem=None))

    # The relay's side

    def pending(self, limit: int) -> Sequence[OutboxRecord]:
        return self._records(self._outbox.c.problem.is_(None), limit)

    def remove(self, positions: Sequence[int]) -> None:
        with self._engine.begin() as own:
            own.execute(delete(self._outbox).where(self._outbox.c.position.in_(positions)))

    def park(self, position: int, problem: str) -> None:
        with self._engine.begin() as own:
            own.execute(update(self._outbox).where(self._outbox.c.position == position).values(problem=problem))

    def hold_lease(self, owner: str, seconds: float) -> bool:
        now = time.time()
        lease = self._lease
        self._ensure_lease()
        with self._engine.begin() as own:
            free = or_(lease.c.owner == owner, lease.c.until < now)
            taken = update(lease).where(lease.c.name == _LEASE_NAME, free).values(owner=owner, until=now + seconds)
            return own.execute(taken).rowcount == 1

    def release_lease(self, owner: str) -> None:
        with self._engine.begin() as own:
            own.execute(update(self._lease).where(self._lease.c.owner == owner).values(until=0.0))

    def _ensure_lease(self) -> None:
        with self._engine.connect() as own:
            if own.execute(select(self._lease.c.name)).first():
                return
        try:
            with self._engine.begin() as own:
                own.execute(insert(self._lease).values(name=_LEASE_NAME, owner="", until=0.0))
        except IntegrityError:
            pass  # another relay was faster

    def _records(self, condition: object, limit: int | None) -> Sequence[OutboxRecord]:
        table = self._outbox
        statement = select(table).where(condition).order_by(table.c.position).limit(limit)  # type: ignore[arg-type]
        with self._engine.connect() as own:
            rows = own.execute(statement).mappings().all()
        return [OutboxRecord(row["position"], entry_of(dict(row)), row["problem"]) for row in rows]
