"""How objects are packed (docs/design.md, "Objects"): a statement a test, with the expected values written out.

interface: the limit of an object's text is the setting ``max_object_text_bytes`` (``AUDIT_MAX_OBJECT_TEXT_BYTES``).
interface: the Message of an ``unreadable_object`` names a format as this module spells it, and holds "too large" where
the limit is the cause, "corrupt" where a stream is invalid.
"""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
import zstandard

from audit_pipeline.settings import Settings
from tests.support.formats import (
    FIREHOSE_SNAPPY_MAGIC,
    OTHER_FORMATS,
    PACKERS,
    firehose_snappy,
    gzip_member,
    gzip_members,
    hadoop_snappy,
    zip_archive,
    zip_of_one,
    zstd_frame,
)
from tests.support.lake import DAY1, Lake, entity, event, ids, key, reasons
from tests.support.rules import objects, only, read

Pack = Callable[[bytes], bytes]

THREE = (event("a") + event("b", entity(after='"é😀"')) + event("c")).encode()


def assert_unreadable(lake: Lake, data: bytes, *names: str) -> None:
    """The object is one record that holds its bytes and these words, no event, and not a row."""
    assert read(lake, data)["read"] == 0
    record = only(lake.quarantine())
    assert (record["Reason"], record["RawKey"], record["Raw"]) == ("unreadable_object", key(DAY1), data)
    assert (record["Offset"], record["EntityIndex"], record["EventId"], record["Source"]) == (None, None, None, None)
    for name in names:
        assert name in record["Message"]
    assert lake.rows() == []
    assert lake.manifest()["objects"] == objects(1, unreadable=1)
    assert lake.manifest()["unreadable_bytes"] == len(data)


# === What Firehose writes, and zstd =================================================================================


@pytest.mark.parametrize("name", PACKERS)
def test_each_format_that_firehose_writes_is_opened_and_zstd_too(lake: Lake, name: str) -> None:
    counts = read(lake, PACKERS[name](THREE))
    assert ids(lake.rows()) == ["a", "b", "c"]
    assert [row["After"] for row in lake.rows()] == [None, '"é😀"', None]
    assert counts == {"read": 3, "kept": 3, "duplicate": 0, "deferred": 0, "quarantined": 0}
    assert lake.manifest()["objects"] == objects(1)
    assert lake.manifest()["unreadable_bytes"] == 0


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("ending", ["", ".json", ".gz", ".snappy", ".zip", ".parquet"])
def test_the_first_bytes_tell_the_format_not_the_name(lake: Lake, name: str, ending: str) -> None:
    lake.write(key(DAY1, name=f"object{ending}"), PACKERS[name](THREE))
    lake.run()
    assert ids(lake.rows()) == ["a", "b", "c"]


@pytest.mark.parametrize("name", PACKERS)
def test_an_offset_counts_the_bytes_of_the_decompressed_text(lake: Lake, name: str) -> None:
    read(lake, PACKERS[name](event("é").encode() + b"\n{broken\n" + event("b").encode()))
    record = only(lake.quarantine())
    assert (record["Offset"], record["Raw"]) == (len(event("é").encode()) + 1, b"{broken")


@pytest.mark.parametrize("name", PACKERS)
def test_an_object_that_packs_nothing_holds_nothing(lake: Lake, name: str) -> None:
    assert read(lake, PACKERS[name](b""))["read"] == 0
    assert lake.manifest()["objects"] == objects(1)
    assert lake.quarantine() == []


@pytest.mark.parametrize("outer", PACKERS)
@pytest.mark.parametrize("inner", PACKERS)
def test_a_second_layer_inside_the_first_is_opened_too(lake: Lake, outer: str, inner: str) -> None:
    read(lake, PACKERS[outer](PACKERS[inner](THREE)))
    assert ids(lake.rows()) == ["a", "b", "c"]
    assert lake.manifest()["objects"] == objects(1)
    assert lake.quarantine() == []


def test_records_that_producers_compressed_and_firehose_compressed_again_are_one_stream(lake: Lake) -> None:
    """Each record is a gzip member of its own, with a delimiter behind it, and all of them lie in another gzip."""
    read(lake, gzip_member(gzip_members([event(f"e{n}").encode() for n in range(5)], b"\n")))
    assert ids(lake.rows()) == [f"e{n}" for n in range(5)]
    assert lake.quarantine() == []


def test_the_layers_are_of_the_whole_stream_not_of_a_member(lake: Lake) -> None:
    inner = gzip_member(THREE)
    read(lake, gzip_members([inner[:7], inner[7:40], inner[40:]]))
    assert ids(lake.rows()) == ["a", "b", "c"]


def test_a_third_layer_is_not_opened_and_does_not_vanish(lake: Lake) -> None:
    assert_unreadable(lake, gzip_member(gzip_member(gzip_member(THREE))), "gzip")


# --- gzip in several members ---


PADDINGS = [b"\n", b"\r\n", b" ", b"\t", b"\0", bytes(600), b"\n\0 \n", b" \t\r\n" * 50]


@pytest.mark.parametrize("between", PADDINGS)
def test_white_space_and_zero_bytes_between_and_after_gzip_members_are_skipped(lake: Lake, between: bytes) -> None:
    read(lake, gzip_members([event(f"e{n}").encode() for n in range(5)], between))
    assert ids(lake.rows()) == [f"e{n}" for n in range(5)]
    assert lake.manifest()["objects"] == objects(1)
    assert lake.quarantine() == []


def test_what_is_skipped_between_members_is_no_part_of_the_text(lake: Lake) -> None:
    text = event("a", entity(after='"in two"'))
    at = text.index("two")
    read(lake, gzip_members([text[:at].encode(), text[at:].encode()], b"\n"))
    assert only(lake.rows())["After"] == '"in two"'


def test_an_offset_does_not_count_what_is_skipped_between_members(lake: Lake) -> None:
    read(lake, gzip_members([event("a").encode(), b"{broken"], b"\r\n\0"))
    assert only(lake.quarantine())["Offset"] == len(event("a"))


@pytest.mark.parametrize("junk", [b"\nx", b"\0\0{}", b" \x1f", b"\n\x1f\x8b\x07"])
def test_anything_else_behind_the_padding_makes_one_record(lake: Lake, junk: bytes) -> None:
    read(lake, gzip_member(event("a").encode()) + junk)
    assert ids(lake.rows()) == ["a"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]
    assert lake.manifest()["objects"] == objects(1, unreadable=1)


def test_white_space_between_the_members_of_a_cut_stream_costs_nothing_else(lake: Lake) -> None:
    members = gzip_members([event("a").encode(), event("b").encode(), event("c").encode()], b"\n")
    read(lake, members[:-12])
    assert ids(lake.rows())[:2] == ["a", "b"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]


# --- Snappy ---


@pytest.mark.parametrize("block_size", [1, 7, 100, 1 << 20])
def test_firehose_snappy_may_have_blocks_of_any_size(lake: Lake, block_size: int) -> None:
    read(lake, firehose_snappy(THREE, block_size))
    assert ids(lake.rows()) == ["a", "b", "c"]


@pytest.mark.parametrize(("block_size", "chunk_size"), [(10, 10), (100, 7), (1 << 20, 100), (1 << 20, 1 << 20)])
def test_hadoop_snappy_may_have_blocks_and_chunks_of_any_size(lake: Lake, block_size: int, chunk_size: int) -> None:
    read(lake, hadoop_snappy(THREE, block_size, chunk_size))
    assert ids(lake.rows()) == ["a", "b", "c"]


def test_copies_inside_a_block_are_decoded(lake: Lake) -> None:
    text = event("a", entity(after='"' + "ab" * 40_000 + "abcdefgh" * 9_000 + '"'))
    for hour, pack in enumerate((firehose_snappy, hadoop_snappy)):
        lake.write(key(DAY1, hour), pack(text.encode()))
    lake.run()
    assert only(lake.rows())["After"] == '"' + "ab" * 40_000 + "abcdefgh" * 9_000 + '"'
    assert lake.manifest()["events"]["duplicate"] == 1


