"""How deep JSON documents nest, and the reading of those that nest too deep for ``msgspec``.

``msgspec`` recurses, and raises RecursionError at a depth that depends on the release of Python, on the platform and on
the caller. What is too deep for it is read here without recursion, so that the same documents are JSON everywhere:
those of at most :data:`MAX_DEPTH` levels.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Raw

__all__ = ["MAX_DEPTH", "DeepDocuments", "elements", "has_many_brackets", "is_too_deep", "members"]

#: Levels of nesting that a document may have.
MAX_DEPTH: Final = 1000
#: Levels that ``msgspec`` reads at once, few enough for any stack.
_FRAGMENT_LEVELS: Final = 64

# an unterminated string reaches to the end, or else each of its quotes would be tried as a start
_STRING_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(_STRING_TEXT.pattern + rb"|([\[{])|[\]}]", re.DOTALL)
_DELIMITER = re.compile(_STRING_TEXT.pattern + rb"|([\[{])|([\]}])|[,:]", re.DOTALL)
_QUOTE: Final = ord('"')

_ANY = msgspec.json.Decoder(Raw)
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)


def has_many_brackets(documents: bytes | memoryview) -> bool:
    """Whether there are enough brackets for more than :data:`MAX_DEPTH` levels: a fast check."""
    if len(documents) <= 2 * MAX_DEPTH:
        return False
    return int(np.count_nonzero(_as_braces(documents) == ord("{"))) > MAX_DEPTH


def is_too_deep(documents: bytes | memoryview) -> bool:
    """Whether one of these JSON documents has more than :data:`MAX_DEPTH` levels."""
    if not has_many_brackets(documents):
        return False
    bare = _as_braces(_STRING_TEXT.sub(b"", documents))
    steps = (bare == ord("{")).astype(np.int32) - (bare == ord("}"))
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0)) > MAX_DEPTH


def members(value: bytes | Raw) -> dict[str, Raw]:
    """The members of a JSON object of at most :data:`MAX_DEPTH` levels; of repeated keys the last counts."""
    try:
        return _OBJECT.decode(value)
    except RecursionError:
        parts = list(_parts(bytes(value)))
        return {_STRING.decode(key): Raw(part) for key, part in zip(parts[::2], parts[1::2], strict=True)}


def elements(value: bytes | Raw) -> list[Raw]:
    """The elements of a JSON array of at most :data:`MAX_DEPTH` levels."""
    try:
        return _ARRAY.decode(value)
    except RecursionError:
        return [Raw(part) for part in _parts(bytes(value))]


class DeepDocuments:
    """The documents of one stream at which ``msgspec`` raised RecursionError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # a thousand brackets in a row can be a thousand starts of documents: one scan serves all of them
        self._hopeless: set[int] = set()

    def is_hopeless(self, start: int) -> bool:
        """Whether an earlier scan found that what starts here is too deep or does not end."""
        return start in self._hopeless

    def end_of(self, start: int) -> int | None:
        """Where the object or array that starts here ends; None where it is not JSON or is too deep."""
        end = self._scan(start)
        if end is None or self.is_hopeless(start) or not _is_json(self._data[start:end]):
            return None
        return end

    def _scan(self, start: int) -> int | None:
        """Where the bracket at ``start`` is closed, by counting brackets."""
        opened: list[int] = []
        for token in _BRACKET.finditer(self._data, start):
            if token[1]:
                opened.append(token.start())
                if len(opened) > MAX_DEPTH:
                    self._hopeless.add(opened[-MAX_DEPTH - 1])
            elif token[0][0] != _QUOTE:
                opened.pop()
                if not opened:
                    return token.end()
        self._hopeless.update(opened)
        return None


def _as_braces(documents: bytes | memoryview) -> npt.NDArray[np.uint8]:
    """The bytes, with square brackets replaced by braces, from which they differ in one bit. No letter becomes one."""
    return np.frombuffer(documents, np.uint8) | np.uint8(ord("{") ^ ord("["))


def _is_json(value: bytes) -> bool:
    """Whether an object or array with balanced brackets is JSON.

    It is cut into fragments of few levels. In the fragment around it, a fragment is replaced by ``[]``.
    """
    fragments: list[list[bytes]] = [[]]
    depth = copied = 0
    for token in _BRACKET.finditer(value):
        if token[1]:
            if depth and depth % _FRAGMENT_LEVELS == 0:
                fragments[-1].append(value[copied : token.start()])
                fragments.append([])
                copied = token.start()
            depth += 1
        elif token[0][0] != _QUOTE:
            depth -= 1
            if depth % _FRAGMENT_LEVELS == 0:
                fragments[-1].append(value[copied : token.end()])
                if not _is_flat_json(b"".join(fragments.pop())):
                    return False
                if fragments:
                    fragments[-1].append(b"[]")
                copied = token.end()
    return True


def _is_flat_json(value: bytes) -> bool:
    try:
        _ANY.decode(value)
    except msgspec.DecodeError:
        return False
    return True


def _parts(value: bytes) -> Iterator[bytes]:
    """The keys and values of a JSON object in turn, or the elements of an array, as written."""
    depth = start = 0
    for token in _DELIMITER.finditer(value):
        if token[1]:
            depth += 1
            if depth == 1:
                start = token.end()
            continue
        if depth == 1 and token[0][0] != _QUOTE:
            part = value[start : token.start()].strip(b" \t\r\n")
            if part:
                yield part
            start = token.end()
        if token[2]:
            depth -= 1
