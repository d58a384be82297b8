"""Splits a stream into JSON documents: concatenated, on lines, pretty-printed, broken (docs/design.md, "Splitting").

``msgspec`` reads JSON strictly as RFC 8259 demands, with two gaps that are closed here: it does not check the UTF-8 of
what it skips, and the depth that it reads depends on the interpreter's stack (:mod:`.nesting`).
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pyarrow as pa

from audit_pipeline.transform.nesting import DeepDocuments, elements, is_too_deep, members

__all__ = ["Document", "is_blank_from", "is_broken_utf8", "split_documents"]

_WHITE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
#: What may stand between documents: delimiters that Firehose's settings and other tools add.
_SEPARATORS = re.compile(rb"(?:[ \t\r\n,\x1e]|\xef\xbb\xbf|\\[nr])*")
_SPACE_OR_COMMA = re.compile(rb"[ \t\r\n,]*")
_SCALAR = re.compile(rb'(?:(?!\xef\xbb\xbf|\\[nr])[^ \t\r\n{}\[\]",:\x1e])+')
_EVENT_START = re.compile(rb'(?<![:,\[])\{(?=[ \t\r\n]*")')
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")


class _Probe(msgspec.Struct, gc=False):
    """The members by which an object counts as the start of an event after a broken document."""

    source: msgspec.Raw
    detail: msgspec.Raw


_ANY = msgspec.json.Decoder(msgspec.Raw)
_PROBE = msgspec.json.Decoder(_Probe)


class Document(NamedTuple):
    """One document of a stream, ``data[start:end]``, without what separates it from others.

    ``is_inside`` says that it is an item of a top-level array, and not its first: nobody can begin to read there.
    """

    start: int
    end: int
    is_json: bool
    is_inside: bool = False


def split_documents(data: bytes, start: int = 0) -> Iterator[Document]:
    """The documents of a stream from ``start`` on. Together with the separators between them they are all of it.

    A top-level array of objects is a document for each of them. A document that is not JSON ends where the next event
    can start.
    """
    stream = _Stream(data)
    while (start := _after_separators(data, start)) < len(data):
        end = stream.end_of_json(start)
        if end is None:
            following = stream.next_event(start + 1)
            yield Document(start, _before_blank(data, start, following), is_json=False)
            start = following
        else:
            yield from _items(data, start, end) or [Document(start, _before_blank(data, start, end), is_json=True)]
            start = end


def is_broken_utf8(data: bytes) -> bool:
    if data.isascii():
        return False
    bounds = pa.py_buffer(struct.pack("=2i", 0, len(data)))
    try:
        # Arrow checks ten bytes in the time that Python's own decoder takes for one
        pa.Array.from_buffers(pa.string(), 1, [None, bounds, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return True
    return False


def is_blank_from(data: bytes, position: int) -> bool:
    """Whether only separators follow."""
    return _after_separators(data, position) == len(data)


def _after_separators(data: bytes, position: int) -> int:
    found = _SEPARATORS.match(data, position)
    return found.end() if found else position


def _items(data: bytes, start: int, end: int) -> list[Document]:
    """The documents of an array whose items are all objects; none of any other JSON document."""
    if data[start] != ord("["):
        return []
    items = [bytes(item) for item in elements(data[start:end])]
    if not all(item.startswith(b"{") for item in items):
        return []
    documents: list[Document] = []
    position = start + 1
    for item in items:
        found = _SPACE_OR_COMMA.match(data, position)
        position = found.end() if found else position
        documents.append(Document(position, position + len(item), is_json=True, is_inside=bool(documents)))
        position += len(item)
    return documents


def _before_blank(data: bytes, start: int, end: int) -> int:
    """Where the document in ``data[start:end]`` ends without the white space at its end."""
    while end > start:
        if data[end - 1] in _WHITE:
            end -= 1
        elif data.endswith(_BOM, start, end):
            end -= len(_BOM)
        else:
            break
    return end


class _Stream:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._view = memoryview(data)
        self._deep = DeepDocuments(data)

    def end_of_json(self, start: int) -> int | None:
        """Where the JSON document at ``start`` ends (and the next may start); None where there is no JSON document."""
        if self._data[start] not in b'{["':
            return _end_of_scalar(self._data, start)
        if self._deep.is_hopeless(start):
            return None
        end = self._end_of_value(start)
        if end is None:
            return None
        document = self._data[start:end]
        return None if is_broken_utf8(document) or is_too_deep(document) else end

    def next_event(self, position: int) -> int:
        """The next position of a whole JSON object with ``source`` and ``detail``, else the end of the stream."""
        for found in _EVENT_START.finditer(self._data, position):
            end = self.end_of_json(found.start())
            if end is not None and _is_event(self._data[found.start() : end]):
                return found.start()
        return len(self._data)

    def _end_of_value(self, start: int) -> int | None:
        try:
            _ANY.decode(self._view[start:])
        except msgspec.DecodeError as error:
            # The only way to find where a document ends without reading to the end of the stream. The byte that the
            # message names is counted from 1; a test holds msgspec to it.
            found = _TRAILING.search(str(error))
            return start + int(found[1]) - 1 if found else None
        except RecursionError:
            return self._deep.end_of(start)
        return len(self._data)


def _end_of_scalar(data: bytes, start: int) -> int | None:
    found = _SCALAR.match(data, start)
    if not found:
        return None
    try:
        _ANY.decode(found[0])
    except msgspec.DecodeError:
        return None
    return found.end()


def _is_event(document: bytes) -> bool:
    try:
        _PROBE.decode(document)
    except msgspec.ValidationError:
        return False
    except RecursionError:
        return members(document).keys() >= {"source", "detail"}
    return True
