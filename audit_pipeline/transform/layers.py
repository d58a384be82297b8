"""The layers of compression that are read: gzip, zstd, Firehose's Snappy, Hadoop's Snappy, and a ZIP of one entry."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast

import pyarrow as pa
import zstandard
from zlib_ng import zlib_ng

__all__ = ["ZIP", "ZIP_END", "Reader", "TooLargeError", "UnreadableError", "layer_of"]

_GZIP: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
#: A frame, and the frames that a reader has to skip (RFC 8878, section 3.1).
_ZSTD: Final = (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)))
#: snappy-java's stream, which is Firehose's Snappy: this, and two version numbers of four bytes.
_SNAPPY_JAVA: Final = b"\x82SNAPPY\0"
_SNAPPY_JAVA_HEADER: Final = 16
ZIP: Final = b"PK\x03\x04"
#: The record at the end of an archive, without its comment.
ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22
#: Input of one step. Deflate expands at most 1,032 times, zstd a block of 4 bytes to 128 KiB: a step yields 270 MB of
#: text at the very most, so that the limit is seen before memory runs out.
_GZIP_STEP: Final = 256 << 10
_ZSTD_STEP: Final = 8 << 10
#: What tools put between and after members.
_PADDING: Final = b"\0 \t\r\n"
#: zlib-ng's and zstandard's errors have no common base, and zlib-ng's types call its error an instance.
_CORRUPT: Final = (
    *(cast(type[Exception], zlib_ng.error), zstandard.ZstdError, pa.ArrowException),
    *(EOFError, NotImplementedError, OSError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error),
)


class UnreadableError(Exception):
    """Why nothing more of a stream can be used."""


class TooLargeError(Exception):
    """The text is longer than the limit."""


#: The parts of a layer's text, in order; :class:`UnreadableError` after the last that can be used.
Reader = Callable[[bytes, int], Iterator[bytes]]


def layer_of(data: bytes) -> tuple[str, Reader] | None:
    """The layer that the bytes begin, by name, and what reads it; None where they are no layer."""
    if data.startswith(_GZIP):
        return "gzip", partial(_read_members, "gzip member", _new_gzip_decoder, _GZIP_STEP)
    if data.startswith(_ZSTD):
        return "zstd", partial(_read_members, "zstd frame", _new_zstd_decoder, _ZSTD_STEP)
    if data.startswith(_SNAPPY_JAVA):
        return "Snappy", _read_snappy_java
    if data.startswith(ZIP) and _only_entry(data) is not None:
        return "ZIP", _read_zip
    if _is_hadoop_snappy(data):
        return "Hadoop Snappy", _read_hadoop_snappy
    return None


# --- gzip, zstd ------------------------------------------------------------------------------------------------------


def _new_gzip_decoder() -> Any:
    return zlib_ng.decompressobj(wbits=_GZIP_WBITS)


def _new_zstd_decoder() -> Any:
    return zstandard.ZstdDecompressor().decompressobj()


def _read_members(what: str, new_decoder: Callable[[], Any], step: int, data: bytes, limit: int) -> Iterator[bytes]:
    """Each member's text, once it is known whole, with the right checksum; of one that just ends, what there is."""
    position, number = 0, 0
    while (position := _after_padding(data, position)) < len(data):
        start, number = position, number + 1
        try:
            text, position, is_whole = _read_member(new_decoder(), step, data, start, limit)
        except _CORRUPT as error:
            raise UnreadableError(f"{what} {number} at byte {start} is corrupt: {error}") from None
        limit -= len(text)
        yield text
        if not is_whole:
            raise UnreadableError(f"the stream ends in the middle of {what} {number}, which starts at byte {start}")


def _read_member(decoder: Any, step: int, data: bytes, start: int, limit: int) -> tuple[bytes, int, bool]:
    """The text, where the next member starts, and whether this one came to its end."""
    view = memoryview(data)
    parts: list[bytes] = []
    position = start
    while not decoder.eof and position < len(data):
        given = view[position : position + step]
        parts.append(decoder.decompress(given))
        position += len(given) - len(decoder.unused_data)
        limit -= len(parts[-1])
        if limit < 0:
            raise TooLargeError
    return b"".join(parts), position, decoder.eof