@pytest.mark.parametrize(
    "data", [b"\0", b"\0\0\0\x05", b"\0\0\0\x05\0\0\0\xffabc", b"\0\0\0\x05\0\0\0\x03\xff\xff\xff{}"]
)
def test_a_first_byte_of_zero_whose_lengths_do_not_fit_is_a_text_that_is_not_json(lake: Lake, data: bytes) -> None:
    read(lake, data)
    assert reasons(lake.quarantine()) == ["not_json"]
    assert lake.manifest()["objects"] == objects(1)


# --- ZIP ---


ZIPS = {
    "stored": zip_archive([("x", THREE)], zipfile.ZIP_STORED),
    "deflated": zip_archive([("x", THREE)]),
    "deflated as a stream": zip_of_one(THREE),
    "stored as a stream": zip_archive([("x", THREE)], zipfile.ZIP_STORED, streamed=True),
    "in a folder": zip_archive([("a/b/c.json", THREE)]),
}


@pytest.mark.parametrize("name", ZIPS)
def test_a_zip_with_one_entry_is_opened(lake: Lake, name: str) -> None:
    read(lake, ZIPS[name])
    assert ids(lake.rows()) == ["a", "b", "c"]


@pytest.mark.parametrize("entries", [2, 3])
def test_a_zip_with_several_entries_is_unreadable_and_named(lake: Lake, entries: int) -> None:
    assert_unreadable(lake, zip_archive([(f"{n}.json", THREE) for n in range(entries)]), "ZIP", "entries")


def test_an_encrypted_zip_is_unreadable(lake: Lake) -> None:
    data = bytearray(zip_archive([("x", THREE)]))
    data[6] |= 1  # the flag in the entry's header, and in the list of entries
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    assert_unreadable(lake, bytes(data))


# --- zstd ---


def zstd_stream(data: bytes) -> bytes:
    """With a checksum, and without the size that a frame may tell."""
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return compressor.compress(data) + compressor.flush()


def test_zstd_may_not_tell_its_size_and_have_a_checksum(lake: Lake) -> None:
    read(lake, zstd_stream(THREE))
    assert ids(lake.rows()) == ["a", "b", "c"]


def test_several_zstd_frames_are_one_stream(lake: Lake) -> None:
    read(lake, zstd_frame(THREE[:40]) + zstd_stream(THREE[40:300]) + zstd_frame(b"") + zstd_frame(THREE[300:]))
    assert ids(lake.rows()) == ["a", "b", "c"]


# === What is not opened =============================================================================================


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"detail": [THREE.decode()]}), sink)
    return sink.getvalue()


def orc_file() -> bytes:
    sink = io.BytesIO()
    orc.write_table(pa.table({"detail": [THREE.decode()]}), sink)
    return sink.getvalue()


def avro() -> bytes:
    """A container with its header: metadata of one entry, and the mark between blocks."""
    schema = b'{"type":"string"}'
    return b"Obj\x01\x02\x16avro.schema" + bytes([len(schema) * 2]) + schema + b"\0" + bytes(16)


#: As the design lists them.
KNOWN = OTHER_FORMATS | {"Parquet": parquet(), "ORC": orc_file(), "Avro": avro()}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_format_that_is_not_opened_is_unreadable_by_its_name(lake: Lake, name: str) -> None:
    assert_unreadable(lake, KNOWN[name], name)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("outer", ["gzip", "Firehose Snappy", "zstd"])
def test_inside_a_layer_too(lake: Lake, name: str, outer: str) -> None:
    assert_unreadable(lake, PACKERS[outer](KNOWN[name]), name)


