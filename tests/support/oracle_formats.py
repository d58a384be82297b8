"""What of an object may be used (docs/design.md, "Objects"): slow, plain, and sharing nothing with the product.

By the standard library, and ``zstandard`` for zstd; Snappy is decoded here, a byte at a time.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

GIB = 1 << 30

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
ZIP = b"PK\x03\x04"
FIREHOSE_SNAPPY = b"\x82SNAPPY\0"
#: Zero bytes and white space, which may stand between and after the members of a gzip object.
PADDING = b"\0 \t\n\r"

#: First bytes of formats that are known and not opened.
OTHERS = (
    *(b"PAR1", b"Obj\x01", b"ORC", b"PK\x05\x06", b"PK\x07\x08", b"BZh", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18"),
    *(b"7z\xbc\xaf\x27\x1c", b"\xff\x06\0\0sNaPpY", b"\xff\xfe", b"\xfe\xff", b"<?xml", b"%PDF-", b"SQLite format 3\0"),
)


class CorruptError(Exception):
    """Bytes that are not of the format that they begin as."""


def open_object(data: bytes, limit: int = GIB) -> tuple[bytes, bool]:
    """The text of an object, so far as it may be used, and whether that is all of it."""
    is_whole = True
    for _ in range(2):
        decode = decoder_of(data)
        if decode is None:
            break
        data, layer_is_whole = decode(data)
        is_whole = is_whole and layer_is_whole
    if decoder_of(data) or is_other_format(data) or len(data) > limit:
        return b"", False
    return data, is_whole


Decode = Callable[[bytes], tuple[bytes, bool]]


def decoder_of(data: bytes) -> Decode | None:
    """Told by the first bytes, not by the name."""
    if data.startswith(GZIP):
        return gunzip
    if data.startswith(ZSTD):
        return unzstd
    if data.startswith(FIREHOSE_SNAPPY):
        return unsnap_firehose
    if data.startswith(ZIP) and has_one_entry(data):
        return unzip
    if is_hadoop_snappy(data):
        return unsnap_hadoop
    return None


def is_other_format(data: bytes) -> bool:
    """Also UTF-16 without its mark: an opening bracket with a zero byte beside it, and another such letter."""
    is_utf_16 = len(data) >= 4 and (
        (data[0] == data[2] == 0 and data[1:2] in b"{[") or (data[1] == data[3] == 0 and data[0:1] in b"{[")
    )
    return is_utf_16 or data.startswith((ZIP, *OTHERS))


# --- gzip and zstd --------------------------------------------------------------------------------------------------


def gunzip(data: bytes) -> tuple[bytes, bool]:
    return join_members(data, lambda: zlib.decompressobj(wbits=31), zlib.error)


def unzstd(data: bytes) -> tuple[bytes, bool]:
    return join_members(data, lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError)


def join_members(data: bytes, new_decoder: Callable[[], Any], error: type[Exception]) -> tuple[bytes, bool]:
    """Of a stream that just ends what can be decoded; nothing of a corrupt member, nor of what follows it."""
    used = b""
    while data := data.lstrip(PADDING):
        member = new_decoder()
        try:
            decoded = member.decompress(data)
        except error:
            return used, False
        used += decoded
        if not member.eof:
            return used, False
        data = member.unused_data
    return used, True


# --- Snappy ---------------------------------------------------------------------------------------------------------


def unsnap_firehose(data: bytes) -> tuple[bytes, bool]:
    """Blocks, each after its length; a header may stand between them again, where streams were put together."""
    used, at = b"", 0
    while at < len(data):
        if data.startswith(FIREHOSE_SNAPPY, at):
            at += 16
            continue
        length = big_endian(data, at)
        if at + 4 + length > len(data):
            return used, False
        try:
            used += unsnap(data[at + 4 : at + 4 + length])
        except CorruptError:
            return b"", False
        at += 4 + length
    return used, at == len(data)


def is_hadoop_snappy(data: bytes) -> bool:
    """No magic: a first byte of 0, and lengths that fit."""
    if len(data) < 9 or data[0] != 0:
        return False
    block_size, chunk_length = struct.unpack(">II", data[:8])
    if not 0 < chunk_length <= len(data) - 8:
        return False
    try:
        chunk_size, _ = varint(data, 8)
    except CorruptError:
        return False
    return 0 < chunk_size <= block_size


def unsnap_hadoop(data: bytes) -> tuple[bytes, bool]:
    used, at = b"", 0
    while at < len(data):
        block_size, block, at = big_endian(data, at), b"", at + 4
        while len(block) < block_size:
            length = big_endian(data, at)
            if at + 4 + length > len(data):
                return used + block, False
            try:
                block += unsnap(data[at + 4 : at + 4 + length])
            except CorruptError:
                return b"", False
            at += 4 + length
        if len(block) != block_size:
            return b"", False
        used += block
    return used, at == len(data)


def big_endian(data: bytes, at: int) -> int:
    """The number of 4 bytes; of fewer, one that nothing can fit."""
    return struct.unpack_from(">I", data, at)[0] if at + 4 <= len(data) else len(data)


def varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data):
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return number, at
    raise CorruptError


def unsnap(block: bytes) -> bytes:
    """A Snappy block: literals, and copies of what was decoded."""
    size, at = varint(block, 0)
    decoded = bytearray()
    while at < len(block):
        tag, at = block[at], at + 1
        if tag & 3 == 0:
            extra = max(0, (tag >> 2) - 59)
            length = (int.from_bytes(block[at : at + extra], "little") if extra else tag >> 2) + 1
            at += extra
            if at + length > len(block):
                raise CorruptError
            decoded += block[at : at + length]
            at += length
            continue
        width = {1: 1, 2: 2, 3: 4}[tag & 3]
        if at + width > len(block):
            raise CorruptError
        distance = int.from_bytes(block[at : at + width], "little")
        at += width
        if tag & 3 == 1:
            length, distance = (tag >> 2 & 7) + 4, distance | (tag >> 5) << 8
        else:
            length = (tag >> 2) + 1
        if not 0 < distance <= len(decoded):
            raise CorruptError
        for _ in range(length):
            decoded.append(decoded[-distance])
    if len(decoded) != size:
        raise CorruptError
    return bytes(decoded)


# --- ZIP ------------------------------------------------------------------------------------------------------------


def has_one_entry(data: bytes) -> bool:
    """A cut archive has lost the list of its entries: how many there were is not known, and it is opened in vain."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError):
        return False
    entries = archive.infolist()
    # what stands before or behind the archive, which the list of entries does not know, must not vanish
    behind = data[data.rindex(b"PK\x05\x06") + 22 + len(archive.comment) :]
    return len(entries) == 1 and entries[0].header_offset == 0 and not behind.strip(PADDING)


def unzip(data: bytes) -> tuple[bytes, bool]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    try:
        return archive.read(archive.infolist()[0]), True
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError):
        return b"", False
