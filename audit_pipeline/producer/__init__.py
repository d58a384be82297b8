"""Audit events from applications to the bus: exact, in order per entity, none lost; see docs/publish/producer.md."""

from audit_pipeline.contract.values import Action, ActorType
from audit_pipeline.producer.asynchronous import AsyncAuditPublisher
from audit_pipeline.producer.build import EventBuilder
from audit_pipeline.producer.claim_check import ClaimCheck
from audit_pipeline.producer.delivery import Backoff
from audit_pipeline.producer.entries import Entry
from audit_pipeline.producer.errors import (
    BufferFullError,
    DeliveryError,
    EventTooLargeError,
    FlushTimeoutError,
    InvalidEventError,
    ProducerError,
    PublisherClosedError,
    SetupError,
    Undelivered,
)
from audit_pipeline.producer.event import Actor, AuditEvent, Entity, EntityChange, Parent
from audit_pipeline.producer.publisher import AuditPublisher, Receipt
from audit_pipeline.producer.redaction import REMOVED, Field, Redactor, redact_fields
from audit_pipeline.producer.snapshots import snapshot
from audit_pipeline.producer.transport import Accepted, EventBridge, Refused, Transport, TryAgain

__all__ = [
    "REMOVED",
    "Accepted",
    "Action",
    "Actor",
    "ActorType",
    "AsyncAuditPublisher",
    "AuditEvent",
    "AuditPublisher",
    "Backoff",
    "BufferFullError",
    "ClaimCheck",
    "DeliveryError",
    "Entity",
    "EntityChange",
    "Entry",
    "EventBridge",
    "EventBuilder",
    "EventTooLargeError",
    "Field",
    "FlushTimeoutError",
    "InvalidEventError",
    "Parent",
    "ProducerError",
    "PublisherClosedError",
    "Receipt",
    "Redactor",
    "Refused",
    "SetupError",
    "Transport",
    "TryAgain",
    "Undelivered",
    "redact_fields",
    "snapshot",
]
