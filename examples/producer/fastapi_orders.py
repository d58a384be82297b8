"""FastAPI: one publisher for the application's life; a request is answered once the bus has accepted its event.

    AUDIT_BUS=audit uvicorn fastapi_orders:app

Events that must not be lost with the process belong into an outbox (see sqlalchemy_orders.py). Here the client learns
of every event that did not arrive: 503 instead of 200.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel

from audit_pipeline.producer import (
    Action,
    Actor,
    ActorType,
    AsyncAuditPublisher,
    AuditEvent,
    Entity,
    EntityChange,
    EventBridge,
    ProducerError,
    redact_fields,
    snapshot,
)


class Order(BaseModel):
    status: str
    total: Decimal
    card_number: str


ORDERS = {500: Order(status="Pending", total=Decimal("99.90"), card_number="4111111111111111")}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    bus = EventBridge(os.environ["AUDIT_BUS"])
    async with AsyncAuditPublisher("myapp.orderservice", bus, redactor=redact_fields("card_number")) as audit:
        app.state.audit = audit
        yield  # and what is in the buffer at the end is sent before the server goes


app = FastAPI(lifespan=lifespan)


@app.put("/orders/{order_id}/status/{status}")
async def change_status(
    request: Request, order_id: int, status: str, user: Annotated[str, Header()], request_id: Annotated[str, Header()]
) -> Order:
    order = ORDERS[order_id]
    before = snapshot(order)
    order.status = status
    event = AuditEvent(
        [EntityChange(Entity(order_id, f"Order #{order_id}"), before, order)],
        entity_type="Order",
        action=Action.UPDATE,
        actor=Actor(user, ActorType.USER),
        correlation_id=request_id,
    )
    try:
        receipt = await request.app.state.audit.publish(event)
        await receipt
    except ProducerError as error:
        raise HTTPException(503, "the change could not be audited") from error
    return order
