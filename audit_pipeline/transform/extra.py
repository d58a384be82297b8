"""The column Extra: what was delivered and no other column takes, byte for byte (docs/design.md, "Entity change")."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import Final, Literal

import msgspec
from msgspec import Raw

from audit_pipeline.transform.memo import Memo

__all__ = ["Place", "extra_text", "unknown_members"]

#: The objects of an event that may hold unknown members, in the order in which Extra names them.
Place = Literal["detail", "actor", "change", "entity", "parent"]

#: The members that other columns take.
_KNOWN: Final[Mapping[Place, frozenset[str]]] = {
    "detail": frozenset({"event_id", "entity_type", "action", "correlation_id", "actor", "context", "entities"}),
    "actor": frozenset({"name", "type"}),
    "change": frozenset({"entity", "parent", "channel_code", "channel_account_code", "before", "after"}),
    "entity": frozenset({"id", "name"}),
    "parent": frozenset({"id", "name", "type"}),
}

#: Objects of more bytes have their keys looked at each time, so that what is remembered is bounded.
_REMEMBERED_BYTES: Final = 16 << 10

_STRING_DECODER = msgspec.json.Decoder(str)
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^ \t\r\n,}\]]+")
_TOKEN = re.compile(_STRING.pattern + rb"|([\[{])|[\]}]", re.DOTALL)


def extra_text(parts: Iterable[bytes]) -> bytes | None:
    """The column's value, from the :func:`unknown_members` of each place, in their order; None where there are none."""
    text = b",".join(filter(None, parts))
    return b"{%s}" % text if text else None


def unknown_members(place: Place, text: bytes | Raw, members: Mapping[str, Raw]) -> bytes:
    """``"place":{…}`` with those members of a JSON object that no column takes; empty where there are none.

    ``text`` is the object as delivered, which is JSON; ``members`` are its own, by decoded key.
    """
    keys = (place, tuple(members))
    shape = _shapes[keys] if len(text) <= _REMEMBERED_BYTES else _Shape(keys)
    unknown = shape.unknown
    if not unknown:
        return b""
    if len(text) != shape.shortest + sum(map(len, members.values())):
        return b'"%b":{%b}' % (place.encode(), b",".join(_unknown_pairs(bytes(text), _KNOWN[place])))
    if len(unknown) == 1:
        key, before = unknown[0]
        return b"%b%b}" % (before, members[key])
    return b"%b}" % b"".join([b"%b%b" % (before, members[key]) for key, before in unknown])


class _Shape:
    """What the keys of an object say: nearly all objects of a stream have the same few sequences of them.

    ``shortest`` is the length of the object without its values where its keys are ASCII without escapes and do not
    repeat, and no white space is around keys and values: whatever of these it had would make it longer.
    ``unknown`` are the keys of Extra, with what stands before their values there.
    """

    def __init__(self, place_and_keys: tuple[Place, tuple[str, ...]]) -> None:
        place, keys = place_and_keys
        self.shortest = 1 + sum(map(len, keys)) + len('"":,') * len(keys)
        unknown = [key for key in keys if key not in _KNOWN[place]]
        starts = chain([b'"%b":{' % place.encode()], repeat(b","))
        self.unknown = [(key, b'%b"%b":' % (start, key.encode())) for key, start in zip(unknown, starts, strict=False)]


_shapes = Memo(_Shape, 1_000)


def _unknown_pairs(text: bytes, known: Collection[str]) -> list[bytes]:
    """The pairs of unknown keys as delivered: of a repeated key the last, at its last place."""
    last: dict[str, bytes] = {}
    for written, value in _pairs(text):
        key = _STRING_DECODER.decode(written)
        if key not in known:
            last.pop(key, None)
            last[key] = written + b":" + value
    return list(last.values())


def _pairs(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of an object as delivered."""
    position = _after_space(text, 1)
    while text[position] != ord("}"):
        end = _end_of_string(text, position)
        key = text[position:end]
        position = _after_space(text, _after_space(text, end) + 1)
        end = _end_of_value(text, position)
        yield key, text[position:end]
        position = _after_space(text, end)
        if text[position] == ord(","):
            position = _after_space(text, position + 1)


def _end_of_value(text: bytes, start: int) -> int:
    if text[start] == ord('"'):
        return _end_of_string(text, start)
    if text[start] not in b"{[":
        found = _SCALAR.match(text, start)
        assert found is not None, "a JSON value begins here"
        return found.end()
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[1]:
            depth += 1
        elif token[0][0] != ord('"'):
            depth -= 1
            if depth == 0:
                return token.end()
    raise AssertionError("the value ends within the text")


def _end_of_string(text: bytes, start: int) -> int:
    found = _STRING.match(text, start)
    assert found is not None, "a JSON string begins here"
    return found.end()


def _after_space(text: bytes, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
