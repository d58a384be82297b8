"""Copies of an event within one run: which is kept, and which others are equal to it."""

import json

import pytest

from tests.support.lake import DAY1, DAY2, Lake, entity, event, ids, key, reasons
from tests.support.rules import COPY, OTHER, only, pretty, read

#: Each test with a lake.
ON_EVERY_ENGINE = True


def test_an_equal_event_of_the_same_source_and_id_is_counted_as_duplicate(lake: Lake) -> None:
    counts = read(lake, event("a", COPY) + event("a", COPY) + event("a", COPY))
    assert ids(lake.rows()) == ["a"]
    assert counts == {"read": 3, "kept": 1, "duplicate": 2, "deferred": 0, "quarantined": 0}
    assert lake.quarantine() == []


def test_one_that_is_not_equal_goes_to_quarantine_as_a_whole(lake: Lake) -> None:
    second = event("a", COPY, OTHER, "7")
    counts = read(lake, event("a", COPY, COPY) + second)
    assert [row["After"] for row in lake.rows()] == ["1", "1"]
    record = only(lake.quarantine())
    assert record.pop("Message")
    assert record == {
        "Reason": "conflicting_duplicate",
        "RawKey": key(DAY1),
        "Offset": len(event("a", COPY, COPY)),
        "EntityIndex": None,
        "EventId": "a",
        "Source": "shop",
        "Raw": second.encode(),
    }
    assert counts == {"read": 2, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 1}


@pytest.mark.parametrize(
    "second",
    [
        event("a", entity(after="1.0")),
        event("a", entity(after="1", channel_code='""')),
        event("a", COPY, COPY),
        event("a", COPY, "7"),
        event("a", COPY, time="2026-05-01T10:00:00.001Z"),
        event("a", COPY, time="2026-05-02T10:00:00Z"),
        event("a", COPY, detail={"action": '"x"'}),
        event("a", COPY, detail={"actor": '{"type":1}'}),
        event("a", COPY, top={"account": '"7"'}),
        event("a", COPY, top={"region": '"x"'}),
        event("a", COPY, top={"detail-type": '"x"'}),
        event("a", COPY, detail={"context": "{}"}),
        event("a", COPY, detail={"unknown": "null"}),
        event("a", entity(after="1", unknown="7")),
    ],
)
def test_events_are_equal_when_all_their_rows_are_equal_in_every_column(lake: Lake, second: str) -> None:
    counts = read(lake, event("a", COPY) + second)
    assert counts == {"read": 2, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 1}
    assert reasons(lake.quarantine()) == ["conflicting_duplicate"]


@pytest.mark.parametrize(
    "second",
    [
        event("a", COPY, top={"version": "7", "resources": '["x"]', "replay-name": '"x"', "account": "null"}),
        event("a", COPY, detail={"context": "null"}),
        event("a", entity(after=" 1")),
        event("a", COPY, time="2026-05-01T10:00:00.000999Z"),
        event("a", COPY, time="2026-05-01T12:00:00+02:00"),
        event("a", entity(after="1", parent="{}", before="null")),
        pretty(event("a", COPY)),
        event("a", COPY, detail={"actor": "null", "event_id": '"a"'}),
    ],
)
def test_what_no_column_shows_does_not_make_events_unequal(lake: Lake, second: str) -> None:
    counts = read(lake, event("a", COPY) + second)
    assert counts == {"read": 2, "kept": 1, "duplicate": 1, "deferred": 0, "quarantined": 0}


def test_the_envelopes_own_id_may_differ_where_an_event_id_is_given(lake: Lake) -> None:
    same = {"event_id": '"same"'}
    counts = read(lake, event("x", COPY, detail=same) + event("y", COPY, detail=same) + event("same", COPY))
    assert counts["duplicate"] == 2
    assert ids(lake.rows()) == ["same"]


def test_the_same_id_from_another_source_is_another_event(lake: Lake) -> None:
    read(lake, event("a", COPY) + event("a", OTHER, source="other"))
    assert [(row["source"], row["Id"]) for row in lake.rows()] == [("other", "a"), ("shop", "a")]


def test_the_first_in_hour_key_and_offset_order_is_kept(lake: Lake) -> None:
    lake.write(key(DAY1, 9, "z"), event("hour", entity(after='"first"')))
    lake.write(key(DAY1, 10, "B"), event("key", entity(after='"first"')) + event("hour", OTHER))
    lake.write(
        key(DAY1, 10, "a"),
        event("key", OTHER) + event("offset", entity(after='"first"')) + event("offset", OTHER),
    )
    lake.write(key(DAY2, 0, "0"), event("grace", OTHER) + event("hour", OTHER))
    lake.write(key(DAY1, 23, "z"), event("grace", entity(after='"first"')))
    lake.run()
    assert {row["Id"]: row["After"] for row in lake.rows()} == dict.fromkeys(
        ["grace", "hour", "key", "offset"], '"first"'
    )
    assert reasons(lake.quarantine()) == ["conflicting_duplicate"] * 5


def test_object_keys_are_ordered_by_code_point(lake: Lake) -> None:
    names = ["10", "2", "A", "Z", "a", "b", "é", "\uff5e", "😀"]
    for name in reversed(names):
        lake.write(key(DAY1, 10, name), event("e", entity(after=json.dumps(name))))
    lake.run()
    assert [row["After"] for row in lake.rows()] == ['"10"']
    assert [i["key"] for i in lake.manifest()["inputs"]] == [key(DAY1, 10, name) for name in names]


def test_a_third_copy_is_held_against_the_one_that_is_kept(lake: Lake) -> None:
    counts = read(lake, event("a", COPY) + event("a", OTHER) + event("a", COPY) + event("a", OTHER))
    assert counts == {"read": 4, "kept": 1, "duplicate": 1, "deferred": 0, "quarantined": 2}


def test_an_event_without_any_row_takes_part_in_duplicate_detection(lake: Lake) -> None:
    counts = read(lake, event("a", "7", "8") + event("a", "7", "8") + event("a", "7", "9") + event("a", COPY))
    assert [(r["Reason"], r["EntityIndex"]) for r in lake.quarantine()] == [
        ("wrong_type", 0),
        ("wrong_type", 1),
        ("conflicting_duplicate", None),
        ("conflicting_duplicate", None),
    ]
    assert counts == {"read": 4, "kept": 0, "duplicate": 1, "deferred": 0, "quarantined": 3}


@pytest.mark.parametrize(
    ("second", "count"), [("7", "duplicate"), ("7.0", "quarantined"), ('"7"', "quarantined"), (COPY, "quarantined")]
)
def test_quarantined_entities_are_compared_in_their_bytes(lake: Lake, second: str, count: str) -> None:
    counts = read(lake, event("a", COPY, "7") + event("a", COPY, second))
    assert counts[count] == 1
    assert [row["EntityIndex"] for row in lake.rows()] == [0]
    expected = ["wrong_type"] if count == "duplicate" else ["wrong_type", "conflicting_duplicate"]
    assert reasons(lake.quarantine()) == expected


def test_an_event_that_is_quarantined_as_a_whole_is_no_duplicate(lake: Lake) -> None:
    bad = event("a", detail={"entities": "[]"})
    counts = read(lake, bad + bad + event("a"))
    assert counts == {"read": 3, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 2}
