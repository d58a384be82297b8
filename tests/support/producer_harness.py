"""Clients of unchanged boto3 against the stand-in for EventBridge, and events to publish."""

import os
from typing import Any

import pytest

from audit_pipeline.producer import AuditEvent, Backoff, Entity, EntityChange, EventBridge
from tests.servers.aws_clients import aws_client
from tests.servers.event_bus import EventBus

#: Short waits: the tests are about what is retried, not about when.
QUICK = Backoff(first=0.002, longest=0.02)


def client(service: str, endpoint: str, **options: Any) -> Any:
    return aws_client(service, endpoint, read_timeout=5, **options)


def bridge(bus: EventBus) -> EventBridge:
    return EventBridge(bus.name, lambda: client("events", bus.endpoint))


def order(entity_id: int | str, number: int = 0, **fields: Any) -> AuditEvent:
    """The ``number``-th change of an order."""
    change = EntityChange(Entity(entity_id, f"Order #{entity_id}"), after={"number": number} | fields.pop("after", {}))
    return AuditEvent([change], entity_type="Order", action="Update", **fields)


def numbers(bus: EventBus, entity_id: int | str | None = None) -> list[int]:
    """The numbers of the changes that the bus accepted, in its order, copies counted once."""
    seen, found = set(), []
    for detail in bus.details:
        (change,) = detail["entities"]
        if detail["event_id"] not in seen and entity_id in (None, change["entity"]["id"]):
            found.append(change["after"]["number"])
        seen.add(detail["event_id"])
    return found


@pytest.fixture
def bare_aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """boto3 finds neither a region nor credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch
