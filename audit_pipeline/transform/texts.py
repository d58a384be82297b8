"""A stream of JSON texts to its single texts: concatenated, on lines, pretty-printed, broken (design, part 5).

``msgspec`` reads JSON strictly as RFC 8259 demands, with two gaps that are closed here: it does not look at the UTF-8
of what it skips, and how deep a nesting it takes depends on the interpreter's stack.
"""

import re
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

__all__ = [
    "MAX_DEPTH",
    "Text",
    "fast_nesting",
    "is_blank_from",
    "is_broken_utf8",
    "nesting_limits",
    "split",
    "thorough_nesting",
]

#: Levels of nesting that a text may have.
MAX_DEPTH: Final = 1000

_WHITE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*")
_SCALAR = re.compile(rb'[^ \t\r\n{}\[\]",:]+')
_EVENT_START = re.compile(rb'(?<![:,\[])\{(?=[ \t\r\n]*")')
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|[\]}]', re.DOTALL)


class _Probe(msgspec.Struct, gc=False):
    """What makes an object count as the start of an event after broken text."""

    source: msgspec.Raw
    detail: msgspec.Raw


_LIMIT = threading.Lock()

_ANY = msgspec.json.Decoder(msgspec.Raw)
_PROBE = msgspec.json.Decoder(_Probe)


class Text(NamedTuple):
    """One text of a stream, ``data[start:end]``, without the white space around it."""

    start: int
    end: int
    is_json: bool


def split(data: bytes, start: int = 0) -> Iterator[Text]:
    """The texts of a stream from ``start`` on. Together they and the white space between them are all of it.

    A text that is not JSON reaches up to the next place where an event can start. Call it within
    :func:`nesting_limits` and :func:`thorough_nesting`.
    """
    view = memoryview(data)
    while (start := _after_blank(data, start)) < len(data):
        end = _end_of_json(data, view, start)
        if end is None:
            following = _next_event(data, view, start + 1)
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


@contextmanager
def nesting_limits() -> Iterator[int]:
    """Restores the recursion limit, and gives the depth of the stack for the two functions below.

    The limit is one for all threads, so that they take turns here; decoding holds the interpreter's lock anyway.
    """
    depth, frame = 0, sys._getframe().f_back
    while frame:
        depth, frame = depth + 1, frame.f_back
    with _LIMIT:
        before = sys.getrecursionlimit()
        try:
            yield depth
        finally:
            sys.setrecursionlimit(before)


def fast_nesting(stack_depth: int) -> None:
    """Deeper texts than about half of :data:`MAX_DEPTH` raise RecursionError, whatever calls this."""
    sys.setrecursionlimit(stack_depth + MAX_DEPTH // 2)


def thorough_nesting(stack_depth: int) -> None:
    """Texts up to :data:`MAX_DEPTH` are read for certain; :func:`split` refuses deeper ones."""
    sys.setrecursionlimit(stack_depth + MAX_DEPTH + 200)


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


def _end_of_json(data: bytes, view: memoryview, start: int) -> int | None:
    """Where the JSON text that starts here ends (and the next may start), or None where no such text starts."""
    if data[start] not in b'{["':
        return _end_of_scalar(data, start)
    end = _end_of_value(view, start)
    if end is None:
        return None
    text = data[start:end]
    return None if is_broken_utf8(text) or _is_too_deep(text) else end


def _end_of_scalar(data: bytes, start: int) -> int | None:
    found = _SCALAR.match(data, start)
    if not found:
        return None
    try:
        _ANY.decode(found[0])
    except msgspec.DecodeError:
        return None
    return found.end()


def _end_of_value(view: memoryview, start: int) -> int | None:
    try:
        _ANY.decode(view[start:])
    except msgspec.DecodeError as error:
        # The one way to learn where a text ends without reading on to the end of the stream. The byte that the message
        # names is counted from 1; a test holds msgspec to it.
        found = _TRAILING.search(str(error))
        return start + int(found[1]) - 1 if found else None
    except RecursionError:
        return None
    return len(view)


def _is_too_deep(text: bytes) -> bool:
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _BRACKET.finditer(text):
        if token[1]:
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token[0][0] != ord('"'):
            depth -= 1
    return False


def _next_event(data: bytes, view: memoryview, position: int) -> int:
    """The next place from which a whole JSON object with ``source`` and ``detail`` can be read, else the end."""
    for found in _EVENT_START.finditer(data, position):
        end = _end_of_json(data, view, found.start())
        if end is not None and _is_event(view[found.start() : end]):
            return found.start()
    return len(data)


def _is_event(text: memoryview) -> bool:
    try:
        _PROBE.decode(text)
    except msgspec.ValidationError:
        return False
    return True
