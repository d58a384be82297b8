"""A stream of JSON texts to its single texts: concatenated, on lines, pretty-printed, broken (design, part 5).

``msgspec`` reads JSON strictly as RFC 8259 demands, with two gaps that are closed here: it does not look at the UTF-8
of what it skips, and how deep a nesting it takes depends on the interpreter's stack (:mod:`.nesting`).
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pyarrow as pa

from audit_pipeline.transform.nesting import DeepTexts, is_too_deep, members

__all__ = ["Text", "is_blank_from", "is_broken_utf8", "split"]

_WHITE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*")
_SCALAR = re.compile(rb'[^ \t\r\n{}\[\]",:]+')
_EVENT_START = re.compile(rb'(?<![:,\[])\{(?=[ \t\r\n]*")')
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")


class _Probe(msgspec.Struct, gc=False):
    """What makes an object count as the start of an event after broken text."""

    source: msgspec.Raw
    detail: msgspec.Raw


_ANY = msgspec.json.Decoder(msgspec.Raw)
_PROBE = msgspec.json.Decoder(_Probe)


class Text(NamedTuple):
    """One text of a stream, ``data[start:end]``, without the white space around it."""

    start: int
    end: int
    is_json: bool


def split(data: bytes, start: int = 0) -> Iterator[Text]:
    """The texts of a stream from ``start`` on. Together they and the white space between them are all of it.

    A text that is not JSON reaches up to the next place where an event can start.
    """
    stream = _Stream(data)
    while (start := _after_blank(data, start)) < len(data):
        end = stream.end_of_json(start)
        if end is None:
            following = stream.next_event(start + 1)
            yield Text(start, _before_blank(data, start, following), is_json=False)
            start = following
        else:
            yield Text(start, _before_blank(data, start, end), is_json=True)
            start = end


def is_broken_utf8(data: bytes) -> bool:
    if data.isascii():
        return False
    bounds = pa.py_buffer(struct.pack("=2i", 0, len(data)))
    try:
        # Arrow looks at ten bytes in the time that Python's own decoder takes for one
        pa.Array.from_buffers(pa.string(), 1, [None, bounds, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return True
    return False


def is_blank_from(data: bytes, position: int) -> bool:
    """Whether nothing but white space follows."""
    return _after_blank(data, position) == len(data)


def _after_blank(data: bytes, position: int) -> int:
    found = _BLANK.match(data, position)
    return found.end() if found else position


def _before_blank(data: bytes, start: int, end: int) -> int:
    """Where the text that ends here ends without the blanks at its end."""
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
        self._deep = DeepTexts(data)

    def end_of_json(self, start: int) -> int | None:
        """Where the JSON text that starts here ends (and the next may start), or None where no such text starts."""
        if self._data[start] not in b'{["':
            return _end_of_scalar(self._data, start)
        if self._deep.is_hopeless(start):
            return None
        end = self._end_of_value(start)
        if end is None:
            return None
        text = self._data[start:end]
        return None if is_broken_utf8(text) or is_too_deep(text) else end

    def next_event(self, position: int) -> int:
        """The next place from which a whole JSON object with ``source`` and ``detail`` can be read, else the end."""
        for found in _EVENT_START.finditer(self._data, position):
            end = self.end_of_json(found.start())
            if end is not None and _is_event(self._data[found.start() : end]):
                return found.start()
        return len(self._data)

    def _end_of_value(self, start: int) -> int | None:
        try:
            _ANY.decode(self._view[start:])
        except msgspec.DecodeError as error:
            # The one way to learn where a text ends without reading on to the end of the stream. The byte that the
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


def _is_event(text: bytes) -> bool:
    try:
        _PROBE.decode(text)
    except msgspec.ValidationError:
        return False
    except RecursionError:
        return members(text).keys() >= {"source", "detail"}
    return True
