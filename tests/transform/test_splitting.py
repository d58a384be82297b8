"""How a stream is divided into texts (docs/design.md, "Splitting"): separators and arrays, a statement a test.

What broken texts are and where an event starts after one is in ``test_documents.py``.
"""

import json
from itertools import product

import pytest

from tests.support.formats import gzip_member
from tests.support.lake import DAY1, ENTITY, Lake, entity, event, ids, key, reasons, zipped
from tests.support.rules import BOM, objects, only, pretty, raws, read

RS = "\x1e"
#: What is skipped between texts, with its name.
SEPARATORS = {
    "nothing": "",
    "newline": "\n",
    "CRLF": "\r\n",
    "spaces and tabs": " \t ",
    "byte order mark": BOM,
    "comma": ",",
    "comma and newline": ",\n",
    "newline and comma": "\n,",
    "comma and space": ", ",
    "two commas": ",,",
    "record separator": RS,
    "record separator and newline": "\n" + RS,
    "backslash-n": "\\n",
    "backslash-r backslash-n": "\\r\\n",
    "backslash-r": "\\r",
    "backslash-n and newline": "\\n\n",
    "all of them": f" {BOM},{RS}\\n\\r\r\n\t,\\n",
}

EVENTS = [event(f"e{n}", entity(after='"},{,\\n\\\\n"')) for n in range(4)]
ALL_KEPT = {"read": 4, "kept": 4, "duplicate": 0, "deferred": 0, "quarantined": 0}


@pytest.mark.parametrize("name", SEPARATORS)
def test_between_texts_separators_are_skipped_and_are_no_texts(lake: Lake, name: str) -> None:
    assert read(lake, SEPARATORS[name].join(EVENTS)) == ALL_KEPT
    assert ids(lake.rows()) == ["e0", "e1", "e2", "e3"]
    assert [row["After"] for row in lake.rows()] == ['"},{,\\n\\\\n"'] * 4
    assert lake.quarantine() == []


@pytest.mark.parametrize("name", SEPARATORS)
def test_before_the_first_and_after_the_last_text_too(lake: Lake, name: str) -> None:
    separator = SEPARATORS[name]
    assert read(lake, separator + separator.join(EVENTS) + separator) == ALL_KEPT
    assert lake.quarantine() == []


def test_separators_may_be_mixed_in_one_object(lake: Lake) -> None:
    parts = [EVENTS[0], ",", pretty(EVENTS[1]), "\\n", EVENTS[2], RS, "\n", BOM, EVENTS[3]]
    assert read(lake, "".join(parts)) == ALL_KEPT


@pytest.mark.parametrize("name", SEPARATORS)
def test_an_object_of_separators_alone_holds_nothing(lake: Lake, name: str) -> None:
    assert read(lake, SEPARATORS[name] * 3)["read"] == 0
    assert lake.manifest()["objects"] == objects(1)
    assert lake.manifest()["text_bytes"] == {"read": 0, "quarantined": 0}
    assert lake.quarantine() == []


@pytest.mark.parametrize("name", SEPARATORS)
def test_offsets_and_bytes_are_of_the_texts_without_what_lies_between(lake: Lake, name: str) -> None:
    separator = SEPARATORS[name]
    bad = [event(f"bad {n}", time="é") for n in range(3)]
    read(lake, zipped(separator + separator.join(bad)))
    step = len(separator.encode()) + len(bad[0].encode())
    assert [r["Offset"] for r in lake.quarantine()] == [len(separator.encode()) + n * step for n in range(3)]
    assert raws(lake.quarantine()) == bad
    size = sum(len(text.encode()) for text in bad)
    assert lake.manifest()["text_bytes"] == {"read": size, "quarantined": size}


@pytest.mark.parametrize(("before", "after"), [*product(["comma", "backslash-n", "record separator"], repeat=2)])
def test_separators_around_other_texts_are_skipped_too(lake: Lake, before: str, after: str) -> None:
    read(lake, f"{EVENTS[0]}{SEPARATORS[before]}[1]{SEPARATORS[after]}{EVENTS[1]}")
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("not_object", b"[1]")]
    assert ids(lake.rows()) == ["e0", "e1"]


