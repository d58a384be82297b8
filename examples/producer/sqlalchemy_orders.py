"""SQLAlchemy: every change of an order is audited in the transaction that makes it.

    python sqlalchemy_orders.py sqlite:///shop.db
    python relay.py sqlite:///shop.db

A listener looks at what the session is about to commit, so no code that changes an order can forget to audit it.
"""

import sys
from decimal import Decimal
from typing import Any

from sqlalchemy import create_engine, event, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from audit_pipeline.producer import Action, Actor, ActorType, AuditEvent, Entity, EntityChange, EventBuilder
from audit_pipeline.producer.outbox.sqlalchemy import SqlAlchemyOutbox


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    total: Mapped[Decimal]


def state(order: Order, *, is_before: bool) -> dict[str, Any]:
    """The order's columns now, or as they were loaded."""
    values = {}
    for column in inspect(order).mapper.column_attrs:
        history = inspect(order).attrs[column.key].history
        values[column.key] = history.deleted[0] if is_before and history.deleted else getattr(order, column.key)
    return values


def audit_sessions(sessions: sessionmaker[Session], outbox: SqlAlchemyOutbox, builder: EventBuilder) -> None:
    """From now on, whatever these sessions do to orders is written to the outbox, in the same transaction."""

    @event.listens_for(sessions, "after_flush")  # ids are there, and the history still is
    def write(session: Session, _: object) -> None:
        changed = [order for order in session.dirty if session.is_modified(order)]
        for action, orders in (
            (Action.CREATE, session.new),
            (Action.UPDATE, changed),
            (Action.DELETE, session.deleted),
        ):
            for order in orders:
                change = EntityChange(
                    Entity(order.id, f"Order #{order.id}"),
                    before=None if action == Action.CREATE else state(order, is_before=True),
                    after=None if action == Action.DELETE else state(order, is_before=False),
                    only_changed=True,
                )
                actor = Actor(session.info["user"], ActorType.USER)
                entry = builder.build(AuditEvent([change], "Order", action, actor))
                outbox.add(entry, session.connection())


def main(url: str) -> None:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    outbox = SqlAlchemyOutbox(engine)
    outbox.create_tables()
    sessions = sessionmaker(engine, info={"user": "jane@example.com"})  # a web application sets it per request
    audit_sessions(sessions, outbox, EventBuilder("myapp.orderservice"))

    with sessions.begin() as session:
        session.add(Order(id=500, status="Pending", total=Decimal("99.90")))
    with sessions.begin() as session:
        session.get_one(Order, 500).status = "Processing"
    with sessions() as session:
        session.get_one(Order, 500).status = "Lost"
        session.flush()
        session.rollback()  # and with it the event
    with sessions.begin() as session:
        session.delete(session.get_one(Order, 500))


if __name__ == "__main__":
    main(sys.argv[1])
