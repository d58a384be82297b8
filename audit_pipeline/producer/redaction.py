"""Redaction: a hook that is called for every field of ``before`` and ``after`` before it is written."""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from audit_pipeline.producer.snapshots import JsonValue, Path, snapshot

__all__ = ["REMOVED", "Field", "Redactor", "redact", "redact_fields"]


class Field(NamedTuple):
    """A field: the entity type of the event, and the path within ``before`` or ``after``."""

    entity_type: str | None
    path: Path


class _Removed:
    """The type of :data:`REMOVED`."""


#: What a redactor returns for a field that is to be left out.
REMOVED: Final = _Removed()

#: Returns the value to be recorded: the given one, another one, or :data:`REMOVED`.
Redactor: TypeAlias = Callable[[Field, JsonValue], object]


def redact(value: JsonValue, redactor: Redactor, entity_type: str | None, path: Path = ()) -> JsonValue:
    """The value with each of its fields, outermost first, as ``redactor`` returns it.

    The fields of a replaced value are not redacted again. Exceptions of the redactor are not caught: an event whose
    redaction fails must not be sent.
    """
    if isinstance(value, dict):
        named = {name: _replaced(item, redactor, entity_type, (*path, name)) for name, item in value.items()}
        return {name: item for name, item in named.items() if not isinstance(item, _Removed)}
    if isinstance(value, list):
        items = [_replaced(item, redactor, entity_type, (*path, index)) for index, item in enumerate(value)]
        return [item for item in items if not isinstance(item, _Removed)]
    return value


def redact_fields(*names: str, replacement: object = "[redacted]") -> Redactor:
    """A redactor of the fields with these names, at any depth; ``card.number`` is a ``number`` directly in a ``card``.

    Indexes in lists are ignored. ``replacement`` may be :data:`REMOVED`.
    """

    def redactor(field: Field, value: JsonValue) -> object:
        path = "." + ".".join(part for part in field.path if isinstance(part, str))
        is_item = isinstance(field.path[-1], int)
        return replacement if not is_item and any(path.endswith(f".{name}") for name in names) else value

    return redactor


def _replaced(value: JsonValue, redactor: Redactor, entity_type: str | None, path: Path) -> "JsonValue | _Removed":
    result = redactor(Field(entity_type, path), value)
    if isinstance(result, _Removed):
        return result
    if result is not value:
        return snapshot(result, path)
    return redact(value, redactor, entity_type, path)
