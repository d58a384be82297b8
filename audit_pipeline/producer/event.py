"""What an application says about an event: the contract's fields (design, part 5) as types."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from audit_pipeline.contract.values import ActorType

__all__ = ["Actor", "AuditEvent", "Entity", "EntityChange", "Parent", "Text"]

#: What a text column takes; it is written as a JSON string.
Text: TypeAlias = str | int | Decimal | UUID | Enum


@dataclass(frozen=True, slots=True)
class Entity:
    """The entity that changed: its id, unique among entities of its type, and what a person calls it."""

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
    """Who did it. ``type`` is one of the contract's three, by name or number, or a text of your own."""

    name: Text | None = None
    type: ActorType | str | int | None = None


@dataclass(frozen=True, slots=True)
class EntityChange:
    """One entity's change: one row of the audit log.

    ``before`` and ``after`` are the entity then and now, in any form that
    :func:`~audit_pipeline.producer.plain.snapshot` takes; None where there was or is nothing. An object that is going
    to be changed in place must be snapshotted first. With ``only_changed``, only fields that differ are recorded.
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
    """What happened, to one or more entities of a type.

    ``time`` is when it happened, with an offset; the bus keeps whole seconds. It is now unless given. ``event_id``
    tells the event from all others and a copy of it from a second event; it is minted unless given. ``detail_type`` is
    what rules on the bus match by: ``orderitemupdated.v1`` for an ``Update`` of an ``OrderItem``, unless given.
    """

    entities: Sequence[EntityChange]
    entity_type: Text | None = None
    action: Text | None = None
    actor: Actor | None = None
    correlation_id: Text | None = None
    time: datetime | None = None
    event_id: str | None = None
    detail_type: str | None = None