@pytest.mark.parametrize("name", ["comma", "comma and newline", "newline and comma", "two commas"])
def test_after_a_whole_text_an_event_may_start_right_behind_a_comma(lake: Lake, name: str) -> None:
    read(lake, f"{EVENTS[0]}{SEPARATORS[name]}{EVENTS[1]}{{broken\n{EVENTS[2]}{SEPARATORS[name]}{EVENTS[3]}")
    assert ids(lake.rows()) == ["e0", "e1", "e2", "e3"]
    assert raws(lake.quarantine()) == ["{broken"]


@pytest.mark.parametrize(
    "text", ["\\", "\\t", "\\N", "\\\\n", "\\u000a", "\x1f", "\x1d", "\x0b", "\x00", ";", "|", "\u00a0", "\u2028"]
)
def test_what_is_like_a_separator_is_none(lake: Lake, text: str) -> None:
    read(lake, f"{EVENTS[0]}\n{text}\n{EVENTS[1]}")
    assert [(r["Reason"], r["Raw"]) for r in lake.quarantine()] == [("not_json", text.encode())]
    assert ids(lake.rows()) == ["e0", "e1"]


def test_a_separator_inside_a_text_makes_it_broken(lake: Lake) -> None:
    """They stand between texts only: RFC 8259 knows them nowhere else."""
    broken = [event("x").replace(",", separator, 1) for separator in (RS, "\\n", ",,", ",\\r", BOM)]
    read(lake, "\n".join(f"{text}\n{good}" for text, good in zip(broken, [*EVENTS, event("e4")], strict=True)))
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_json", text) for text in broken]
    assert ids(lake.rows()) == ["e0", "e1", "e2", "e3", "e4"]


def test_a_hundred_events_with_commas_between_them_are_a_hundred_rows(lake: Lake) -> None:
    for hour, separator in enumerate([",", ",\n", "\\n", RS, "\n" + RS]):
        texts = [event(f"{hour}/{n:03}") for n in range(100)]
        lake.write(key(DAY1, hour), zipped(separator.join(texts)))
    lake.run()
    assert len(lake.rows()) == 500
    assert lake.manifest()["events"] == {"read": 500, "kept": 500, "duplicate": 0, "deferred": 0, "quarantined": 0}


# === Arrays =========================================================================================================


ARRAYS = {
    "compact": f"[{','.join(EVENTS)}]",
    "with spaces": f"[ {' , '.join(EVENTS)} ]",
    "on lines": "[\n" + ",\n".join(EVENTS) + "\n]\n",
    "pretty": json.dumps([json.loads(text) for text in EVENTS], indent=2),
    "two in a row": f"[{','.join(EVENTS[:2])}][{','.join(EVENTS[2:])}]",
    "two on lines": f"[{','.join(EVENTS[:2])}]\n[{','.join(EVENTS[2:])}]\n",
    "one each": "".join(f"[{text}]" for text in EVENTS),
    "with commas between": f"[{EVENTS[0]}],{EVENTS[1]},[{EVENTS[2]},{EVENTS[3]}],",
    "among texts": f"{EVENTS[0]}[{EVENTS[1]},{EVENTS[2]}]{EVENTS[3]}",
    "after a byte order mark": f"{BOM}[{','.join(EVENTS)}]",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_top_level_array_of_objects_holds_one_text_an_item(lake: Lake, name: str) -> None:
    assert read(lake, gzip_member(ARRAYS[name].encode())) == ALL_KEPT
    assert ids(lake.rows()) == ["e0", "e1", "e2", "e3"]
    assert lake.quarantine() == []


def test_an_array_is_no_text_itself_but_its_items_are(lake: Lake) -> None:
    """Bytes, offsets and Raw are the items'."""
    bad = event("bad", time="no")
    items = [event("a"), bad, "{}", '{"é" : 1}']
    text = f"[{items[0]}, {items[1]} ,\n{items[2]}\t,{items[3]}]"
    counts = read(lake, text)
    assert counts == {"read": 4, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 3}
    assert [(r["Reason"], r["Offset"], r["Raw"].decode()) for r in lake.quarantine()] == [
        ("bad_time", text.index(bad), bad),
        ("missing_field", text.index("{}"), "{}"),
        ("missing_field", text.index('{"é"'), '{"é" : 1}'),
    ]
    sizes = [len(item.encode()) for item in items]
    assert lake.manifest()["text_bytes"] == {"read": sum(sizes), "quarantined": sum(sizes[1:])}


def test_an_entity_of_an_item_has_the_items_offset(lake: Lake) -> None:
    text = f"[{event('a')},{event('b', ENTITY, '7')}]"
    read(lake, text)
    record = only(lake.quarantine())
    assert (record["Offset"], record["EntityIndex"], record["Raw"]) == (text.index(event("b", ENTITY, "7")), 1, b"7")


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "[ ]", "[1]", '["x"]', "[null]", "[[]]", "[[{}]]"),
        *(f"[{event('x')},1]", f"[null,{event('x')}]", f"[[{event('x')}]]", f"[{event('x')},[]]"),
    ],
)
def test_an_array_that_is_empty_or_holds_anything_but_objects_is_not_object(lake: Lake, text: str) -> None:
    counts = read(lake, f"{EVENTS[0]}\n{text}\n{EVENTS[1]}")
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_object", text)]
    assert ids(lake.rows()) == ["e0", "e1"]
    assert counts == {"read": 3, "kept": 2, "duplicate": 0, "deferred": 0, "quarantined": 1}


