"""The design's rules of part 5 from an object to its rows, a statement a test, with the expected values written out.

All of them are the kernel's, which is one function whatever the engine. On every engine, the examples and random days
hold it to them; the rules of what runs and engines do are in ``engines/test_rules.py``.
"""

import gzip
import json
import zlib
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit_pipeline.contract.columns import ROW_SCHEMA
from tests.support.lake import (
    DAY1,
    ENTITY,
    Lake,
    entity,
    event,
    ids,
    key,
    reasons,
    zipped,
)
from tests.support.rules import BOM, lines, only, pretty, raws, read

# === Part 5, objects ================================================================================================


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
    assert lake.manifest()["objects"] == {"read": 1, "unreadable": 0}


@pytest.mark.parametrize("data", [b"", zipped(""), zipped("") * 2, b" \n\r\t\n", BOM.encode(), zipped(BOM + "\n")])
def test_an_empty_object_holds_nothing(lake: Lake, data: bytes) -> None:
    assert read(lake, data)["read"] == 0
    assert lake.manifest()["objects"] == {"read": 1, "unreadable": 0}
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
    assert lake.manifest()["objects"] == {"read": 1, "unreadable": 1}


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
    assert lake.manifest()["objects"] == {"read": 1, "unreadable": 1}


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
    assert lake.manifest()["objects"] == {"read": 4, "unreadable": 2}


# === Part 5, splitting ==============================================================================================


TRICKY = entity(before='"}{"', after='"\\"}\\n{\\"source\\":1,\\"detail\\":2}"')
SPLITTINGS = {
    "concatenated": event("a", TRICKY) + event("b", TRICKY) + event("c"),
    "newlines": lines(event("a", TRICKY), event("b", TRICKY), event("c")),
    "CRLF": event("a") + "\r\n" + event("b") + "\r\n\r\n" + event("c"),
    "white space": " \t\n" + event("a") + "   " + event("b") + "\t" + event("c") + "\n\n",
    "pretty-printed": pretty(event("a", TRICKY)) + "\n" + pretty(event("b")) + pretty(event("c")),
    "all mixed": event("a") + pretty(event("b", TRICKY)) + "\n\n \t" + event("c"),
}


@pytest.mark.parametrize("name", SPLITTINGS)
def test_texts_may_follow_each_other_in_any_way(lake: Lake, name: str) -> None:
    assert read(lake, SPLITTINGS[name])["kept"] == 3
    assert ids(lake.rows()) == ["a", "b", "c"]
    assert lake.quarantine() == []


@pytest.mark.parametrize(
    "data", [BOM + event("a"), BOM + "\n" + event("a"), "\n" + BOM + event("a"), BOM + BOM + event("a") + BOM]
)
def test_a_byte_order_mark_is_skipped(lake: Lake, data: str) -> None:
    assert read(lake, data) == {"read": 1, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 0}


def test_a_byte_order_mark_between_texts_is_skipped(lake: Lake) -> None:
    read(lake, event("a") + BOM + event("b") + "\n" + BOM + event("c"))
    assert ids(lake.rows()) == ["a", "b", "c"]
    assert lake.quarantine() == []


