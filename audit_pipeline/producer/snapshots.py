"""Snapshots: an application's object as JSON values, exactly as it is at that moment.

A snapshot is a copy: changing the object afterwards does not change what was recorded. Values are evidence, so a value
without one exact form in JSON is refused, with its path, instead of guessed.
"""

import base64
import dataclasses
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from uuid import UUID

__all__ = ["JsonValue", "Path", "UnsupportedValueError", "path_text", "snapshot"]

#: The values of JSON, with ``Decimal`` for numbers that keep their digits.
JsonValue: TypeAlias = "bool | int | float | Decimal | str | list[JsonValue] | dict[str, JsonValue] | None"

#: The path to a value: names of fields and indexes in lists, outermost first.
Path: TypeAlias = tuple[str | int, ...]

#: PutEvents and the pipeline read up to 1,000 levels. No real record has that many, but an object that contains itself.
_MAX_DEPTH: Final = 200


#: A tuple, as isinstance of a union takes several times as long.
_SCALARS: Final = (str, bool, int, float, Decimal)


class UnsupportedValueError(ValueError):
    """A value that cannot be written exactly; ``path`` leads to it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


def snapshot(value: object, path: Path = ()) -> JsonValue:
    """A copy of the value as JSON values, in the order of its fields.

    - mappings with text keys, dataclasses, pydantic and msgspec models become objects under the names of their fields
      (not aliases); pydantic fields with ``exclude=True`` are left out;
    - lists and tuples become arrays;
    - ``datetime``, ``date``, ``time`` become their ISO 8601 text, with the offset if they have one; ``UUID`` its text;
      ``bytes`` standard base64; an ``Enum`` what its value becomes;
    - ``str``, ``bool``, ``int``, finite ``float``, finite ``Decimal`` and ``None`` stay what they are.

    :class:`UnsupportedValueError` for NaN and infinities, lone surrogates, keys that are not text, sets (they have no
    order), more than 200 levels, and every other type.
    """
    if len(path) > _MAX_DEPTH:
        raise UnsupportedValueError(path[:3], f"is nested more than {_MAX_DEPTH} levels deep, or contains itself")
    if isinstance(value, Enum):
        return snapshot(value.value, path)
    if value is None or isinstance(value, _SCALARS):
        return _scalar(value, path)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list | tuple):
        return [snapshot(item, (*path, index)) for index, item in enumerate(value)]
    fields = _fields(value, path)
    return {_key(name, path): snapshot(item, (*path, name)) for name, item in fields}


def path_text(path: Path) -> str:
    """``("entities", 0, "before")`` as ``entities[0].before``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _scalar(value: str | bool | int | float | Decimal | None, path: Path) -> JsonValue:
    """The value as its built-in type: a subclass (of numpy, for one) may have a text of its own."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value), path)
    if isinstance(value, int):
        return int(value)
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        raise UnsupportedValueError(path, f"is {value}, which JSON cannot express: record a text or None instead")
    return Decimal(value) if isinstance(value, Decimal) else float(value)


def _text(text: str, path: Path) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnsupportedValueError(path, "contains a lone surrogate, which is not Unicode text") from None
    return text


def _key(name: object, path: Path) -> str:
    if not isinstance(name, str):
        raise UnsupportedValueError(path, f"has the key {name!r}, which is not a text: use a text")
    return _text(str(name.value) if isinstance(name, Enum) else str.__str__(name), path)


def _fields(value: Any, path: Path) -> Iterator[tuple[Any, object]]:
    """(name, value) of a mapping or of a model, whose library is recognized by the attributes of its class."""
    kind = type(value)
    if isinstance(value, Mapping):
        return iter(value.items())
    if hasattr(kind, "__pydantic_fields__") and hasattr(kind, "model_fields"):
        return _pydantic_fields(value)
    if hasattr(kind, "__struct_fields__"):
        present = ((name, getattr(value, name)) for name in kind.__struct_fields__)
        return ((name, item) for name, item in present if type(item).__name__ != "UnsetType")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    raise UnsupportedValueError(
        path,
        f"is a {kind.__qualname__}, which has no exact form in JSON: use a mapping, a dataclass, "
        "a pydantic or msgspec model, a list, or a text",
    )


def _pydantic_fields(value: Any) -> Iterator[tuple[str, object]]:
    for name, field in type(value).model_fields.items():
        if not field.exclude:
            yield name, getattr(value, name)
    yield from (value.model_extra or {}).items()
