"""Fields that must not leave: a hook that sees every value of ``before`` and ``after`` before it is written."""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from audit_pipeline.producer.plain import Path, Plain, snapshot

__all__ = ["REMOVED", "Field", "Redactor", "redact", "redact_fields"]


class Field(NamedTuple):
    """A value's place: the event's entity type, and the path within ``before`` or ``after``."""

    entity_type: str | None
    path: Path


class _Removed:
    """The type of :data:`REMOVED`."""


#: What a redactor returns for a field that is to be left out.
REMOVED: Final = _Removed()

#: Gives what is to stand in a value's place: the value itself, another one, or :data:`REMOVED`.
Redactor: TypeAlias = Callable[[Field, Plain], object]


def redact(value: Plain, redactor: Redactor, entity_type: str | None, path: Path = ()) -> Plain:
    """The value with each field that it holds, from the outside in, as ``redactor`` gives it back.

    What the redactor replaces is not looked into any more. What it raises is not caught: a redaction that fails must
    not let the event out.
    """
    if isinstance(value, dict):
        named = {name: _replaced(item, redactor, entity_type, (*path, name)) for name, item in value.items()}
        return {name: item for name, item in named.items() if not isinstance(item, _Removed)}
    if isinstance(value, list):
        items = [_replaced(item, redactor, entity_type, (*path, index)) for index, item in enumerate(value)]
        return [item for item in items if not isinstance(item, _Removed)]
    return value


def redact_fields(*names: str, replacement: object = "[redacted]") -> Redactor:
    """A redactor of the fields with these names, at any depth; ``card.number`` is a ``number`` right inside a ``card``.

    Places in lists do not count. ``replacement`` may be :data:`REMOVED`.
    """

    def redactor(field: Field, value: Plain) -> object:
        place = "." + ".".join(part for part in field.path if isinstance(part, str))
        is_item = isinstance(field.path[-1], int)
        return replacement if not is_item and any(place.endswith(f".{name}") for name in names) else value

    return redactor


def _replaced(value: Plain, redactor: Redactor, entity_type: str | None, path: Path) -> "Plain | _Removed":
    given = redactor(Field(entity_type, path), value)
    if isinstance(given, _Removed):
        return given
    if given is not value:
        return snapshot(given, path)
    return redact(value, redactor, entity_type, path)