def _after_padding(data: bytes, position: int) -> int:
    while position < len(data) and data[position] in _PADDING:
        position += 1
    return position


# --- Snappy ----------------------------------------------------------------------------------------------------------


def _read_snappy_java(data: bytes, limit: int) -> Iterator[bytes]:
    """Blocks behind their compressed length, after a header; another header may stand between them."""
    position = 0
    while position < len(data):
        if data.startswith(_SNAPPY_JAVA, position):
            position += _SNAPPY_JAVA_HEADER
            continue
        length = _uint32(data, position)
        block = None if length is None else data[position + 4 : position + 4 + length]
        if block is None or length is None or len(block) < length:
            raise UnreadableError(f"the stream ends in the middle of the Snappy block at byte {position}")
        yield _unsnap(block, position, limit)
        position += 4 + length


def _read_hadoop_snappy(data: bytes, limit: int) -> Iterator[bytes]:
    """Blocks behind the length of their text, each of chunks behind their compressed length."""
    position = 0
    while position < len(data):
        missing = _uint32(data, position)
        start, position = position, position + 4
        while missing is None or missing > 0:
            length = _uint32(data, position)
            chunk = None if length is None else data[position + 4 : position + 4 + length]
            if missing is None or chunk is None or length is None or len(chunk) < length:
                raise UnreadableError(f"the stream ends in the middle of the Snappy block at byte {start}")
            text = _unsnap(chunk, position, limit)
            missing -= len(text)
            position += 4 + length
            yield text


def _is_hadoop_snappy(data: bytes) -> bool:
    """Whether lengths stand at the start that fit a block of it: there is no magic."""
    text_length, length = _uint32(data, 0), _uint32(data, 4)
    if data[:1] != b"\0" or not text_length or not length:
        return False
    claimed = _snappy_text_length(data[8:16])
    return claimed is not None and 0 < claimed[0] <= text_length and length <= claimed[0] + claimed[0] // 6 + 32


def _unsnap(block: bytes, position: int, limit: int) -> bytes:
    claimed = _snappy_text_length(block)
    if claimed is None:
        raise UnreadableError(f"the Snappy block at byte {position} is corrupt: it has no length")
    if claimed[0] > limit:
        raise TooLargeError
    try:
        text: bytes = pa.decompress(block, decompressed_size=claimed[0], codec="snappy", asbytes=True)
    except _CORRUPT as error:
        raise UnreadableError(f"the Snappy block at byte {position} is corrupt: {error}") from None
    return text


def _snappy_text_length(block: bytes) -> tuple[int, int] | None:
    """The length of the text, a varint at the start of a block, and of the varint."""
    value = 0
    for index, byte in enumerate(block[:5]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, index + 1
    return None


def _uint32(data: bytes, position: int) -> int | None:
    return struct.unpack_from(">I", data, position)[0] if position + 4 <= len(data) else None


# --- ZIP -------------------------------------------------------------------------------------------------------------


def _only_entry(data: bytes) -> zipfile.ZipInfo | None:
    """The entry of a ZIP that has one, if the archive is all that the bytes hold."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            end = data.rfind(ZIP_END) + _ZIP_END_BYTES + len(archive.comment)
    except _CORRUPT:
        return None
    is_all = end == len(data) and all(entry.header_offset == 0 for entry in entries)
    return entries[0] if len(entries) == 1 and is_all else None


def _read_zip(data: bytes, limit: int) -> Iterator[bytes]:
    entry = _only_entry(data)
    assert entry is not None, "the layer was told by its entry"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(entry) as file:
            text = file.read(limit + 1)  # and its checksum is looked at when it has been read to its end
    except _CORRUPT as error:
        raise UnreadableError(f"the ZIP entry {entry.filename!r} cannot be read: {error}") from None
    yield text
