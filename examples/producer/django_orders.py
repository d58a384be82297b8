"""Django: the outbox is a model, so that events are part of ``transaction.atomic`` and of the migrations.

    python django_orders.py shop.db
    python relay.py sqlite:///shop.db

One file instead of a project: ``settings.configure`` stands for settings.py, ``create_model`` for ``migrate``.
"""

import sys
from decimal import Decimal
from typing import Any

import django
from django.conf import settings
from django.db import connection, models, transaction

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from audit_pipeline.producer import (  # noqa: E402 - Django wants its settings before its models
    Action,
    Actor,
    ActorType,
    AuditEvent,
    Entity,
    EntityChange,
    EventBuilder,
    snapshot,
)
from audit_pipeline.producer.outbox import columns_of  # noqa: E402

BUILDER = EventBuilder("myapp.orderservice")


class Order(models.Model):
    status = models.CharField(max_length=20)
    total = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        app_label = "shop"


class AuditOutbox(models.Model):
    """The table that the relay drains: these names, in this order of ``position``."""

    position = models.BigAutoField(primary_key=True)
    event_id = models.TextField()
    source = models.TextField()
    detail_type = models.TextField()
    event_time = models.TextField()
    detail = models.TextField()
    entity_keys = models.TextField()
    problem = models.TextField(null=True)

    class Meta:
        app_label = "shop"
        db_table = "audit_outbox"


def state(order: Order) -> dict[str, Any]:
    return {field.attname: getattr(order, field.attname) for field in order._meta.concrete_fields}


def change_status(order_id: int, status: str, user: str) -> None:
    """The order and its event are committed together or not at all."""
    with transaction.atomic():
        order = Order.objects.get(pk=order_id)  # with select_for_update() on databases that have it
        before = snapshot(state(order))
        order.status = status
        order.save()
        change = EntityChange(
            Entity(order.pk, f"Order #{order.pk}"), before=before, after=state(order), only_changed=True
        )
        audit(AuditEvent([change], "Order", Action.UPDATE, Actor(user, ActorType.USER)))
        if status == "Lost":
            raise ValueError("an order is never lost")


def audit(event: AuditEvent) -> None:
    AuditOutbox.objects.create(**columns_of(BUILDER.build(event)))


def main() -> None:
    with connection.schema_editor() as schema:
        schema.create_model(Order)
        schema.create_model(AuditOutbox)
    Order.objects.create(pk=500, status="Pending", total=Decimal("99.90"))
    change_status(500, "Processing", "jane@example.com")
    try:
        change_status(500, "Lost", "jane@example.com")
    except ValueError:
        print("rolled back, and its event with it")
    change_status(500, "Shipped", "jane@example.com")


if __name__ == "__main__":
    main()
