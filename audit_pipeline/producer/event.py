"""The types of an event, with the fields of the contract (docs/design.md, "Event" and "Entity change")."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from audit_pipeline.contract.values import ActorType

__all__ = ["Actor", "AuditEvent", "Entity", "EntityChange", "Parent", "Text"]

#: A value of a text column; it is written as a JSON string.
Text: TypeAlias = str | int | Decimal | UUID | Enum


@dataclass(frozen=True, slots=True)
class Entity:
    """The entity that changed: its id, unique among entities of its type, and its display name."""

    id: Text
    name: Text


@dataclass(frozen=True, slots=True)
class Parent:
    """The entity that the changed one belongs to, such as the order of an order item."""

    id: Text | None = None
    name: Text | None = None
    type: Text | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made the change. ``type`` is one of the contract's three, by name or number, or any other text."""

    name: Text | None = None
    type: ActorType | str | int | None = None


@dataclass(frozen=True, slots=True)
class EntityChange:
    """One entity's change: one row of the audit log.

    ``before`` and ``after`` are the entity before and after the change, in any form that
    :func:`~audit_pipeline.producer.snapshots.snapshot` accepts; None where it did not or does not exist. An object that
    is going to be changed in place must be snapshotted first. With ``only_changed``, only fields that differ are
    recorded.
    """

    entity: Entity
    before: object = None
    after: object = None
    parent: Parent | None = None
    channel_code: Text | None = None
    channel_account_code: Text | None = None
    only_changed: bool = False


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What happened to one or more entities of one type.

    ``time`` is when it happened, with a UTC offset, by default now; the bus keeps whole seconds. ``event_id``
    identifies the event, so that a copy of it is not a second event; by default it is a new id. ``detail_type`` is what
    rules of the bus match; by default ``orderitemupdated.v1`` for an ``Update`` of an ``OrderItem``.
    """

    entities: Sequence[EntityChange]
    entity_type: Text | None = None
    action: Text | None = None
    actor: Actor | None = None
    correlation_id: Text | None = None
    time: datetime | None = None
    event_id: str | None = None
    detail_type: str | None = None