#: Texts that are not JSON in themselves; each is put on a line of its own between two events.
BROKEN_TEXTS = [
    *("{", "}", "]", "[", ",", ":", '"', '"abc', "'a'", "{'a':1}", "{a:1}", '{"a"}', '{"a" 1}', '{"a":}', '{"a":1,}'),
    *('{"a":1 "b":2}', '{"a":1;"b":2}', '{1:2}', '{,}', "[1,]", "[,1]", "[1 2]", "[1,,2]", "[1}", '{"a":1]'),
    *("NaN", "Infinity", "-Infinity", "[NaN]", '{"a":NaN}', "undefined", "True", "tru", "nulll", "truefalse", "nul"),
    *("01", "-01", "00", "-", "+1", ".5", "1.", "1.e3", "1e", "1e+", "0x10", "1_000", "1a", "--1", "1.2.3", "[01]"),
    *('"\\x"', '"\\u12"', '"\\u12g4"', '"\\"', '"\\U0041"', '["\\ "]', "/* no */", "// no", "#", "garbage", "\\n", "`"),
    *('"\x00"', '"\x1f"', '"a\tb"', '["\x0b"]', "\x00", "\x00\x00\x00", "\x0b", "\x0c", "\u00a0", "\u2028", "é"),
    *('"\\ud800"', '"\\udc00"', '"\\udfff"', '"\\ud800\\ud800"', '"\\udc00\\ud800"', '"\\ud800x\\udc00"',),
    *('{"\\ud800":1}', '[["\\uDBFF"]]', '"\\ud800\\\\udc00"'),
]  # fmt: skip
BROKEN_BYTES = [
    *(b'"\xff"', b'"\x80"', b'"\xc3"', b'"\xc0\xaf"', b'"\xe2\x82"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b"\xff"),
    *(b'"\xf8\x88\x80\x80\x80"', b'{"\xfe":1}', b'[1,"\xe0\x80\xaf"]', b'"\xc1\xbf"', b'"\xed\xbf\xbf"', b"\xef\xbb"),
]


def test_a_text_that_is_not_json_is_one_record_and_the_events_around_it_are_not_affected(lake: Lake) -> None:
    broken = [text.encode() for text in BROKEN_TEXTS] + BROKEN_BYTES
    parts = [event("e000").encode()]
    for number, text in enumerate(broken, 1):
        parts += [text, event(f"e{number:03}").encode()]
    counts = read(lake, b"\n".join(parts))
    records = lake.quarantine()
    assert [r["Raw"] for r in records] == broken
    assert set(reasons(records)) == {"not_json"}
    assert [r["Offset"] for r in records] == [sum(len(p) + 1 for p in parts[:i]) for i in range(1, len(parts), 2)]
    assert ids(lake.rows()) == [f"e{n:03}" for n in range(len(broken) + 1)]
    assert counts["read"] == len(parts)
    assert counts["quarantined"] == len(broken)


#: Values that are not JSON, each as the ``after`` of an event that is sound otherwise.
BROKEN_VALUES = [
    *(b"NaN", b"-Infinity", b"01", b"-", b"1.", b".5", b"+1", b"1e", b"[1,]", b'{"a":1,}', b"{,}", b"tru", b"", b"1 2"),
    *(b'"\t"', b'"\n"', b'"\x00"', b'"\x1f"', b'"\\x"', b'"\\u00"', b'"\\ud800"', b'"\\udc00"', b'"\\udc00\\ud800"'),
    *(
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\xe2\x82"',
        b'"\xf4\x90\x80\x80"',
        b"\xef\xbb\xbf1",
        b"\xc2\xa01",
    ),
    *(b"'a'", b"{a:1}", b'{"a" 1}', b"/**/1", b"1//", b"\x0c1", b"(1)", b'{"\\ud800":1}', b'{"\xff":1}', b"TRUE"),
]


def test_one_bad_value_anywhere_makes_the_whole_text_not_json(lake: Lake) -> None:
    texts = [event("bad", entity(after="@@")).encode().replace(b"@@", value) for value in BROKEN_VALUES]
    data = b"".join(text + event(f"e{n:03}").encode() for n, text in enumerate(texts))
    read(lake, data)
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("not_json", text) for text in texts]
    assert ids(lake.rows()) == [f"e{n:03}" for n in range(len(texts))]


def test_not_json_in_an_unknown_field_counts_too(lake: Lake) -> None:
    text = event("a", top={"x": "[01]"})
    assert read(lake, text)["quarantined"] == 1
    assert reasons(lake.quarantine()) == ["not_json"]


def test_a_cut_text_is_one_record_wherever_it_is_cut(lake: Lake) -> None:
    text = event("cut", entity(before='{"a":[1,{"b":"}{"}]}', after='"\\u00e9\\n"'), detail={"actor": '{"type":1}'})
    cuts = [text[:size] for size in range(1, len(text))]
    read(lake, "\n".join(f"{cut}\n{event(f'e{n:03}')}" for n, cut in enumerate(cuts)))
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("not_json", cut.encode()) for cut in cuts]
    assert ids(lake.rows()) == [f"e{n:03}" for n in range(len(cuts))]


