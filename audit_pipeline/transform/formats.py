"""From the bytes of a raw object to its text: plain, or inside one or two layers of compression.

The format is told by the first bytes, never by the name (docs/design.md, "Objects").
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import pyarrow as pa
import zstandard
from zlib_ng import zlib_ng

__all__ = ["Decompressed", "decompress"]

_MAX_LAYERS: Final = 2
_SLACK_BYTES: Final = 64 << 10
_GZIP: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
#: A frame, and the frames that a reader has to skip (RFC 8878, section 3.1).
_ZSTD: Final = (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)))
#: snappy-java's stream, which is Firehose's Snappy: this, and two version numbers of four bytes.
_SNAPPY_JAVA: Final = b"\x82SNAPPY\0"
_SNAPPY_JAVA_HEADER: Final = 16
_ZIP: Final = b"PK\x03\x04"
#: The record at the end of an archive, without its comment.
_ZIP_END: Final = b"PK\x05\x06"
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

#: Other formats by their first bytes; none of them begins a JSON text.
_FOREIGN: Final = (
    (b"PAR1", "Parquet"),
    (b"PARE", "encrypted Parquet"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"ARROW1", "Arrow IPC"),
    (b"SEQ", "a Hadoop SequenceFile"),
    (b"\xe0\x01\x00\xea", "Amazon Ion"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy in its framing format"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (_ZIP_END, "a ZIP without entries"),
    (_ZIP, "a ZIP that is cut, has bytes behind it, or not just one of entries"),
    (b"\x78\x01", "zlib"),
    (b"\x78\x5e", "zlib"),
    (b"\x78\x9c", "zlib"),
    (b"\x78\xda", "zlib"),
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"<?xml", "XML"),
    (b"%PDF", "PDF"),
)
_JSON_STARTS: Final = (b"{", b"[", b'"', b" ", b"\t", b"\r", b"\n")
#: Which of the first four bytes are zero in a text without a byte order mark that begins with an ASCII character.
_WIDE_TEXTS: Final[Mapping[tuple[bool, ...], str]] = {
    (True, True, True, False): "UTF-32",
    (False, True, True, True): "UTF-32",
    (True, False, True, False): "UTF-16",
    (False, True, False, True): "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Decompressed:
    """``text`` is what can be trusted; ``unreadable`` says why the rest of the object could not be read."""

    text: bytes
    unreadable: str | None = None


class _UnreadableError(Exception):
    """Why nothing more of a stream can be used."""


class _TooLargeError(Exception):
    """The text is longer than the limit."""


#: The parts of a layer's text, in order; :class:`_UnreadableError` after the last that can be used.
_Reader = Callable[[bytes, int], Iterator[bytes]]


def decompress(data: bytes, limit: int) -> Decompressed:
    """The text of an object, of ``limit`` bytes at most.

    A stream that just ends gives what could be decoded. A part that is corrupt gives nothing, nor does what follows it.
    A text longer than the limit, a third layer, and any other format that is known by its first bytes give nothing.
    """
    text, layers, problems = data, list[str](), list[str]()
    try:
        while (layer := _layer_of(text)) is not None:
            name, reader = layer
            layers.append(name)
            if len(layers) > _MAX_LAYERS:
                return Decompressed(b"", f"{' in '.join(reversed(layers))}: over {_MAX_LAYERS} layers are not read")
            # a layer in between may be a little longer than the text that it packs
            text, problem = _read_layer(reader, text, limit + limit // 8 + _SLACK_BYTES)
            problems += [problem] if problem else []
        if len(text) > limit:
            raise _TooLargeError
    except _TooLargeError:
        return Decompressed(
            b"", f"too large: the object holds more than {limit:,} bytes of text (AUDIT_MAX_OBJECT_TEXT_BYTES)"
        )
    foreign = _foreign_format(text)
    if foreign:
        where = "".join(f" in {name}" for name in reversed(layers))
        return Decompressed(b"", f"{foreign}{where}, which is not read: an object must hold JSON text")
    return Decompressed(text, "; ".join(problems) or None)


def _read_layer(reader: _Reader, data: bytes, limit: int) -> tuple[bytes, str | None]:
    parts: list[bytes] = []
    problem = None
    try:
        for part in reader(data, limit):
            parts.append(part)
            limit -= len(part)
            if limit < 0:
                raise _TooLargeError
    except _UnreadableError as error:
        problem = str(error)
    return parts[0] if len(parts) == 1 else b"".join(parts), problem


def _new_gzip_decoder() -> Any:
    return zlib_ng.decompressobj(wbits=_GZIP_WBITS)


def _new_zstd_decoder() -> Any:
    return zstandard.ZstdDecompressor().decompressobj()


def _layer_of(data: bytes) -> tuple[str, _Reader] | None:
    if data.startswith(_GZIP):
        return "gzip", partial(_read_members, "gzip member", _new_gzip_decoder, _GZIP_STEP)
    if data.startswith(_ZSTD):
        return "zstd", partial(_read_members, "zstd frame", _new_zstd_decoder, _ZSTD_STEP)
    if data.startswith(_SNAPPY_JAVA):
        return "Snappy", _read_snappy_java
    if data.startswith(_ZIP) and _only_entry(data) is not None:
        return "ZIP", _read_zip
    if _is_hadoop_snappy(data):
        return "Hadoop Snappy", _read_hadoop_snappy
    return None


def _foreign_format(text: bytes) -> str | None:
    if text.startswith(b"{") and not text.startswith(b"{\0"):
        return None  # nearly every object, and most are small: to compare them with all formats would take a while
    for magic, name in _FOREIGN:
        if text.startswith(magic):
            return name
    begins_json = text[:4].lstrip(b"\0")[:1] in _JSON_STARTS
    return _WIDE_TEXTS.get(tuple(byte == 0 for byte in text[:4])) if begins_json else None


# --- gzip, zstd ------------------------------------------------------------------------------------------------------


def _read_members(what: str, new_decoder: Callable[[], Any], step: int, data: bytes, limit: int) -> Iterator[bytes]:
    """Each member's text, once it is known whole, with the right checksum; of one that just ends, what there is."""
    position, number = 0, 0
    while (position := _after_padding(data, position)) < len(data):
        start, number = position, number + 1
        try:
            text, position, is_whole = _read_member(new_decoder(), step, data, start, limit)
        except _CORRUPT as error:
            raise _UnreadableError(f"{what} {number} at byte {start} is corrupt: {error}") from None
        limit -= len(text)
        yield text
        if not is_whole:
            raise _UnreadableError(f"the stream ends in the middle of {what} {number}, which starts at byte {start}")


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
            raise _TooLargeError
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
            raise _UnreadableError(f"the stream ends in the middle of the Snappy block at byte {position}")
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
                raise _UnreadableError(f"the stream ends in the middle of the Snappy block at byte {start}")
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
        raise _UnreadableError(f"the Snappy block at byte {position} is corrupt: it has no length")
    if claimed[0] > limit:
        raise _TooLargeError
    try:
        text: bytes = pa.decompress(block, decompressed_size=claimed[0], codec="snappy", asbytes=True)
    except _CORRUPT as error:
        raise _UnreadableError(f"the Snappy block at byte {position} is corrupt: {error}") from None
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
            end = data.rfind(_ZIP_END) + _ZIP_END_BYTES + len(archive.comment)
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
        raise _UnreadableError(f"the ZIP entry {entry.filename!r} cannot be read: {error}") from None
    yield text
