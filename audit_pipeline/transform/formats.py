"""From the bytes of a raw object to its text: plain, or inside one or two layers of compression.

The format is told by the first bytes, never by the name (docs/design.md, "Objects").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from audit_pipeline.transform.layers import ZIP, ZIP_END, Reader, TooLargeError, UnreadableError, layer_of

__all__ = ["Decompressed", "decompress"]

_MAX_LAYERS: Final = 2
_SLACK_BYTES: Final = 64 << 10

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
    (ZIP_END, "a ZIP without entries"),
    (ZIP, "a ZIP that is cut, has bytes behind it, or not just one of entries"),
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


def decompress(data: bytes, limit: int) -> Decompressed:
    """The text of an object, of ``limit`` bytes at most.

    A stream that just ends gives what could be decoded. A part that is corrupt gives nothing, nor does what follows it.
    A text longer than the limit, a third layer, and any other format that is known by its first bytes give nothing.
    """
    text, layers, problems = data, list[str](), list[str]()
    try:
        while (layer := layer_of(text)) is not None:
            name, reader = layer
            layers.append(name)
            if len(layers) > _MAX_LAYERS:
                return Decompressed(b"", f"{' in '.join(reversed(layers))}: over {_MAX_LAYERS} layers are not read")
            # a layer in between may be a little longer than the text that it packs
            text, problem = _read_layer(reader, text, limit + limit // 8 + _SLACK_BYTES)
            problems += [problem] if problem else []
        if len(text) > limit:
            raise TooLargeError
    except TooLargeError:
        return Decompressed(
            b"", f"too large: the object holds more than {limit:,} bytes of text (AUDIT_MAX_OBJECT_TEXT_BYTES)"
        )
    foreign = _foreign_format(text)
    if foreign:
        where = "".join(f" in {name}" for name in reversed(layers))
        return Decompressed(b"", f"{foreign}{where}, which is not read: an object must hold JSON text")
    return Decompressed(text, "; ".join(problems) or None)


def _read_layer(reader: Reader, data: bytes, limit: int) -> tuple[bytes, str | None]:
    parts: list[bytes] = []
    problem = None
    try:
        for part in reader(data, limit):
            parts.append(part)
            limit -= len(part)
            if limit < 0:
                raise TooLargeError
    except UnreadableError as error:
        problem = str(error)
    return parts[0] if len(parts) == 1 else b"".join(parts), problem


def _foreign_format(text: bytes) -> str | None:
    if text.startswith(b"{") and not text.startswith(b"{\0"):
        return None  # nearly every object, and most are small: to compare them with all formats would take a while
    for magic, name in _FOREIGN:
        if text.startswith(magic):
            return name
    begins_json = text[:4].lstrip(b"\0")[:1] in _JSON_STARTS
    return _WIDE_TEXTS.get(tuple(byte == 0 for byte in text[:4])) if begins_json else None