def test_an_event_may_start_right_after_broken_text(lake: Lake) -> None:
    read(lake, event("a") + "garbage" + event("b") + '{"cut":"of' + event("c") + "]" + event("d"))
    assert raws(lake.quarantine()) == ["garbage", '{"cut":"of', "]"]
    assert ids(lake.rows()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("before", [":", ",", "["])
def test_no_event_starts_right_after_a_colon_a_comma_or_a_bracket(lake: Lake, before: str) -> None:
    text = f"garbage{before}{event('inner')}"
    read(lake, text + "\n" + event("next"))
    assert raws(lake.quarantine()) == [text]
    assert ids(lake.rows()) == ["next"]


@pytest.mark.parametrize("before", [":\n", ",\n", "[\r\n", ", ", ": ", "[\t"])
def test_an_event_starts_at_the_start_of_a_line_and_after_white_space(lake: Lake, before: str) -> None:
    read(lake, f"garbage{before}{event('next')}")
    assert raws(lake.quarantine()) == [f"garbage{before.strip()}"]
    assert ids(lake.rows()) == ["next"]


@pytest.mark.parametrize(
    "inner",
    [
        '{"a":1}',
        "{}",
        '{"source":1}',
        '{"detail":{}}',
        '{"source":1,"detail":[}',
        '{"source":1,"detail":01}',
        '[{"source":1,"detail":2}]',
        '{"x":{"source":1,"detail":2}}',
        '"source" "detail"',
    ],
)
def test_an_event_starts_only_where_a_whole_object_with_source_and_detail_can_be_read(lake: Lake, inner: str) -> None:
    text = f"garbage {inner}"
    read(lake, f"{text}\n{event('next')}")
    assert raws(lake.quarantine()) == [text]
    assert ids(lake.rows()) == ["next"]


def test_an_object_with_source_and_detail_ends_broken_text_though_it_is_no_sound_event(lake: Lake) -> None:
    read(lake, 'garbage {"source":1,"detail":2}garbage')
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [
        ("not_json", b"garbage"),
        ("missing_field", b'{"source":1,"detail":2}'),
        ("not_json", b"garbage"),
    ]


def test_source_and_detail_may_be_written_with_escapes(lake: Lake) -> None:
    read(lake, "garbage" + event("a").replace('"source"', '"\\u0073ource"').replace('"detail"', '"detai\\u006C"'))
    assert ids(lake.rows()) == ["a"]


def test_an_array_of_events_that_is_cut_is_one_record(lake: Lake) -> None:
    text = f"[{event('a')},{event('b')},"
    assert read(lake, text)["read"] == 1
    assert raws(lake.quarantine()) == [text]


def test_trailing_white_space_is_no_part_of_the_raw_text_of_a_broken_one(lake: Lake) -> None:
    read(lake, f"{{broken \n\r\n\t{event('a')}{{again\n\n")
    assert raws(lake.quarantine()) == ["{broken", "{again"]


def test_white_space_inside_a_broken_text_stays(lake: Lake) -> None:
    read(lake, "{ broken  \n [1] ")
    assert raws(lake.quarantine()) == ["{ broken  \n [1]"]


@pytest.mark.parametrize(
    "text", ["[1,2]", "[]", '"text"', "12", "-0.5e+10", "true", "false", "null", '"\\u0000"', "[[{}]]"]
)
def test_a_json_text_that_is_no_object_is_not_object(lake: Lake, text: str) -> None:
    counts = read(lake, f"{event('a')}\n{text}\n{event('b')}")
    record = only(lake.quarantine())
    assert (record["Reason"], record["Raw"].decode(), record["EntityIndex"]) == ("not_object", text, None)
    assert record["Offset"] == len(event("a")) + 1
    assert counts == {"read": 3, "kept": 2, "duplicate": 0, "deferred": 0, "quarantined": 1}


def test_texts_that_are_no_objects_are_a_record_each(lake: Lake) -> None:
    read(lake, f'1 "a""b"[2]{event("a")}true\nnull{{}}3[]')
    assert raws(lake.quarantine()) == ["1", '"a"', '"b"', "[2]", "true", "null", "{}", "3", "[]"]
    assert reasons(lake.quarantine()) == ["not_object"] * 6 + ["missing_field"] + ["not_object"] * 2


def nested(levels: int) -> str:
    """A value of so many levels, objects and arrays in turn."""
    halves = ['{"a":', "["], ["}", "]"]
    opened = "".join(halves[0][n % 2] for n in range(levels))
    return opened + "1" + "".join(halves[1][n % 2] for n in reversed(range(levels)))


#: The event, detail, entities and the entity change are four levels around ``after``.
AROUND = 4


@pytest.mark.parametrize("levels", [256, 999, 1000])
def test_up_to_a_thousand_levels_of_nesting_work(lake: Lake, levels: int) -> None:
    value = nested(levels - AROUND)
    read(lake, event("a", entity(after=value)))
    assert [row["After"] for row in lake.rows()] == [value]


@pytest.mark.parametrize("levels", [1001, 1500, 100_000])
def test_over_a_thousand_levels_of_nesting_are_not_json(lake: Lake, levels: int) -> None:
    text = event("a", entity(after=nested(levels - AROUND)))
    read(lake, text + event("b"))
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_json", text)]
    assert ids(lake.rows()) == ["b"]


@pytest.mark.parametrize("opening", ["[", "{", '{"a":', "[{", '{"a": ', '{"source":1,"detail": ', "[[ {"])
def test_a_flood_of_opening_brackets_is_one_record(lake: Lake, opening: str) -> None:
    flood = (opening * 20_000).rstrip()
    read(lake, flood + "\n" + event("a"))
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_json", flood)]
    assert ids(lake.rows()) == ["a"]


def test_of_repeated_keys_the_last_counts_at_every_level(lake: Lake) -> None:
    text = (
        '{"id":7,"id":"a","source":[],"source":"shop","time":"no","time":"2026-05-01T10:00:00Z",'
        '"detail":{"entities":[]},"detail":{"action":"x","action":"y","actor":7,"actor":{"type":0,"type":1},'
        '"entities":7,"entities":[{"entity":[],"entity":{"id":null,"id":"1","name":{},"name":"n"},'
        '"parent":7,"parent":null,"before":{"x":1},"before":[2],"after":1,"after":null}]}}'
    )
    read(lake, text)
    row = only(lake.rows())
    found = [row[c] for c in ("Id", "source", "Action", "ActorType", "EntityId", "EntityName", "Before", "After")]
    assert found == ["a", "shop", "y", "User", "1", "n", "[2]", None]


def test_a_last_key_that_is_null_counts_too(lake: Lake) -> None:
    read(lake, event("a", entity(before="1").replace("}", ',"before":null}')) + event("b", top={"x": '1,"id":null'}))
    assert [row["Before"] for row in lake.rows()] == [None]
    assert reasons(lake.quarantine()) == ["missing_field"]


def test_a_key_written_with_escapes_is_the_same_key(lake: Lake) -> None:
    text = event("a", entity(before="1", after="2")).replace('"before"', '"\\u0062efore"').replace('"id"', '"\\u0069d"')
    read(lake, text.replace('"source"', '"source":"other","sourc\\u0065"'))
    row = only(lake.rows())
    assert (row["Id"], row["source"], row["EntityId"], row["Before"], row["After"]) == ("a", "shop", "1", "1", "2")


def test_keys_are_told_apart_by_case(lake: Lake) -> None:
    read(lake, event("a", detail={"Action": '"no"', "ACTION": '"no"'}))
    assert only(lake.rows())["Action"] is None


# === Part 5, event ==================================================================================================


@pytest.mark.parametrize("field", ["id", "source", "time", "detail"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing_field"),
        ("null", "missing_field"),
        ("17", "wrong_type"),
        ("true", "wrong_type"),
        ("[]", "wrong_type"),
    ],
)
def test_a_required_field_of_an_event(lake: Lake, field: str, value: str | None, reason: str) -> None:
    text = event("a", top={field: value})
    counts = read(lake, text)
    record = only(lake.quarantine())
    assert (record["Reason"], record["Raw"].decode(), record["EntityIndex"]) == (reason, text, None)
    assert counts == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 0, "quarantined": 1}


@pytest.mark.parametrize(
    ("entities", "reason"),
    [
        (None, "missing_field"),
        ("null", "missing_field"),
        ("{}", "wrong_type"),
        ('"x"', "wrong_type"),
        ("0", "wrong_type"),
        ("[]", "no_entities"),
        ("[ \n]", "no_entities"),
    ],
)
def test_entities_is_required_and_not_empty(lake: Lake, entities: str | None, reason: str) -> None:
    text = event("a", detail={"entities": entities})
    assert read(lake, text)["quarantined"] == 1
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [(reason, text)]


@pytest.mark.parametrize("field", ["id", "source", "time"])
def test_an_object_is_no_string(lake: Lake, field: str) -> None:
    read(lake, event("a", top={field: "{}"}))
    assert reasons(lake.quarantine()) == ["wrong_type"]


@pytest.mark.parametrize("value", ['"{}"', "1.5", "false"])
def test_detail_of_another_type_is_wrong_type(lake: Lake, value: str) -> None:
    read(lake, event("a", top={"detail": value}))
    assert reasons(lake.quarantine()) == ["wrong_type"]


def test_an_empty_id_is_missing(lake: Lake) -> None:
    read(lake, event("") + event("", detail={"event_id": '"given"'}))
    assert reasons(lake.quarantine()) == ["missing_field", "missing_field"]


def test_an_empty_object_lacks_its_id(lake: Lake) -> None:
    read(lake, "{}")
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("missing_field", b"{}")]


def test_everything_else_is_optional_and_unknown_fields_are_ignored(lake: Lake) -> None:
    top = {"version": "7", "detail-type": "null", "account": "[]", "resources": "{}", "": "1", "entities": "[]"}
    unknown = {"x": '{"entities":[]}', "event": "[[[]]]", "": "null"}
    read(lake, event("a", entity(id="9", name="8", unknown='{"entity":7}'), top=top, detail=unknown))
    row = only(lake.rows())
    assert {name for name, value in row.items() if value is not None} == {
        *("Id", "Timestamp", "EntityId", "EntityName", "EntityIndex", "dt", "source", "owner")
    }


FAULTS: list[tuple[str, dict[str, str | None], dict[str, str | None], str]] = [
    ("no id", {"id": None}, {}, "missing_field"),
    ("id of another type", {"id": "1"}, {}, "wrong_type"),
    ("no source", {"source": None}, {}, "missing_field"),
    ("source of another type", {"source": "1"}, {}, "wrong_type"),
    ("no time", {"time": None}, {}, "missing_field"),
    ("time of another type", {"time": "1"}, {}, "wrong_type"),
    ("no detail", {"detail": None}, {}, "missing_field"),
    ("detail of another type", {"detail": "1"}, {}, "wrong_type"),
    ("no entities", {}, {"entities": None}, "missing_field"),
    ("entities of another type", {}, {"entities": "1"}, "wrong_type"),
    ("empty entities", {}, {"entities": "[]"}, "no_entities"),
    ("bad time", {"time": '"x"'}, {}, "bad_time"),
    ("time out of range", {"time": '"2026-05-03T00:00:00Z"'}, {}, "time_out_of_range"),
    ("unsafe source", {"source": '"a/b"'}, {}, "unsafe_source"),
    ("actor", {}, {"actor": "1"}, "wrong_type"),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[f[0] for f in FAULTS])
def test_the_first_check_that_fails_names_the_reason(lake: Lake, first: int) -> None:
    _, top, detail, reason = FAULTS[first]
    # every later fault that can stand beside this one; a field can have one fault only, and fields of no detail none
    texts = [event("a", top=top, detail=detail)]
    for _, later_top, later_detail, _ in FAULTS[first + 1 :]:
        if not set(top) & set(later_top) and not set(detail) & set(later_detail):
            texts.append(event("a", top=later_top | top, detail=later_detail | detail))
    read(lake, lines(*texts))
    assert reasons(lake.quarantine()) == [reason] * len(texts)
    assert raws(lake.quarantine()) == texts


TIMES = {
    "2026-05-01T10:00:00Z": "2026-05-01T10:00:00.000Z",
    "2026-05-01t10:00:00z": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00.1Z": "2026-05-01T10:00:00.100Z",
    "2026-05-01T10:00:00.12Z": "2026-05-01T10:00:00.120Z",
    "2026-05-01T10:00:00.123Z": "2026-05-01T10:00:00.123Z",
    "2026-05-01T10:00:00.9999Z": "2026-05-01T10:00:00.999Z",
    "2026-05-01T10:00:00.999999Z": "2026-05-01T10:00:00.999Z",
    "2026-05-01T23:59:59.9999999999999999999999Z": "2026-05-01T23:59:59.999Z",
    "2026-05-01T10:00:00.0009Z": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00+00:00": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00-00:00": "2026-05-01T10:00:00.000Z",
    "2026-05-01T10:00:00+05:30": "2026-05-01T04:30:00.000Z",
    "2026-05-02T05:00:00+05:30": "2026-05-01T23:30:00.000Z",
    "2026-05-01T23:00:00.5-08:45": "2026-05-02T07:45:00.500Z",
    "2026-05-01T23:59:00+23:59": "2026-05-01T00:00:00.000Z",
    "2026-05-01T00:01:00-23:59": "2026-05-02T00:00:00.000Z",
}


def test_the_timestamp_is_the_time_in_utc_cut_to_milliseconds(lake: Lake) -> None:
    read(lake, lines(*(event(f"e{n:02}", time=time) for n, time in enumerate(TIMES))))
    found = {row["Id"]: row["Timestamp"] for row in lake.rows()}
    assert found == {f"e{n:02}": wanted for n, wanted in enumerate(TIMES.values())}


def test_dt_is_the_utc_date_of_the_time(lake: Lake) -> None:
    read(lake, event("a", time="2026-05-02T01:00:00+02:00") + event("b", time="2026-05-01T23:00:00-02:00"))
    assert {row["Id"]: row["dt"] for row in lake.rows()} == {"a": "2026-05-01", "b": "2026-05-02"}


BAD_TIMES = [
    *("", "x", "2026-05-01", "10:00:00Z", "2026-05-01T10:00:00", "2026-05-01 10:00:00Z", "2026-05-01_10:00:00Z"),
    *("2026-05-01T10:00Z", "2026-05-01T10:00:00.Z", "2026-05-01T10:00:00,5Z", "20260501T100000Z", "2026-5-1T10:00:00Z"),
    *("2026-13-01T10:00:00Z", "2026-00-01T10:00:00Z", "2026-05-32T10:00:00Z", "2026-05-00T10:00:00Z"),
    *(
        "2026-02-29T10:00:00Z",
        "0001-02-29T10:00:00Z",
        "2026-04-31T10:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T10:60:00Z",
    ),
    *("2026-05-01T10:00:60Z", "2026-05-01T23:59:60Z", "2026-05-01T10:00:00+24:00", "2026-05-01T10:00:00+05:60"),
    *("2026-05-01T10:00:00+0530", "2026-05-01T10:00:00+05", "2026-05-01T10:00:00 Z", " 2026-05-01T10:00:00Z"),
    *("2026-05-01T10:00:00Z ", "2026-05-01T10:00:00Z\n", "2026-05-01T10:00:00ZZ", "2026-05-01T10:00:00UTC"),
    *(
        "2026-05-01T10:00:00\u221205:00",
        "\u0662\u0660\u0662\u0666-05-01T10:00:00Z",
        "+2026-05-01T10:00:00Z",
        "12026-05-01T10:00:00Z",
    ),
    *("2026-W18-5T10:00:00Z", "2026-121T10:00:00Z", "1777629600", "2026-05-01T1:00:00Z", "2026-05-01T10:00:00.+01:00"),
    *(
        "2026-05-01T10:00:00.\u0661Z",
        "2026-05-01T10:00:00+05:30:00",
        "2026-05-01T10:00:00-5:00",
        "2026-05-01T10:00:00.5",
    ),
]


def test_a_time_that_is_not_rfc_3339_with_an_offset_is_bad_time(lake: Lake) -> None:
    counts = read(lake, lines(*(event(f"e{n:02}", time=time) for n, time in enumerate(BAD_TIMES))))
    assert lake.rows() == []
    assert {r["EventId"]: r["Reason"] for r in lake.quarantine()} == {
        f"e{n:02}": "bad_time" for n in range(len(BAD_TIMES))
    }
    assert counts["quarantined"] == len(BAD_TIMES)


ENDS_OF_THE_CALENDAR = [
    *("0000-01-01T00:00:00Z", "0000-02-29T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"),
]


