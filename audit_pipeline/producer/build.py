"""Builds entries from an application's events: checked as strictly as the pipeline reads them, and given an id.

Every event that is accepted here becomes rows, and none is quarantined; ``tests/producer/test_property.py`` checks this
against the pipeline's own reader.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final
from uuid import UUID

from audit_pipeline.contract.source import SOURCE_PATTERN
from audit_pipeline.contract.values import Action, ActorType
from audit_pipeline.epoch import EPOCH
from audit_pipeline.errors import SettingsError
from audit_pipeline.producer.diff import only_changed
from audit_pipeline.producer.encode import encode
from audit_pipeline.producer.entries import DEFAULT_EVENT_BYTES, MAX_EVENT_BYTES, Entry
from audit_pipeline.producer.errors import EventTooLargeError, InvalidEventError
from audit_pipeline.producer.event import Actor, AuditEvent, Entity, EntityChange, Parent
from audit_pipeline.producer.ids import new_event_id
from audit_pipeline.producer.redaction import Redactor, redact
from audit_pipeline.producer.snapshots import JsonValue, Path, UnsupportedValueError, path_text, snapshot

__all__ = ["EventBuilder"]

#: The contract's numbers of the types of actors.
_ACTOR_TYPES: Final = {ActorType.SERVICE: 0, ActorType.USER: 1, ActorType.CLIENT: 2}
_PAST: Final = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted"}
#: PutEventsRequestEntry: "free-form string, with a maximum of 128 characters".
_MAX_DETAIL_TYPE: Final = 128


class EventBuilder:
    """Builds the entries of one service's events.

    ``source`` is the service's name. ``redactor`` is called for every field of ``before`` and ``after``. An event of
    more than ``max_event_bytes`` is refused, unless ``allow_large``: then its sender needs a claim check for it.
    """

    def __init__(
        self,
        source: str,
        *,
        redactor: Redactor | None = None,
        max_event_bytes: int = DEFAULT_EVENT_BYTES,
        allow_large: bool = False,
    ) -> None:
        if not re.fullmatch(SOURCE_PATTERN, source, re.ASCII):
            raise SettingsError(f"{source!r} cannot be a source: it must match {SOURCE_PATTERN}")
        if source.startswith("aws."):
            raise SettingsError(f"{source!r} cannot be a source: names that start with aws. are reserved for AWS")
        if not 1 <= max_event_bytes <= MAX_EVENT_BYTES:
            raise SettingsError(f"max_event_bytes must be 1 to {MAX_EVENT_BYTES:,}, not {max_event_bytes:,}")
        self.source = source
        self._redactor = redactor
        self._max_event_bytes = max_event_bytes
        self._allow_large = allow_large

    def build(self, event: AuditEvent) -> Entry:
        """The entry of an event, with a new id unless the event has one.

        :class:`InvalidEventError` names the event and the field; :class:`EventTooLargeError` where it is too large.
        """
        event_id = new_event_id() if event.event_id is None else event.event_id
        try:
            entry = self._entry(event, event_id)
        except UnsupportedValueError as error:
            raise InvalidEventError(
                f"event {event_id} ({_summary(event)} from {self.source}) was not sent: "
                f"{path_text(error.path) or 'the event'} {error.problem}"
            ) from None
        if entry.size > self._max_event_bytes and not self._allow_large:
            raise EventTooLargeError(
                f"{entry} was not sent: it has {entry.size:,} bytes, over {self._max_event_bytes:,}: record only what "
                "changed (only_changed=True), split it into several events, or configure a claim check"
            )
        return entry

    def _entry(self, event: AuditEvent, event_id: str) -> Entry:
        if not (isinstance(event_id, str) and event_id):
            raise UnsupportedValueError(("event_id",), "must be a non-empty text")
        if not event.entities:
            raise UnsupportedValueError(("entities",), "must have at least one change, or the event has no row")
        entity_type = _text(event.entity_type, ("entity_type",))
        detail = {
            "entities": [self._change(change, index, entity_type) for index, change in enumerate(event.entities)],
            "entity_type": entity_type,
            "action": _text(event.action, ("action",)),
            "correlation_id": _text(event.correlation_id, ("correlation_id",)),
            "actor": _actor(event.actor),
            "event_id": _text(event_id, ("event_id",)),
        }
        return Entry(
            event_id=event_id,
            source=self.source,
            detail_type=_detail_type(event),
            time=_time(event.time),
            detail=encode(_present(detail)),
            keys=frozenset(f"{self.source}\n{entity_type}\n{_required(c.entity.id, ())}" for c in event.entities),
        )

    def _change(self, change: EntityChange, index: int, entity_type: str | None) -> JsonValue:
        path: Path = ("entities", index)
        before = snapshot(change.before, (*path, "before"))
        after = snapshot(change.after, (*path, "after"))
        if change.only_changed:  # before the redaction, which makes different values equal
            before, after = only_changed(before, after)
        if self._redactor:
            before = redact(before, self._redactor, entity_type)
            after = redact(after, self._redactor, entity_type)
        fields: dict[str, JsonValue] = {
            "entity": _entity(change.entity, (*path, "entity")),
            "before": before,
            "after": after,
            "parent": _parent(change.parent, (*path, "parent")),
            "channel_code": _text(change.channel_code, (*path, "channel_code")),
            "channel_account_code": _text(change.channel_account_code, (*path, "channel_account_code")),
        }
        return _present(fields)


def _summary(event: AuditEvent) -> str:
    return f"{event.action or 'no action'} of {event.entity_type or 'no entity type'}"


def _present(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Without the fields of None: missing and null are the same in the contract, and missing is shorter."""
    return {name: value for name, value in fields.items() if value is not None}


