"""What is wrong with a text that is not JSON, and where, for the record in quarantine (docs/design.md, "Splitting")."""

import re
from typing import Final

import msgspec

from audit_pipeline.transform.nesting import MAX_DEPTH, is_too_deep

__all__ = ["why_not_json"]

_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
#: How msgspec's messages end; a test holds it to them.
_PLACE: Final = re.compile(r"^JSON is malformed: (.*) \(byte (\d+)\)$")
_TRAILING: Final = "trailing characters"
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
#: Bytes of an excerpt before and after the place.
_AROUND: Final = 20
#: From a lone surrogate to the byte at which msgspec sees it: two escapes.
_SEEN_LATER: Final = 12


def why_not_json(text: bytes) -> str:
    """One printable line: the cause, the byte of the text (from 0) at which it shows, and what is around it."""
    if is_too_deep(text):
        return f"nests over {MAX_DEPTH:,} levels deep: {_excerpt(text, 0)}"
    cause, at = _fault(text)
    return f"{cause} at byte {at:,} of {len(text):,}: {_excerpt(text, at)}"


def _fault(text: bytes) -> tuple[str, int]:
    cause, at = _syntax_fault(text)
    try:
        text[:at].decode()
    except UnicodeDecodeError as error:
        return "bad UTF-8", error.start
    return cause, at


def _syntax_fault(text: bytes) -> tuple[str, int]:
    """What msgspec finds, which does not look at UTF-8; else the end of the text."""
    try:
        _ANY.decode(text)
    except msgspec.DecodeError as error:
        found = _PLACE.match(str(error))
        at = len(text) if found is None else int(found[2])
        surrogate = _lone_surrogate(text[max(0, at - _SEEN_LATER) : at + _SEEN_LATER])
        if surrogate is not None:
            return "lone surrogate", max(0, at - _SEEN_LATER) + surrogate
        if found is None or at >= len(text):
            return "cut off", len(text)
        if found[1] == _TRAILING:
            return "a character that belongs to no value", at - 1  # this place alone is counted from 1
        return _name(found[1], text, at), at
    except RecursionError:
        return "cut off", len(text)
    return "a byte that belongs to no value", len(text)


def _name(msgspecs: str, text: bytes, at: int) -> str:
    for word in (b"NaN", b"Infinity"):
        if text.startswith(word, at):
            return word.decode()
    if msgspecs == "invalid character" and text[at] < ord(" "):
        return "raw control character"
    if msgspecs == "invalid number" and text[at - 1 : at] == b"0" and text[at : at + 1].isdigit():
        return "leading zero"
    return msgspecs


def _lone_surrogate(text: bytes) -> int | None:
    """Where the first escape of half a pair is."""
    high: int | None = None
    end_of_high = 0
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        follows = high is not None and escape.start() == end_of_high
        if high is not None and not (follows and 0xDC00 <= code < 0xE000):
            return high
        if high is None and 0xDC00 <= code < 0xE000:
            return escape.start()
        high, end_of_high = (escape.start() if 0xD800 <= code < 0xDC00 else None), escape.end()
    return high


def _excerpt(text: bytes, at: int) -> str:
    start, end = max(0, at - _AROUND), at + _AROUND
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[start:end].decode(errors="backslashreplace")
    )
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"