@pytest.mark.parametrize("time", ENDS_OF_THE_CALENDAR)
def test_a_time_at_an_end_of_the_calendar_is_readable_and_out_of_range(lake: Lake, time: str) -> None:
    read(lake, event("a", time=time) + event("b"))
    assert reasons(lake.quarantine()) == ["time_out_of_range"]
    assert ids(lake.rows()) == ["b"]


# up to 256 characters are safe, but with "source=" before it a local file system takes no more than 248
SAFE_SOURCES = ["a", "9", "Z", "my.app", "My-App_3", "a..b", "a" * 248, "0-.", "com.example.orders"]
UNSAFE_SOURCES = [
    *("", ".", "..", ".a", "-a", "_a", "a/b", "../../x", "a\\b", "a b", " a", "a ", "a\n", "a\x00", "ä", "aé", "a=b"),
    *("a%2F", "a:b", "a'b", "a*", "a" * 257, "\uff11", "a\u200b"),
]


def test_a_source_becomes_a_path_so_it_must_be_safe(lake: Lake) -> None:
    texts = [event(f"e{n:02}", source=source) for n, source in enumerate(SAFE_SOURCES + UNSAFE_SOURCES)]
    read(lake, lines(*texts))
    assert sorted(row["source"] for row in lake.rows()) == sorted(SAFE_SOURCES)
    assert [(r["Reason"], r["Source"]) for r in lake.quarantine()] == [("unsafe_source", s) for s in UNSAFE_SOURCES]
    outside = [p for p in lake.root.rglob("*.parquet") if lake.path not in p.parents]
    assert outside == []


@pytest.mark.parametrize("value", ['"jane"', "7", "true", "[]", '[{"name":"x"}]', '""'])
def test_an_actor_that_is_neither_null_nor_an_object_is_wrong_type(lake: Lake, value: str) -> None:
    text = event("a", detail={"actor": value})
    read(lake, text)
    assert [(r["Reason"], r["Raw"].decode(), r["EntityIndex"]) for r in lake.quarantine()] == [
        ("wrong_type", text, None)
    ]


@pytest.mark.parametrize("value", [None, "null", "{}", '{"type":null,"name":null}', '{"other":1}'])
def test_an_actor_may_be_missing_null_or_empty(lake: Lake, value: str | None) -> None:
    read(lake, event("a", detail={"actor": value}))
    row = only(lake.rows())
    assert (row["ActorName"], row["ActorType"]) == (None, None)


# === Part 5, entity change ==========================================================================================


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("null", "wrong_type"),
        ("7", "wrong_type"),
        ('"x"', "wrong_type"),
        ("[]", "wrong_type"),
        (entity(entity="7"), "wrong_type"),
        (entity(entity='"1"'), "wrong_type"),
        (entity(entity="[1]"), "wrong_type"),
        (entity(entity="{}"), "missing_field"),
        (entity(entity='{"name":"n"}'), "missing_field"),
        (entity(entity='{"id":null,"name":"n"}'), "missing_field"),
        (entity(entity='{"id":"","name":"n"}'), "missing_field"),
        (entity(entity='{"id":"1"}'), "missing_field"),
        (entity(entity='{"id":"1","name":null}'), "missing_field"),
        (entity(parent='"500"'), "wrong_type"),
        (entity(parent="7"), "wrong_type"),
        (entity(parent="false"), "wrong_type"),
        (entity(parent="[]"), "wrong_type"),
    ],
)
def test_one_bad_entity_does_not_take_its_siblings_along(lake: Lake, change: str, reason: str) -> None:
    counts = read(lake, event("a", entity(after="0"), change, entity(after="2")))
    assert [(row["EntityIndex"], row["After"]) for row in lake.rows()] == [(0, "0"), (2, "2")]
    record = only(lake.quarantine())
    assert (record["Reason"], record["EntityIndex"], record["Raw"].decode()) == (reason, 1, change)
    assert counts == {"read": 1, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 0}
    assert lake.manifest()["quarantined_records"] == 1


@pytest.mark.parametrize("change", ["{}", '{"entity":null}', '{"before":1}'])
def test_an_entity_change_whose_entity_is_none_is_wrong_type(lake: Lake, change: str) -> None:
    read(lake, event("a", change, ENTITY))
    assert [(r["Reason"], r["EntityIndex"], r["Raw"].decode()) for r in lake.quarantine()] == [
        ("wrong_type", 0, change)
    ]
    assert [row["EntityIndex"] for row in lake.rows()] == [1]


def test_an_event_of_which_no_row_remains_is_quarantined_with_a_record_an_entity(lake: Lake) -> None:
    counts = read(lake, event("a", "1", "2", entity(parent="3")))
    assert [(r["Reason"], r["EntityIndex"], r["Raw"]) for r in lake.quarantine()] == [
        ("wrong_type", 0, b"1"),
        ("wrong_type", 1, b"2"),
        ("wrong_type", 2, b'{"entity":{"id":"1","name":"n"},"parent":3}'),
    ]
    assert counts == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 0, "quarantined": 1}


