"""Clients of unchanged boto3 against the stand-in for EventBridge, and events to publish."""

import os
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from audit_pipeline.producer import AuditEvent, Backoff, Entity, EntityChange, EventBridge
from tests.servers.event_bus import REGION, EventBus
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY

#: Short waits: the tests are about what is retried, not about when.
QUICK = Backoff(first=0.002, longest=0.02)


def client(service: str, endpoint: str, *, secret: str = SECRET_KEY, **options: Any) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=5, s3={"addressing_style": "path"}, **options),
    )


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


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def bare_aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """boto3 finds neither a region nor credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch
