"""From the bytes of a raw object to its text: gzip members, cuts, damage and padding."""

import gzip
import zlib
from typing import Any

import pytest

from tests.support.lake import DAY1, Lake, event, ids, key, reasons, zipped
from tests.support.rules import BOM, objects, only, read


def test_gzip_and_plain_json_are_told_by_the_first_bytes_not_by_the_name(lake: Lake) -> None:
    lake.write(key(DAY1, 1, "plain.gz"), event("plain"))
    lake.write(key(DAY1, 1, "gzip.json"), zipped(event("gzip")))
    lake.write(key(DAY1, 1, "no ending, ü, %41 & #"), event("odd name"))
    lake.run()
    assert ids(lake.rows()) == ["gzip", "odd name", "plain"]
    assert [i["key"] for i in lake.manifest()["inputs"]] == [
        key(DAY1, 1, name) for name in ("gzip.json", "no ending, ü, %41 & #", "plain.gz")
    ]


def test_several_gzip_members_are_one_stream(lake: Lake) -> None:
    text = event("a") + event("b") + event("c")
    pieces = [text[:10], text[10:200], "", text[200:]]
    assert read(lake, b"".join(map(zipped, pieces)))["kept"] == 3
    assert lake.manifest()["objects"] == objects(1)


@pytest.mark.parametrize("data", [b"", zipped(""), zipped("") * 2, b" \n\r\t\n", BOM.encode(), zipped(BOM + "\n")])
def test_an_empty_object_holds_nothing(lake: Lake, data: bytes) -> None:
    assert read(lake, data)["read"] == 0
    assert lake.manifest()["objects"] == objects(1)
    assert lake.quarantine() == []


def stored(text: str) -> bytes:
    """A gzip member that holds the text as it is, so that a cut of the stream is a cut of the text."""
    return gzip.compress(text.encode(), compresslevel=0, mtime=0)


def cut_after(text: str, wanted: str) -> bytes:
    member = stored(text)
    return member[: member.index(wanted.encode()) + len(wanted)]


def test_of_a_gzip_stream_that_just_ends_what_can_be_decoded_is_used(lake: Lake) -> None:
    cut = cut_after(event("a") + event("b") + event("c"), '{"id":"c","source"')
    counts = read(lake, cut)
    assert ids(lake.rows()) == ["a", "b"]
    assert counts == {"read": 2, "kept": 2, "duplicate": 0, "deferred": 0, "quarantined": 0}


def test_the_rest_of_a_cut_stream_with_the_text_it_cuts_off_is_one_record(lake: Lake) -> None:
    cut = cut_after(event("a") + "\n" + event("b"), '{"id":"b","source"')
    read(lake, cut)
    record = only(lake.quarantine())
    assert record.pop("Message")
    assert record == {
        "Reason": "unreadable_object",
        "RawKey": key(DAY1),
        "Offset": None,
        "EntityIndex": None,
        "EventId": None,
        "Source": None,
        "Raw": cut,
    }
    assert lake.manifest()["objects"] == objects(1, unreadable=1)