def test_an_entity_name_may_be_empty_but_not_null(lake: Lake) -> None:
    read(lake, event("a", entity(entity='{"id":"1","name":""}')))
    assert only(lake.rows())["EntityName"] == ""


def test_id_is_the_detail_event_id_where_that_is_a_non_empty_string_else_the_envelopes(lake: Lake) -> None:
    given = ['"own"', '""', "null", "7", "true", "{}", '["x"]', None]
    read(lake, lines(*(event(f"e{n}", detail={"event_id": value}) for n, value in enumerate(given))))
    assert ids(lake.rows()) == ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "own"]


def test_every_column_comes_from_its_field(lake: Lake) -> None:
    change = entity(
        entity='{"id":"EI","name":"EN","type":"no"}',
        parent='{"id":"PI","name":"PN","type":"PT"}',
        before='{"b":1}',
        after='{"a":2}',
        channel_code='"CC"',
        channel_account_code='"CA"',
        entity_type='"no"',
        action='"no"',
    )
    detail = {
        "event_id": '"ID"',
        "actor": '{"name":"AN","type":2}',
        "entity_type": '"ET"',
        "action": '"AC"',
        "correlation_id": '"CO"',
        "before": '"no"',
        "parent": '"no"',
    }
    read(lake, event("a", ENTITY, change, detail=detail, time="2026-05-01T10:11:12.345Z", source="src"))
    assert lake.rows()[1] == {
        "Id": "ID",
        "Timestamp": "2026-05-01T10:11:12.345Z",
        "ActorName": "AN",
        "ActorType": "Client",
        "EntityId": "EI",
        "EntityName": "EN",
        "EntityType": "ET",
        "EntityParentId": "PI",
        "EntityParentName": "PN",
        "EntityParentType": "PT",
        "ChannelCode": "CC",
        "ChannelAccountCode": "CA",
        "Action": "AC",
        "Before": '{"b":1}',
        "After": '{"a":2}',
        "CorrelationId": "CO",
        "EntityIndex": 1,
        "dt": "2026-05-01",
        "source": "src",
        "owner": DAY1,
    }


#: Values of text columns and what becomes of them.
TEXTS = {
    "null": None,
    '"text"': "text",
    '""': "",
    '" a "': " a ",
    '"null"': "null",
    '"1.10"': "1.10",
    '"\\u00e9\\/\\n\\t\\"\\\\"': 'é/\n\t"\\',
    '"\\ud83d\\ude00\\u0000"': "😀\0",
    '"é中😀"': "é中😀",
    "1001": "1001",
    "1.10": "1.10",
    "-0": "-0",
    "-0.0": "-0.0",
    "1e2": "1e2",
    "1E+2": "1E+2",
    "0.1000": "0.1000",
    "123456789012345678901234567890": "123456789012345678901234567890",
    "1e400": "1e400",
    "true": "true",
    "false": "false",
    '{ "a" : [1 ,2],"a":1.0 }': '{ "a" : [1 ,2],"a":1.0 }',
    '["\\u00e9" , null]': '["\\u00e9" , null]',
    "{}": "{}",
    "[]": "[]",
}


def test_text_columns_take_a_strings_value_and_the_text_of_anything_else_as_written(lake: Lake) -> None:
    texts = []
    for number, value in enumerate(TEXTS):
        change = entity(
            parent=f'{{"id":{value},"name":{value},"type":{value}}}', channel_code=value, channel_account_code=value
        )
        detail = {"entity_type": value, "action": value, "correlation_id": value, "actor": f'{{"name":{value}}}'}
        texts.append(event(f"e{number:02}", change, detail=detail))
    read(lake, lines(*texts))
    columns = ["EntityParentId", "EntityParentName", "EntityParentType", "ChannelCode", "ChannelAccountCode"]
    columns += ["EntityType", "Action", "CorrelationId", "ActorName"]
    assert [[row[c] for c in columns] for row in lake.rows()] == [[wanted] * len(columns) for wanted in TEXTS.values()]


def test_the_id_and_the_name_of_an_entity_are_text_columns_too(lake: Lake) -> None:
    wanted = {value: text for value, text in TEXTS.items() if text}
    read(lake, event("a", *(entity(entity=f'{{"id":{value},"name":{value}}}') for value in wanted)))
    found = [(row["EntityId"], row["EntityName"]) for row in lake.rows()]
    assert found == [(text, text) for text in wanted.values()]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("0", "Service"),
        ("1", "User"),
        ("2", "Client"),
        ("3", "3"),
        ("-1", "-1"),
        ("10", "10"),
        ("1.5", "1.5"),
        ('"1"', "1"),
        ('"User"', "User"),
        ('"svc"', "svc"),
        ('""', ""),
        ("true", "true"),
        ("[0]", "[0]"),
        ('{"a":1}', '{"a":1}'),
        ("null", None),
    ],
)
def test_actor_types_have_names_and_anything_else_is_text(lake: Lake, value: str, wanted: str | None) -> None:
    read(lake, event("a", detail={"actor": f'{{"type":{value}}}'}))
    assert only(lake.rows())["ActorType"] == wanted


