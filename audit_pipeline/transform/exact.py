"""From one JSON document to its rows, or to the reason why it has none: value by value, as docs/design.md has it.

It reads whatever the fast path (:mod:`audit_pipeline.transform.fast`) leaves.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Raw

from audit_pipeline.contract.source import SOURCE_PATTERN
from audit_pipeline.epoch import DAY_MS
from audit_pipeline.transform.extra import Place, extra_text, unknown_members
from audit_pipeline.transform.nesting import elements, members
from audit_pipeline.transform.ownership import OwnedDates
from audit_pipeline.transform.times import parse_time

__all__ = ["BadEntity", "Exploded", "actor_type", "explode", "is_safe_source"]

_STRING = msgspec.json.Decoder(str)

_LEAP_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:[0-5]\d:60(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_SAFE_SOURCE = re.compile(SOURCE_PATTERN, re.ASCII)
_ACTOR_TYPES: Final = {b"0": "Service", b"1": "User", b"2": "Client"}
_KINDS: Final = {"{": "an object", "[": "an array", '"': "a string", "t": "true", "f": "false", "n": "null"}


class _ProblemError(Exception):
    """Why a document or an entity cannot become a row."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class BadEntity:
    """An entity change that cannot become a row; ``raw`` is its text as delivered."""

    index: int
    reason: str
    message: str
    raw: bytes


@dataclass(slots=True)
class Exploded:
    """The content of one document. With a ``problem`` (reason, message) the whole document is rejected.

    ``time`` is in milliseconds since 1970, None where there is no readable one.
    """

    time: int | None = None
    event_id: str | None = None
    source: str | None = None
    problem: tuple[str, str] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    bad: list[BadEntity] = field(default_factory=list)

    @property
    def day(self) -> int | None:
        """The event's date as days since 1970; None where its time is not readable."""
        return None if self.time is None else self.time // DAY_MS


def is_safe_source(source: str) -> bool:
    return _SAFE_SOURCE.fullmatch(source) is not None


def actor_type(raw: bytes) -> str | None:
    """``detail.actor.type`` as text: the three numbers of the contract by name, any other value as written."""
    return _ACTOR_TYPES.get(raw) or _text(Raw(raw))


def explode(document: bytes, owned: OwnedDates) -> Exploded:
    """Read a document that is JSON."""
    event = Exploded()
    if not document.startswith(b"{"):
        event.problem = ("not_object", f"the text is {_kind(Raw(document))}, not an event object")
        return event
    envelope = members(document)
    _identify(event, envelope)
    try:
        detail, entities = _check_event(event, envelope, owned)
        actor = _object_or_none(detail.get("actor"), "detail.actor")
    except _ProblemError as problem:
        event.problem = (problem.reason, problem.message)
        return event
    shared = _event_columns(event, envelope, detail, actor)
    extras = [_unknown("detail", detail, envelope["detail"]), _unknown("actor", actor, detail.get("actor"))]
    for index, raw in enumerate(entities):
        try:
            event.rows.append(shared | _entity_columns(raw, extras) | {"EntityIndex": index})
        except _ProblemError as problem:
            event.bad.append(BadEntity(index, problem.reason, problem.message, bytes(raw)))
    return event


def _identify(event: Exploded, envelope: Mapping[str, Raw]) -> None:
    """Read the id, source and time, which a quarantine record has even of an event with a problem."""
    event.source = _string(envelope.get("source"))
    time = _string(envelope.get("time"))
    event.time = None if time is None else parse_time(time)
    detail = envelope.get("detail")
    own_id = _string(members(detail).get("event_id")) if detail and _is(detail, "{") else None
    event.event_id = own_id or _string(envelope.get("id")) or None


def _check_event(event: Exploded, envelope: Mapping[str, Raw], owned: OwnedDates) -> tuple[dict[str, Raw], list[Raw]]:
    """The detail and its entities. Of several problems the first in the order of the contract is raised."""
    if not _required_string(envelope, "id"):
        raise _ProblemError("missing_field", "id is empty")
    source = _required_string(envelope, "source")
    time = _required_string(envelope, "time")
    detail = members(_required(envelope, "detail", "detail", "{"))
    entities = elements(_required(detail, "entities", "detail.entities", "["))
    if not entities:
        raise _ProblemError("no_entities", "detail.entities is empty")
    if event.day is None:
        leap = ": it is a leap second, which no timestamp of the table can be" if _LEAP_SECOND.fullmatch(time) else ""
        raise _ProblemError("bad_time", f"time {time[:64]!r} is no RFC 3339 time with an offset{leap}")
    if not owned.is_in_range(event.day):
        raise _ProblemError(
            "time_out_of_range", f"time {time[:64]!r} is before the first partition or over a day after its delivery"
        )
    if not is_safe_source(source):
        raise _ProblemError("unsafe_source", f"source {source[:300]!r} cannot become the name of a folder")
    return detail, entities


