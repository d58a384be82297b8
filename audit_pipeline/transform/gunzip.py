"""From the bytes of a raw object to its text: plain, or gzip of any number of members (docs/design.md, "Objects")."""

from dataclasses import dataclass
from typing import Final

from zlib_ng import zlib_ng

__all__ = ["MAX_TEXT_BYTES", "Decompressed", "decompress"]

#: Firehose buffers at most 128 MiB before it compresses: an object with more text than this is not from Firehose.
MAX_TEXT_BYTES: Final = 1 << 30

_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 31
#: Input of one step; deflate expands at most 1,032 times, so that a step yields 270 MB at the very most.
_STEP: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Decompressed:
    """``text`` is what can be trusted; ``unreadable`` says why the rest of the object could not be read."""

    text: bytes
    unreadable: str | None = None


def decompress(data: bytes) -> Decompressed:
    """The text of an object. Whether it is gzip is decided by its first bytes, not by its name.

    Of a truncated stream all that can be decoded is used; of a corrupt member and what follows it, nothing.
    """
    if not data.startswith(_MAGIC):
        return Decompressed(data)
    members: list[bytes] = []
    position = total = 0
    while (position := _after_padding(data, position)) < len(data):
        start = position
        try:
            member, position, finished = _read_member(data, start, MAX_TEXT_BYTES - total)
        except (zlib_ng.error, _TooLargeError) as error:  # type: ignore[misc]  # its types call the error an instance
            reason = f"gzip member {len(members) + 1} at byte {start} is corrupt: {error}"
            return Decompressed(b"".join(members), reason)
        members.append(member)
        total += len(member)
        if not finished:
            reason = f"the gzip stream ends in the middle of member {len(members)}, which starts at byte {start}"
            return Decompressed(b"".join(members), reason)
    return Decompressed(members[0] if len(members) == 1 else b"".join(members))


class _TooLargeError(Exception):
    pass


def _read_member(data: bytes, start: int, limit: int) -> tuple[bytes, int, bool]:
    """(text of the member, where the next one starts, whether it is complete, with the right checksum)."""
    view = memoryview(data)
    decoder = zlib_ng.decompressobj(wbits=_GZIP)
    parts: list[bytes] = []
    position = start
    while not decoder.eof and position < len(data):
        step = view[position : position + _STEP]
        parts.append(decoder.decompress(step))
        position += len(step) - len(decoder.unused_data)
        limit -= len(parts[-1])
        if limit < 0:
            raise _TooLargeError(f"the object holds more than {MAX_TEXT_BYTES} bytes of text")
    return b"".join(parts), position, decoder.eof


def _after_padding(data: bytes, position: int) -> int:
    if position < len(data) and data[position] == 0:
        return len(data) - len(data[position:].lstrip(b"\0"))
    return position