#: More that Firehose's conversions, other tools and failed uploads leave: the name, and the object.
MORE = [
    ("UTF-16", ("\ufeff" + THREE.decode()).encode("utf-16-be")),
    ("UTF-16", THREE.decode().encode("utf-16-le")),
    ("UTF-16", THREE.decode().encode("utf-16-be")),
    ("XML", b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"),
    ("bzip2", bz2.compress(THREE)),
    ("xz", lzma.compress(THREE)),
    ("LZ4", pa.compress(THREE, codec="lz4", asbytes=True)),
]


@pytest.mark.parametrize(("name", "data"), MORE, ids=[f"{name} {n}" for n, (name, _) in enumerate(MORE)])
def test_so_are_others(lake: Lake, name: str, data: bytes) -> None:
    assert_unreadable(lake, data, name)


def test_an_unreadable_format_costs_no_other_object(lake: Lake) -> None:
    for number, data in enumerate(KNOWN.values()):
        lake.write(key(DAY1, 1, f"{number}"), data)
    lake.write(key(DAY1, 1, "z"), gzip_member(THREE))
    lake.run()
    assert ids(lake.rows()) == ["a", "b", "c"]
    assert lake.manifest()["objects"] == objects(len(KNOWN) + 1, unreadable=len(KNOWN))
    assert lake.manifest()["unreadable_bytes"] == sum(map(len, KNOWN.values()))


@pytest.mark.parametrize("data", [b"PAR", b"Ob", b"OR", b"P", b"\x82SNAPP", b"\x28\xb5\x2f", b"\xff"])
def test_fewer_bytes_than_a_format_is_known_by_are_a_text_that_is_not_json(lake: Lake, data: bytes) -> None:
    read(lake, data)
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("not_json", data)]


# === Too large ======================================================================================================


def test_the_limit_of_a_text_is_a_gibibyte_by_default() -> None:
    assert Settings.model_fields["max_object_text_bytes"].default == 1 << 30


PACKED: dict[str, Pack] = {"plain": bytes, **PACKERS, "gzip within gzip": lambda data: gzip_member(gzip_member(data))}


@pytest.mark.parametrize("name", PACKED)
def test_a_text_as_long_as_the_limit_is_read(lake: Lake, name: str) -> None:
    lake.settings = {"max_object_text_bytes": len(THREE)}
    read(lake, PACKED[name](THREE))
    assert ids(lake.rows()) == ["a", "b", "c"]


@pytest.mark.parametrize("name", PACKED)
def test_a_longer_one_is_too_large_and_not_corrupt_whatever_the_encoding(lake: Lake, name: str) -> None:
    lake.settings = {"max_object_text_bytes": len(THREE) - 1}
    lake.write(key(DAY1, name="other"), event("other"))
    data = PACKED[name](THREE)
    counts = read(lake, data)
    assert ids(lake.rows()) == ["other"]
    assert counts == {"read": 1, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 0}
    record = only(lake.quarantine())
    assert (record["Reason"], record["Raw"]) == ("unreadable_object", data)
    assert "too large" in record["Message"]
    assert "corrupt" not in record["Message"]
    # what to do: which setting, and how long the text may be
    assert "AUDIT_MAX_OBJECT_TEXT_BYTES" in record["Message"]
    assert f"{len(THREE) - 1:,}" in record["Message"] or str(len(THREE) - 1) in record["Message"]
    assert lake.manifest()["objects"] == objects(2, unreadable=1)
    assert lake.manifest()["unreadable_bytes"] == len(data)


def test_members_are_counted_together(lake: Lake) -> None:
    lake.settings = {"max_object_text_bytes": len(THREE) - 1}
    read(lake, gzip_members([THREE[:200], THREE[200:]]))
    assert "too large" in only(lake.quarantine())["Message"]


def test_a_small_object_of_a_huge_text_is_refused_before_it_fills_the_memory(lake: Lake) -> None:
    """Decoding stops at the limit, and does not find out first how long the text is."""
    lake.settings = {"max_object_text_bytes": 1 << 20}
    huge = gzip.compress(bytes(64 << 20), mtime=0)
    assert len(huge) < 1 << 20
    read(lake, gzip_member(huge))
    assert "too large" in only(lake.quarantine())["Message"]


# === Damage =========================================================================================================
# Of gzip, the tests of the rules have it all; of the other formats the design only says that nothing vanishes.


EVENTS = [event(f"e{n:02}", entity(after='"' + "x" * 50 + f'{n}"')) for n in range(20)]
BLOCKS: dict[str, Pack] = PACKERS | {
    "Firehose Snappy": lambda data: firehose_snappy(data, 500),
    "Hadoop Snappy": lambda data: hadoop_snappy(data, 1000, 500),
    "zstd": zstd_stream,
}