def test_only_a_top_level_array_is_divided(lake: Lake) -> None:
    text = f'{{"Records":[{EVENTS[0]},{EVENTS[1]}]}}'
    read(lake, text)
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("missing_field", text)]


def test_copies_in_an_array_are_duplicates_as_any(lake: Lake) -> None:
    text = f"[{event('a', ENTITY)},{event('a', ENTITY)},{event('a', entity(after='1'))}]"
    counts = read(lake, text)
    assert counts == {"read": 3, "kept": 1, "duplicate": 1, "deferred": 0, "quarantined": 1}
    assert only(lake.quarantine())["Offset"] == text.rindex('{"id":"a"')


@pytest.mark.parametrize("broken", ["[1 2]", '{"a":01}', "{", '{"x":"\\ud800"}'])
def test_an_array_of_which_an_item_is_broken_is_not_json_and_costs_no_other_text(lake: Lake, broken: str) -> None:
    text = f"[{EVENTS[0]},{broken}]"
    read(lake, f"{EVENTS[1]}\n{text}\n{EVENTS[2]}")
    assert [(r["Reason"], r["Raw"].decode()) for r in lake.quarantine()] == [("not_json", text)]
    assert ids(lake.rows()) == ["e1", "e2"]


def test_of_a_broken_array_the_events_at_the_start_of_a_line_are_read(lake: Lake) -> None:
    """A ``{`` at the start of a line starts an event, though a comma and a newline stand before it."""
    read(lake, "[" + ",\n".join([*EVENTS, "{broken"]) + "\n]")
    assert ids(lake.rows()) == ["e1", "e2", "e3"]
    assert set(reasons(lake.quarantine())) == {"not_json"}
    assert raws(lake.quarantine())[0].startswith(f"[{EVENTS[0]}")


def test_an_array_that_a_cut_stream_cuts_off_is_part_of_the_one_record(lake: Lake) -> None:
    member = zipped(event("a") + "\n[" + ",".join(EVENTS) + "]")
    counts = read(lake, member[:-20])
    assert ids(lake.rows()) == ["a"]
    assert counts["read"] == 1
    assert reasons(lake.quarantine()) == ["unreadable_object"]


def test_a_hundred_events_in_an_array_are_a_hundred_rows(lake: Lake) -> None:
    for hour in range(12):
        texts = [event(f"{hour}/{n:03}") for n in range(100)]
        lake.write(key(DAY1, hour), zipped("[" + ",".join(texts) + "]"))
    lake.run()
    assert lake.manifest()["events"]["kept"] == len(lake.rows()) == 1200
    assert lake.quarantine() == []


def test_an_array_of_many_megabytes_is_read(lake: Lake) -> None:
    texts = [event(f"e{n:04}", entity(after='"' + "x" * 4_000 + '"')) for n in range(2_000)]
    read(lake, "[" + ",\n".join(texts) + "]")
    assert ids(lake.rows()) == [f"e{n:04}" for n in range(2_000)]
