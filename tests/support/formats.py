"""Objects as Firehose and others write them: a text packed into each format that docs/design.md names ("Objects").

Nothing here reads: what the product makes of these bytes is for the tests to say.
"""

import gzip
import io
import struct
import zipfile
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import zstandard

__all__ = [
    "FIREHOSE_SNAPPY_MAGIC",
    "OTHER_FORMATS",
    "PACKERS",
    "ZSTD_MAGIC",
    "firehose_snappy",
    "gzip_member",
    "gzip_members",
    "hadoop_snappy",
    "zip_archive",
    "zip_of_one",
    "zstd_frame",
]

FIREHOSE_SNAPPY_MAGIC: Final = bytes.fromhex("82 53 4e 41 50 50 59 00")
ZSTD_MAGIC: Final = bytes.fromhex("28 b5 2f fd")


def gzip_member(data: bytes, level: int = 9) -> bytes:
    return gzip.compress(data, level, mtime=0)


def gzip_members(pieces: Iterable[bytes], between: bytes = b"") -> bytes:
    """One member a piece, each followed by ``between``."""
    return b"".join(gzip_member(piece) + between for piece in pieces)


def _snappy_block(data: bytes) -> bytes:
    block: bytes = pa.compress(data, codec="snappy", asbytes=True)
    return block


def firehose_snappy(data: bytes, block_size: int = 32 << 10) -> bytes:
    """snappy-java's stream: a header of 16 bytes, then blocks, each after its length (big-endian)."""
    blocks = [_snappy_block(data[at : at + block_size]) for at in range(0, len(data), block_size)]
    header = FIREHOSE_SNAPPY_MAGIC + struct.pack(">II", 1, 1)
    return header + b"".join(struct.pack(">I", len(block)) + block for block in blocks)


def hadoop_snappy(data: bytes, block_size: int = 256 << 10, chunk_size: int = 64 << 10) -> bytes:
    """Hadoop's BlockCompressorStream: of each block the length of its text, then chunks, each after its length."""
    stream = b""
    for at in range(0, len(data), block_size):
        block = data[at : at + block_size]
        stream += struct.pack(">I", len(block))
        for start in range(0, len(block), chunk_size):
            chunk = _snappy_block(block[start : start + chunk_size])
            stream += struct.pack(">I", len(chunk)) + chunk
    return stream


class _Unseekable(io.RawIOBase):
    """A sink like a socket, so that the archive is written as a stream: sizes stand behind an entry, not before it."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self.written += bytes(data)
        return len(data)


def zip_archive(
    entries: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED, streamed: bool = False
) -> bytes:
    sink = _Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:  # type: ignore[arg-type]
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return sink.written if isinstance(sink, _Unseekable) else sink.getvalue()


def zip_of_one(data: bytes) -> bytes:
    """As a stream of Java's writes it."""
    return zip_archive([("data", data)], streamed=True)


def zstd_frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


#: Every format that is opened, by name; each packs a text whole.
PACKERS: Final = {
    "gzip": gzip_member,
    "Firehose Snappy": firehose_snappy,
    "Hadoop Snappy": hadoop_snappy,
    "ZIP with one entry": zip_of_one,
    "zstd": zstd_frame,
}

_TEXT: Final = b'{"id":"a","source":"shop"}'

#: Formats that are known by their first bytes and are not opened: the name that a message must hold, and an object.
OTHER_FORMATS: Final = {
    "Parquet": b"PAR1" + bytes(40) + b"PAR1",
    "Avro": b"Obj\x01" + bytes(40),
    "ORC": b"ORC" + bytes(40),
    "ZIP": zip_archive([("a", _TEXT), ("b", _TEXT)]),
    "UTF-16": b"\xff\xfe" + _TEXT.decode().encode("utf-16-le"),
}
