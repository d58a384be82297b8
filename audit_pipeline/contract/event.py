"""The event as typed structures: what a producer sends, as EventBridge delivers it (docs/design.md, "Event").

Required are ``id``, ``source``, ``time``, ``detail`` and at least one entity with ``id`` and ``name``; everything else
may be missing or null. Unknown members go to the column Extra. ``event.schema.json`` beside this file is the same for
producers in other languages; a test keeps both equal.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from audit_pipeline.contract.source import SOURCE_PATTERN

__all__ = ["Actor", "Detail", "EntityChange", "EntityRef", "Event", "ParentRef"]

#: Text columns also take a number or a boolean, as its text exactly as written.
Scalar = str | int | float | bool

NonEmpty = Annotated[str, Meta(min_length=1)]


class EntityRef(Struct, omit_defaults=True):
    """The entity that changed."""

    id: Annotated[NonEmpty | int | float | bool, Meta(description="Unique among entities of its type.")]
    name: Annotated[Scalar, Meta(description="What a person calls it.")]


class ParentRef(Struct, omit_defaults=True):
    """The entity that the changed one belongs to, such as the order of an order item."""

    id: Scalar | None = None
    name: Scalar | None = None
    type: Scalar | None = None


class Actor(Struct, omit_defaults=True):
    """Who did it."""

    name: Scalar | None = None
    type: Annotated[Scalar | None, Meta(description="0 = Service, 1 = User, 2 = Client; others are kept as text.")] = (
        None
    )


class EntityChange(Struct, omit_defaults=True):
    """One entity's change: one row of the audit log."""

    entity: EntityRef
    before: Annotated[Any, Meta(description="The entity before the change; kept byte for byte.")] = None
    after: Annotated[Any, Meta(description="The entity after the change; kept byte for byte.")] = None
    parent: ParentRef | None = None
    channel_code: Scalar | None = None
    channel_account_code: Scalar | None = None


class Detail(Struct, omit_defaults=True):
    """What happened."""

    entities: Annotated[list[EntityChange], Meta(min_length=1)]
    event_id: Annotated[
        str | None,
        Meta(description="Minted once by the producer, so that an event sent twice is recognised; a UUIDv7 fits."),
    ] = None
    entity_type: Scalar | None = None
    action: Annotated[Scalar | None, Meta(description="Create, Update, Delete, or the producer's own word.")] = None
    correlation_id: Scalar | None = None
    actor: Actor | None = None
    context: Annotated[
        Any,
        Meta(
            description="Who asked from where and why: ip, user_agent, reason, request_id, tenant; kept byte for byte."
        ),
    ] = None


class Event(Struct, omit_defaults=True):
    """An EventBridge envelope with one or more entity changes."""

    id: NonEmpty
    source: Annotated[
        str,
        Meta(pattern=f"^{SOURCE_PATTERN}$", description="The service; it becomes a folder's name."),
    ]
    time: Annotated[str, Meta(description="RFC 3339 with an offset.", extra_json_schema={"format": "date-time"})]
    detail: Detail
    detail_type: Scalar | None = field(name="detail-type", default=None)
    account: Scalar | None = None
    region: Scalar | None = None