def test_missing_and_null_are_null_everywhere(lake: Lake) -> None:
    nulls = {"actor": "null", "entity_type": "null", "action": "null", "correlation_id": "null", "event_id": "null"}
    names = ("parent", "before", "after", "channel_code", "channel_account_code")
    read(lake, lines(event("a"), event("b", entity(**dict.fromkeys(names, "null")), detail=nulls)))
    missing, null = lake.rows()
    always = {"Id", "Timestamp", "EntityId", "EntityName", "EntityIndex", "dt", "source", "owner"}
    assert [name for name in missing if missing[name] is not None and name not in always] == []
    assert missing | {"Id": "b"} == null


#: JSON values as delivered; Before and After keep every byte.
EXACT = [
    *(
        "1.10",
        "1001",
        "-0",
        "-0.0",
        "1e2",
        "1E+2",
        "1e-7",
        "0.1000",
        "1e400",
        "10.10",
        "123456789012345678901234567890",
    ),
    *(
        "true",
        "false",
        '"text"',
        '""',
        '"\\u00e9\\/\\n"',
        '"é中😀"',
        '"\\ud83d\\ude00"',
        '"}{"',
        '" "',
        '"\\u0000"',
        '"\x7f"',
    ),
    *("{}", "[]", "{ }", "[ \t\r\n ]", '{"n":null}', '{"b":1,"a":2,"b":3}', '{ "spaced" : [1 , 2,{"x":"}{"}] }'),
    *(
        '{"price":1.10,"n":null}',
        "[null]",
        '{"\\u0061":1,"a":2}',
        '{\n  "pretty": [\n    1,\n\t2\r\n  ]\n}',
        '{"":{"":[]}}',
    ),
    *(
        '{"e":1e2,"E":-0.0}',
        '[[[[[[]]]]],"\\"}{\\"source\\":"]',
        '{"x":"O\'Brien; DROP TABLE x --"}',
        '"\ufeff\ufffe\u2028"',
    ),
]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_before_and_after_are_byte_for_byte_the_text_of_the_value(lake: Lake, compressed: bool) -> None:
    text = event("a", *(entity(before=value, after=f" \n{value}\t ") for value in EXACT))
    read(lake, zipped(text) if compressed else text)
    assert [row["Before"] for row in lake.rows()] == EXACT
    assert [row["After"] for row in lake.rows()] == EXACT


@pytest.mark.parametrize("digits", [400, 5000, 10_000])
def test_huge_numbers_keep_their_digits(lake: Lake, digits: int) -> None:
    number = "-" + "1234567890" * (digits // 10)
    values = [number, f"{number}.{number[1:]}", f"{number}e{number}"]
    changes = [entity(before=f"[{v}]", after=v, channel_code=v, entity=f'{{"id":{v},"name":"n"}}') for v in values]
    read(lake, event("a", *changes, top={"x": number}))
    found = [(row["Before"], row["After"], row["ChannelCode"], row["EntityId"]) for row in lake.rows()]
    assert found == [(f"[{v}]", v, v, v) for v in values]


def test_a_day_on_which_no_event_has_a_parent_is_an_ordinary_day(lake: Lake) -> None:
    read(lake, event("a") + event("b"))
    path = only(list(lake.files()))
    assert pq.ParquetFile(lake.path / path).schema_arrow.names == ROW_SCHEMA.names
    assert [row["EntityParentId"] for row in lake.rows()] == [None, None]


def test_the_files_of_the_table_have_the_columns_in_their_types(lake: Lake) -> None:
    read(lake, event("a"))
    schema = pq.ParquetFile(lake.path / only(list(lake.files()))).schema_arrow
    assert [(f.name, f.type) for f in schema] == [(f.name, f.type) for f in ROW_SCHEMA]


def test_timestamps_are_written_as_int64_milliseconds(lake: Lake) -> None:
    read(lake, event("a", time="2026-05-01T10:00:00.123456Z"))
    file = pq.ParquetFile(lake.path / only(list(lake.files())))
    column = file.schema.column(ROW_SCHEMA.names.index("Timestamp"))
    assert (column.name, column.physical_type) == ("Timestamp", "INT64")
    assert json.loads(column.logical_type.to_json())["timeUnit"] == "milliseconds"
    assert file.schema_arrow.field("Timestamp").type == pa.timestamp("ms")
    stored_value = file.read(["Timestamp"]).column(0).cast(pa.int64()).to_pylist()
    assert stored_value == [int(datetime(2026, 5, 1, 10, tzinfo=UTC).timestamp()) * 1000 + 123]


def test_a_gzip_object_is_checked_against_its_own_checksum() -> None:
    """The helpers above damage what they say they damage."""
    member = zipped(event("a"))
    assert zlib.decompressobj(wbits=31).decompress(member) == event("a").encode()
    for corrupt in CORRUPTED:
        with pytest.raises(zlib.error):
            zlib.decompressobj(wbits=31).decompress(corrupt(member))
