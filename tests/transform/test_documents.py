"""From the text of an object to its JSON documents: what separates them, what is broken, how deep they nest."""

import pytest

from audit_pipeline.transform.documents import split_documents
from tests.support.lake import Lake, entity, event, ids, reasons
from tests.support.rules import BOM, lines, pretty, raws, read

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
    *("{", "}", "]", "[", ":", '"', '"abc', "'a'", "{'a':1}", "{a:1}", '{"a"}', '{"a" 1}', '{"a":}', '{"a":1,}'),
    *('{"a":1 "b":2}', '{"a":1;"b":2}', '{1:2}', '{,}', "[1,]", "[,1]", "[1 2]", "[1,,2]", "[1}", '{"a":1]'),
    *("NaN", "Infinity", "-Infinity", "[NaN]", '{"a":NaN}', "undefined", "True", "tru", "nulll", "truefalse", "nul"),
    *("01", "-01", "00", "-", "+1", ".5", "1.", "1.e3", "1e", "1e+", "0x10", "1_000", "1a", "--1", "1.2.3", "[01]"),
    *('"\\x"', '"\\u12"', '"\\u12g4"', '"\\"', '"\\U0041"', '["\\ "]', "/* no */", "// no", "#", "garbage", "\\t", "`"),
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


def test_a_field_that_no_column_needs_may_not_nest_deeper_either(lake: Lake) -> None:
    deepest, deeper = (
        event(i, entity()).replace("{", f'{{"other":{nested(levels)},', 1) for i, levels in [("a", 999), ("b", 1000)]
    )
    read(lake, deepest + deeper + event("c"))
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_json", deeper)]
    assert ids(lake.rows()) == ["a", "c"]


def test_brackets_side_by_side_or_in_a_string_are_no_levels(lake: Lake) -> None:
    values = ["[" + "[]," * 5_000 + "{}]", '"' + "[{" * 5_000 + '"']
    read(lake, "".join(event(f"e{n}", entity(after=value)) for n, value in enumerate(values)))
    assert [row["After"] for row in lake.rows()] == values


def test_a_text_that_is_a_string_of_brackets_is_a_record_like_any_other_string(lake: Lake) -> None:
    text = '"' + "[{" * 2_000 + '"'
    read(lake, text + event("a"))
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_object", text)]
    assert ids(lake.rows()) == ["a"]


@pytest.mark.parametrize("opening", ["[", "{", '{"a":', "[{", '{"a": ', '{"source":1,"detail": ', "[[ {"])
def test_a_flood_of_opening_brackets_is_one_record(lake: Lake, opening: str) -> None:
    flood = (opening * 20_000).rstrip()
    read(lake, flood + "\n" + event("a"))
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_json", flood)]
    assert ids(lake.rows()) == ["a"]


def test_a_document_ends_where_msgspec_says_that_trailing_characters_begin() -> None:
    data = b'{"a":"}{"}[1, 2] "x"\n\t12 null{"b":{}}'
    found = [data[d.start : d.end] for d in split_documents(data)]
    assert found == [b'{"a":"}{"}', b"[1, 2]", b'"x"', b"12", b"null", b'{"b":{}}']