def test_a_text_that_is_whole_where_the_stream_ends_is_used(lake: Lake) -> None:
    read(lake, cut_after(event("a") + event("b"), event("b")))
    assert ids(lake.rows()) == ["a", "b"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_stream_cut_in_its_checksum_gives_all_its_events_and_one_record(lake: Lake, cut: int) -> None:
    read(lake, zipped(event("a") + event("b"))[:-cut])
    assert ids(lake.rows()) == ["a", "b"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]


@pytest.mark.parametrize("size", [2, 3, 9, 10, 11])
def test_a_stream_cut_in_its_header_gives_nothing_and_one_record(lake: Lake, size: int) -> None:
    assert read(lake, zipped(event("a"))[:size])["read"] == 0
    assert reasons(lake.quarantine()) == ["unreadable_object"]


@pytest.mark.parametrize("size", [1, 2, 9, 12])
def test_a_cut_in_the_header_of_a_later_member_leaves_the_members_before_it(lake: Lake, size: int) -> None:
    read(lake, zipped(event("a")) + zipped(event("b"))[:size])
    assert ids(lake.rows()) == ["a"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]


def test_broken_text_before_the_one_that_a_cut_stream_cuts_off_is_a_record_of_its_own(lake: Lake) -> None:
    counts = read(lake, cut_after("{broken\n" + event("a") + '[1,2]{"rest', '{"re'))
    assert reasons(lake.quarantine()) == ["not_json", "not_object", "unreadable_object"]
    assert counts == {"read": 3, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 2}


def with_bad_checksum(member: bytes) -> bytes:
    return member[:-8] + bytes([member[-8] ^ 1]) + member[-7:]


def with_bad_size(member: bytes) -> bytes:
    return member[:-1] + bytes([member[-1] ^ 1])


def with_bad_stream(member: bytes) -> bytes:
    # block type 3 does not exist
    return member[:10] + bytes([member[10] | 0b110]) + member[11:]


def with_bad_header(member: bytes) -> bytes:
    return member[:2] + b"\x07" + member[3:]


CORRUPTED = [with_bad_checksum, with_bad_size, with_bad_stream, with_bad_header]


@pytest.mark.parametrize("corrupt", CORRUPTED)
def test_of_a_corrupt_member_and_of_what_follows_nothing_is_used(lake: Lake, corrupt: Any) -> None:
    data = zipped(event("a")) + corrupt(zipped(event("b"))) + zipped(event("c"))
    counts = read(lake, data)
    assert ids(lake.rows()) == ["a"]
    assert counts["read"] == 1
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("unreadable_object", data)]
    assert lake.manifest()["objects"] == objects(1, unreadable=1)


@pytest.mark.parametrize("corrupt", CORRUPTED)
def test_of_an_object_whose_only_member_is_corrupt_nothing_is_used(lake: Lake, corrupt: Any) -> None:
    assert read(lake, corrupt(zipped(event("a") + event("b"))))["read"] == 0
    assert reasons(lake.quarantine()) == ["unreadable_object"]


def test_a_text_that_reaches_into_a_corrupt_member_is_part_of_the_one_record(lake: Lake) -> None:
    text = event("b")
    counts = read(lake, zipped(event("a") + text[:40]) + with_bad_checksum(zipped(text[40:])))
    assert ids(lake.rows()) == ["a"]
    assert counts == {"read": 1, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 0}
    assert reasons(lake.quarantine()) == ["unreadable_object"]


def test_bytes_after_the_last_member_that_are_neither_zero_nor_gzip_make_one_record(lake: Lake) -> None:
    read(lake, zipped(event("a")) + b"not a gzip member")
    assert ids(lake.rows()) == ["a"]
    assert reasons(lake.quarantine()) == ["unreadable_object"]


@pytest.mark.parametrize("zeros", [1, 7, 512, 100_000])
def test_zero_padding_after_the_last_member_is_ignored(lake: Lake, zeros: int) -> None:
    read(lake, zipped(event("a")) + zipped(event("b")) + bytes(zeros))
    assert ids(lake.rows()) == ["a", "b"]
    assert lake.quarantine() == []


def test_one_damaged_object_does_not_touch_the_others(lake: Lake) -> None:
    lake.write(key(DAY1, 1, "a"), zipped(event("a")))
    lake.write(key(DAY1, 1, "b"), with_bad_stream(zipped(event("b"))))
    lake.write(key(DAY1, 1, "c"), zipped(event("c"))[:-4])
    lake.write(key(DAY1, 1, "d"), event("d"))
    lake.run()
    assert ids(lake.rows()) == ["a", "c", "d"]
    assert lake.manifest()["objects"] == objects(4, unreadable=2)


def test_a_gzip_object_is_checked_against_its_own_checksum() -> None:
    """The helpers above damage what they say they damage."""
    member = zipped(event("a"))
    assert zlib.decompressobj(wbits=31).decompress(member) == event("a").encode()
    for corrupt in CORRUPTED:
        with pytest.raises(zlib.error):
            zlib.decompressobj(wbits=31).decompress(corrupt(member))