def _event_columns(
    event: Exploded, envelope: Mapping[str, Raw], detail: Mapping[str, Raw], actor: Mapping[str, Raw]
) -> dict[str, Any]:
    kind = actor.get("type")
    return {
        "Id": event.event_id,
        "Timestamp": event.time,
        "ActorName": _text(actor.get("name")),
        "ActorType": None if kind is None else actor_type(bytes(kind)),
        "EntityType": _text(detail.get("entity_type")),
        "Action": _text(detail.get("action")),
        "CorrelationId": _text(detail.get("correlation_id")),
        "EventType": _text(envelope.get("detail-type")),
        "Account": _text(envelope.get("account")),
        "Region": _text(envelope.get("region")),
        "Context": _as_written(detail.get("context")),
        "dt": event.day,
        "source": event.source,
    }


def _entity_columns(raw: Raw, extras_of_event: Sequence[bytes]) -> dict[str, Any]:
    if not _is(raw, "{"):
        raise _ProblemError("wrong_type", f"the entity change is {_kind(raw)}, not an object")
    change = members(raw)
    reference = change.get("entity")
    if reference is None or _is(reference, "n"):
        raise _ProblemError("missing_field", "entity is missing or null")
    if not _is(reference, "{"):
        raise _ProblemError("wrong_type", f"entity is {_kind(reference)}, not an object")
    entity = members(reference)
    entity_id, name = _text(entity.get("id")), _text(entity.get("name"))
    if not entity_id:
        raise _ProblemError("missing_field", "entity.id is missing, null or empty")
    if name is None:
        raise _ProblemError("missing_field", "entity.name is missing or null")
    parent = _object_or_none(change.get("parent"), "parent")
    extra = extra_text(
        [
            *extras_of_event,
            _unknown("change", change, raw),
            _unknown("entity", entity, reference),
            _unknown("parent", parent, change.get("parent")),
        ]
    )
    return {
        "EntityId": entity_id,
        "EntityName": name,
        "EntityParentId": _text(parent.get("id")),
        "EntityParentName": _text(parent.get("name")),
        "EntityParentType": _text(parent.get("type")),
        "ChannelCode": _text(change.get("channel_code")),
        "ChannelAccountCode": _text(change.get("channel_account_code")),
        "Before": _as_written(change.get("before")),
        "After": _as_written(change.get("after")),
        "Extra": None if extra is None else extra.decode(),
    }


def _required(fields: Mapping[str, Raw], name: str, path: str, first: str) -> Raw:
    value = fields.get(name)
    if value is None or _is(value, "n"):
        raise _ProblemError("missing_field", f"{path} is missing or null")
    if not _is(value, first):
        raise _ProblemError("wrong_type", f"{path} is {_kind(value)}, not {_KINDS[first]}")
    return value


def _required_string(fields: Mapping[str, Raw], name: str) -> str:
    return _STRING.decode(_required(fields, name, name, '"'))


def _object_or_none(value: Raw | None, path: str) -> dict[str, Raw]:
    if value is None or _is(value, "n"):
        return {}
    if not _is(value, "{"):
        raise _ProblemError("wrong_type", f"{path} is {_kind(value)}, neither null nor an object")
    return members(value)


def _unknown(place: Place, fields: Mapping[str, Raw], value: Raw | None) -> bytes:
    return b"" if value is None or not fields else unknown_members(place, value, fields)


def _string(value: Raw | None) -> str | None:
    return _STRING.decode(value) if value is not None and _is(value, '"') else None


def _text(value: Raw | None) -> str | None:
    """The value of a text column: the content of a string, any other value as written; None for null."""
    if value is None or _is(value, "n"):
        return None
    return _STRING.decode(value) if _is(value, '"') else bytes(value).decode()


def _as_written(value: Raw | None) -> str | None:
    """The value as delivered, of any type; None for null."""
    return None if value is None or _is(value, "n") else bytes(value).decode()


def _is(value: Raw, first: str) -> bool:
    return memoryview(value)[0] == ord(first)


def _kind(value: Raw | None) -> str:
    return "missing" if value is None else _KINDS.get(chr(memoryview(value)[0]), "a number")
