"""How deep JSON texts nest, and the reading of those that nest too deep for ``msgspec``.

``msgspec`` recurses, and raises RecursionError at a depth that depends on the release of Python, on the platform and on
what calls it. Whatever it does not take for its depth is read here without recursion, so that the same texts are JSON
everywhere: those of at most :data:`MAX_DEPTH` levels.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Raw

__all__ = ["MAX_DEPTH", "DeepTexts", "elements", "has_many_brackets", "is_too_deep", "members"]

#: Levels of nesting that a text may have.
MAX_DEPTH: Final = 1000
#: Levels that are handed to ``msgspec`` at once; it takes these however little is left of the stack.
_PIECE_LEVELS: Final = 64

# one that does not end reaches to the end, for else each of its quotes would be tried
_STRING_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(_STRING_TEXT.pattern + rb"|([\[{])|[\]}]", re.DOTALL)
_DELIMITER = re.compile(_STRING_TEXT.pattern + rb"|([\[{])|([\]}])|[,:]", re.DOTALL)
_QUOTE: Final = ord('"')

_ANY = msgspec.json.Decoder(Raw)
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)


def has_many_brackets(texts: bytes | memoryview) -> bool:
    """Whether there are enough of them for more than :data:`MAX_DEPTH` levels. It takes next to no time."""
    if len(texts) <= 2 * MAX_DEPTH:
        return False
    return int(np.count_nonzero(_as_braces(texts) == ord("{"))) > MAX_DEPTH


def is_too_deep(texts: bytes | memoryview) -> bool:
    """Whether one of these JSON texts has more than :data:`MAX_DEPTH` levels."""
    if not has_many_brackets(texts):
        return False
    bare = _as_braces(_STRING_TEXT.sub(b"", texts))
    steps = (bare == ord("{")).astype(np.int32) - (bare == ord("}"))
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0)) > MAX_DEPTH


def members(text: bytes | Raw) -> dict[str, Raw]:
    """The values of a JSON object, at most :data:`MAX_DEPTH` levels deep; of repeated keys the last counts."""
    try:
        return _OBJECT.decode(text)
    except RecursionError:
        parts = list(_parts(bytes(text)))
        return {_STRING.decode(key): Raw(value) for key, value in zip(parts[::2], parts[1::2], strict=True)}


def elements(text: bytes | Raw) -> list[Raw]:
    """The values of a JSON array, at most :data:`MAX_DEPTH` levels deep."""
    try:
        return _ARRAY.decode(text)
    except RecursionError:
        return [Raw(part) for part in _parts(bytes(text))]


class DeepTexts:
    """The texts of one stream at which ``msgspec`` raised RecursionError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # A thousand brackets in a row can be a thousand starts of texts: one scan is for all of them.
        self._hopeless: set[int] = set()

    def is_hopeless(self, start: int) -> bool:
        """Whether an earlier scan found that the text from here on is too deep or does not end."""
        return start in self._hopeless

    def end_of(self, start: int) -> int | None:
        """Where the object or array that starts here ends, or None where it is not JSON or too deep."""
        end = self._scan(start)
        if end is None or self.is_hopeless(start) or not _is_json(self._data[start:end]):
            return None
        return end

    def _scan(self, start: int) -> int | None:
        """Where the first bracket is closed, by their number alone."""
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


def _as_braces(texts: bytes | memoryview) -> npt.NDArray[np.uint8]:
    """Both kinds of bracket as braces: they differ in one bit. Letters do not become any."""
    return np.frombuffer(texts, np.uint8) | np.uint8(ord("{") ^ ord("["))


def _is_json(text: bytes) -> bool:
    """Whether an object or array, of which the brackets add up, is JSON.

    It is cut into pieces of few levels. In the piece around it, ``[]`` stands for a piece.
    """
    pieces: list[list[bytes]] = [[]]
    depth = copied = 0
    for token in _BRACKET.finditer(text):
        if token[1]:
            if depth and depth % _PIECE_LEVELS == 0:
                pieces[-1].append(text[copied : token.start()])
                pieces.append([])
                copied = token.start()
            depth += 1
        elif token[0][0] != _QUOTE:
            depth -= 1
            if depth % _PIECE_LEVELS == 0:
                pieces[-1].append(text[copied : token.end()])
                if not _is_flat_json(b"".join(pieces.pop())):
                    return False
                if pieces:
                    pieces[-1].append(b"[]")
                copied = token.end()
    return True


def _is_flat_json(text: bytes) -> bool:
    try:
        _ANY.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _parts(text: bytes) -> Iterator[bytes]:
    """The keys and values of a JSON object in turn, or the values of an array, as written."""
    depth = start = 0
    for token in _DELIMITER.finditer(text):
        if token[1]:
            depth += 1
            if depth == 1:
                start = token.end()
            continue
        if depth == 1 and token[0][0] != _QUOTE:
            part = text[start : token.start()].strip(b" \t\r\n")
            if part:
                yield part
            start = token.end()
        if token[2]:
            depth -= 1