def assert_damage_is_seen(lake: Lake) -> None:
    """One record, one unreadable object, and of the events a beginning, each whole."""
    found = ids(lake.rows())
    assert found == [f"e{n:02}" for n in range(len(found))]
    assert reasons(lake.quarantine()) == ["unreadable_object"]
    assert lake.manifest()["objects"] == objects(1, unreadable=1)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_cut_object_is_unreadable_in_every_format(lake: Lake, name: str, share: float) -> None:
    data = BLOCKS[name]("".join(EVENTS).encode())
    read(lake, data[: int(len(data) * share)])
    assert_damage_is_seen(lake)


def corrupted(name: str, data: bytes) -> bytes:
    changed = bytearray(data)
    match name:
        case "Firehose Snappy":
            changed[16 + 4] ^= 0xFF  # the first block's own length
        case "Hadoop Snappy":
            # the second chunk's own length, behind the first
            changed[8 + struct.unpack_from(">I", data, 4)[0] + 4] ^= 0x7F
        case _:
            changed[len(changed) // 2] ^= 0x55
    return bytes(changed)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_corrupt_object_is_unreadable_in_every_format(lake: Lake, name: str) -> None:
    read(lake, corrupted(name, BLOCKS[name]("".join(EVENTS).encode())))
    assert_damage_is_seen(lake)


def test_damage_in_the_inner_layer_is_as_in_the_outer(lake: Lake) -> None:
    """gzip that stores its text, so that a cut of the stream is a cut of the text."""
    inner = gzip.compress((event("a") + "\n" + event("b")).encode(), 0, mtime=0)
    at = inner.index(b'{"id":"b"') + 12
    read(lake, gzip_member(inner[:at]))
    assert ids(lake.rows()) == ["a"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]
    assert lake.manifest()["objects"] == objects(1, unreadable=1)


def test_of_a_corrupt_inner_layer_nothing_is_used(lake: Lake) -> None:
    inner = bytearray(gzip_member(THREE))
    inner[-8] ^= 1  # the checksum
    assert_unreadable(lake, gzip_member(bytes(inner)), "corrupt")


@pytest.mark.parametrize("first", PACKERS)
@pytest.mark.parametrize("second", [*PACKERS, "plain"])
def test_what_lies_behind_the_first_stream_never_vanishes(lake: Lake, first: str, second: str) -> None:
    """Objects of a day that a tool put together: each event is a row, or the object is unreadable."""
    behind = event("b").encode() if second == "plain" else PACKERS[second](event("b").encode())
    read(lake, PACKERS[first](event("a").encode()) + behind)
    found = ids(lake.rows())
    if found != ["a", "b"]:
        assert found in (["a"], [])
        assert lake.manifest()["objects"] == objects(1, unreadable=1)
        assert reasons(lake.quarantine()) == ["unreadable_object"]


@pytest.mark.parametrize("name", ["gzip", "zstd", "Firehose Snappy", "Hadoop Snappy"])
def test_streams_of_one_format_put_together_are_one_stream(lake: Lake, name: str) -> None:
    read(lake, PACKERS[name](event("a").encode()) + PACKERS[name](event("b").encode()))
    assert ids(lake.rows()) == ["a", "b"]
    assert lake.quarantine() == []


def test_the_helpers_write_what_they_say() -> None:
    assert gzip.decompress(gzip_member(THREE)) == THREE
    assert zipfile.ZipFile(io.BytesIO(zip_of_one(THREE))).read("data") == THREE
    assert zstandard.ZstdDecompressor().decompressobj().decompress(zstd_frame(THREE)) == THREE
    assert firehose_snappy(THREE).startswith(FIREHOSE_SNAPPY_MAGIC)
    assert pq.read_table(io.BytesIO(parquet())).num_rows == 1
    assert orc.read_table(io.BytesIO(orc_file())).num_rows == 1


def test_the_bytes_of_an_unreadable_object_stay_in_the_quarantine(lake: Lake) -> None:
    lake.write(key(DAY1, 1, "a"), KNOWN["Parquet"])
    lake.write(key(DAY1, 1, "b"), KNOWN["UTF-16"])
    lake.run()
    assert {r["RawKey"]: r["Raw"] for r in lake.quarantine()} == {
        key(DAY1, 1, "a"): KNOWN["Parquet"],
        key(DAY1, 1, "b"): KNOWN["UTF-16"],
    }