def _entity(entity: Entity, path: Path) -> JsonValue:
    entity_id = _required(entity.id, (*path, "id"))
    if not entity_id:
        raise UnsupportedValueError((*path, "id"), "is empty")
    return {"id": entity_id, "name": _required(entity.name, (*path, "name"))}


def _parent(parent: Parent | None, path: Path) -> JsonValue:
    if parent is None:
        return None
    fields = {"id": parent.id, "name": parent.name, "type": parent.type}
    return _present({name: _text(value, (*path, name)) for name, value in fields.items()})


def _actor(actor: Actor | None) -> JsonValue:
    if actor is None:
        return None
    return _present({"type": _actor_type(actor.type), "name": _text(actor.name, ("actor", "name"))})


def _actor_type(given: ActorType | str | int | None) -> JsonValue:
    """The contract's number where it has one; other numbers and texts are kept as they are."""
    text = _text(given, ("actor", "type"))
    if text is None or isinstance(given, int):
        return given
    return _ACTOR_TYPES.get(ActorType(text), text)


def _required(value: object, path: Path) -> str:
    text = _text(value, path)
    if text is None:
        raise UnsupportedValueError(path, "is missing")
    return text


def _text(value: object, path: Path) -> str | None:
    """The value of a text column; None for None."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal | UUID):
        raise UnsupportedValueError(path, f"is a {type(value).__qualname__}, not a text, a number or a UUID")
    plain = snapshot(value, path)
    return plain if isinstance(plain, str) else str(Decimal(value))  # type: ignore[arg-type]


def _detail_type(event: AuditEvent) -> str:
    detail_type = event.detail_type
    if detail_type is None:
        action = _text(event.action, ("action",)) or ""
        past = _PAST.get(Action(action), action)
        detail_type = f"{_text(event.entity_type, ('entity_type',)) or 'entity'}{past}.v1".lower()
    if not 1 <= len(detail_type) <= _MAX_DETAIL_TYPE:
        raise UnsupportedValueError(
            ("detail_type",), f"has {len(detail_type)} characters, not 1 to {_MAX_DETAIL_TYPE}: set detail_type"
        )
    return _required(detail_type, ("detail_type",))


def _time(given: datetime | None) -> datetime:
    now = datetime.now(UTC)
    time = now if given is None else given
    if time.utcoffset() is None:
        raise UnsupportedValueError(("time",), f"{time} has no UTC offset: add its time zone")
    time = time.astimezone(UTC).replace(microsecond=0)
    # the pipeline quarantines events that are dated more than a day after their delivery
    if time < EPOCH or time.date() > now.date() + timedelta(days=1):
        raise UnsupportedValueError(("time",), f"{time} is before 1970 or more than a day from now")
    return time
