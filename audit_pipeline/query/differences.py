"""The fields that differ between Before and After, by their exact texts: ``1.10`` to ``1.1`` is a change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

__all__ = ["Difference", "differences"]

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
#: Deeper objects are compared as a whole.
_MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class Difference:
    """A field whose value changed; ``before`` and ``after`` are JSON texts, None where the field was missing.

    ``path`` is the keys from the outermost object inwards; it is empty where Before or After is not an object, and both
    are compared as a whole.
    """

    path: tuple[str, ...]
    before: str | None
    after: str | None


def differences(before: str | None, after: str | None) -> list[Difference]:
    """The fields in which two JSON texts differ, in the order of After's keys, then those that only Before has."""
    return list(_compare((), before, after))


def _compare(path: tuple[str, ...], before: str | None, after: str | None) -> Iterator[Difference]:
    if before == after:
        return
    old, new = _fields(path, before), _fields(path, after)
    if old is None or new is None:
        yield Difference(path, before, after)
        return
    for key in [*new, *(key for key in old if key not in new)]:
        yield from _compare((*path, key), old.get(key), new.get(key))


def _fields(path: tuple[str, ...], text: str | None) -> Mapping[str, str] | None:
    """The fields of an object, none for a missing one at the top; None for every other value."""
    if text is None:
        return None if path else {}
    if len(path) >= _MAX_DEPTH or not text.lstrip().startswith("{"):
        return None
    try:
        fields = _OBJECT.decode(text)
    except (msgspec.DecodeError, RecursionError):  # not valid JSON, or nested too deeply: compared as a whole
        return None
    return {key: bytes(value).decode() for key, value in fields.items()}
