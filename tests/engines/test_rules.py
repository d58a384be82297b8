"""The design's rules (parts 4, 5 and 6), a statement a test, with the expected values written out.

Each test names the statement that it holds the product to; inputs are as small as the statement allows.
"""

import hashlib
import json
import re
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, REASONS
from audit_pipeline.errors import AuditPipelineError, ConservationError, GraceMismatchError
from audit_pipeline.store.manifest import EventCounts
from audit_pipeline.store.objects import Store
from tests.support.lake import (
    DAY0,
    DAY1,
    DAY2,
    DAY3,
    DAY4,
    DAY5,
    ENTITY,
    Lake,
    Record,
    counts_of,
    entity,
    event,
    ids,
    key,
    reasons,
    zipped,
)
from tests.support.rules import BOM, lines, only, pretty, read

#: Each test with a lake.
ON_EVERY_ENGINE = True


# === Part 4: which run owns which event =============================================================================


def test_a_row_whose_date_is_the_partition_is_kept_in_its_dt(lake: Lake) -> None:
    counts = read(lake, event("e1", time="2026-05-01T23:59:59.999Z"))
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"]
    assert ids(lake.rows()) == ["e1"]
    assert counts == {"read": 1, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 0}
    assert lake.manifest()["late_rows"] == 0


def test_an_event_of_the_partition_delivered_in_the_grace_hours_is_kept(lake: Lake) -> None:
    lake.write(key(DAY2, 0), event("e1", time="2026-05-01T23:59:00Z"))
    lake.run(DAY1)
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"]
    assert lake.manifest(DAY1)["late_rows"] == 0


def test_an_event_of_yesterday_in_the_grace_hours_is_left_to_yesterday(lake: Lake) -> None:
    lake.write(key(DAY2, 0), event("e1", time="2026-05-01T23:59:00Z"))
    lake.run(DAY2)
    assert lake.files() == {}
    assert lake.manifest(DAY2)["events"] == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 1, "quarantined": 0}


def test_an_event_of_yesterday_after_the_grace_hours_is_kept_as_a_late_row(lake: Lake) -> None:
    lake.write(key(DAY2, 1), event("e1", ENTITY, ENTITY, time="2026-05-01T23:59:00Z"))
    lake.run(DAY1)
    assert lake.manifest(DAY1)["events"]["read"] == 0
    lake.run(DAY2)
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-02.parquet"]
    assert lake.manifest(DAY2)["late_rows"] == 2


@pytest.mark.parametrize("time", ["2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z", "2026-05-05T12:00:00Z"])
def test_an_event_of_any_other_date_is_kept_as_a_late_row_in_its_own_dt(lake: Lake, time: str) -> None:
    lake.write(key(DAY4, 5), event("e1", time=time))
    lake.run(DAY4)
    assert list(lake.files()) == [f"auditlog_parquet/dt={time[:10]}/source=shop/2026-05-04.parquet"]
    assert lake.manifest(DAY4)["late_rows"] == 1


def test_an_event_dated_two_days_back_is_kept_late_even_in_the_grace_hours(lake: Lake) -> None:
    lake.write(key(DAY3, 0), event("e1", time="2026-05-01T12:00:00Z"))
    for partition in (DAY1, DAY2, DAY3):
        lake.run(partition)
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-03.parquet"]
    assert lake.manifest(DAY2)["events"]["deferred"] == 1


@pytest.mark.parametrize("time", ["2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z", "2026-05-03T23:59:59Z"])
def test_an_event_in_the_grace_hours_that_is_not_of_the_partition_is_left_to_the_next(lake: Lake, time: str) -> None:
    lake.write(key(DAY2, 0), event("e1", time=time))
    lake.run(DAY1)
    assert lake.manifest(DAY1)["events"] == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 1, "quarantined": 0}
    lake.run(DAY2)
    assert list(lake.files()) == [f"auditlog_parquet/dt={time[:10]}/source=shop/2026-05-02.parquet"]


def test_the_hours_after_the_grace_hours_are_not_read_by_the_day_before(lake: Lake) -> None:
    lake.write(key(DAY2, 0), event("in"))
    lake.write(key(DAY2, 1), event("out"))
    lake.write(key(DAY0, 23), event("before"))
    lake.run(DAY1)
    assert [i["key"] for i in lake.manifest(DAY1)["inputs"]] == [key(DAY2, 0)]


@pytest.mark.parametrize(("grace", "owner"), [(0, DAY2), (2, DAY2), (3, DAY1), (23, DAY1)])
def test_grace_is_how_many_hours_of_the_next_day_belong_to_a_partition(lake: Lake, grace: int, owner: date) -> None:
    lake.grace = grace
    lake.write(key(DAY2, 2), event("e1", time="2026-05-01T20:00:00Z"))
    for partition in (DAY1, DAY2):
        lake.run(partition)
    assert list(lake.files()) == [f"auditlog_parquet/dt=2026-05-01/source=shop/{owner}.parquet"]


NO_DATE = {
    "not_json": "{broken",
    "not_object": "[1]",
    "bad_time": event(time="yesterday"),
    "missing_field": event(top={"time": None}),
    "wrong_type": event(top={"time": "17"}),
}


@pytest.mark.parametrize("reason", NO_DATE)
def test_what_has_no_readable_date_belongs_to_its_delivery_day(lake: Lake, reason: str) -> None:
    lake.write(key(DAY2, 0), NO_DATE[reason])
    lake.run(DAY1)
    assert lake.manifest(DAY1)["events"] == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 1, "quarantined": 0}
    assert lake.quarantine(DAY1) == []
    lake.run(DAY2)
    assert reasons(lake.quarantine(DAY2)) == [reason]


def test_an_event_with_a_readable_date_is_owned_by_that_date_whatever_else_is_wrong(lake: Lake) -> None:
    lake.write(
        key(DAY2, 0),
        lines(
            event(time="2026-05-01T23:00:00Z", top={"id": None}),
            event(time="2026-05-01T23:00:00Z", detail={"entities": "[]"}),
            event(time="2026-05-01T23:00:00Z", source="no/path"),
        ),
    )
    lake.run(DAY2)
    assert lake.manifest(DAY2)["events"] == {"read": 3, "kept": 0, "duplicate": 0, "deferred": 3, "quarantined": 0}
    lake.run(DAY1)
    assert reasons(lake.quarantine(DAY1)) == ["missing_field", "no_entities", "unsafe_source"]


def test_an_unreadable_object_belongs_to_its_delivery_day_and_its_events_to_their_dates(lake: Lake) -> None:
    whole = zipped(event("e1", time="2026-05-01T23:59:00Z"))
    lake.write(key(DAY2, 0), whole[:-1])
    lake.run(DAY1)
    assert ids(lake.rows(DAY1)) == ["e1"]
    assert lake.manifest(DAY1)["objects"] == {"read": 1, "unreadable": 0}
    assert lake.quarantine(DAY1) == []
    lake.run(DAY2)
    assert lake.manifest(DAY2)["objects"] == {"read": 1, "unreadable": 1}
    assert reasons(lake.quarantine(DAY2)) == ["unreadable_object"]


@pytest.mark.parametrize("time", ["2026-04-30T23:59:59.999Z", "2026-05-04T00:00:00Z", "2027-01-01T00:00:00Z"])
@pytest.mark.parametrize("hour", [0, 12])
def test_an_event_out_of_range_belongs_to_its_delivery_day_and_is_quarantined(lake: Lake, time: str, hour: int) -> None:
    lake.write(key(DAY2, hour), event(time=time))
    lake.run(DAY1)
    assert lake.manifest(DAY1)["events"]["deferred"] == (1 if hour == 0 else 0)
    lake.run(DAY2)
    assert reasons(lake.quarantine(DAY2)) == ["time_out_of_range"]
    assert lake.files() == {}


def test_the_range_ends_with_the_day_after_the_delivery_day(lake: Lake) -> None:
    lake.write(key(DAY2, 12), event("last", time="2026-05-03T23:59:59.999Z"))
    lake.write(key(DAY2, 13), event("first", time="2026-05-01T00:00:00Z"))
    lake.run(DAY2)
    assert sorted(ids(lake.rows())) == ["first", "last"]


def test_before_the_first_partition_goes_before_the_rule_of_the_grace_hours(lake: Lake) -> None:
    lake.write(key(DAY1, 0), event(time="2026-04-30T23:59:59Z"))
    lake.run(DAY1)
    assert lake.manifest(DAY1)["events"] == {"read": 1, "kept": 0, "duplicate": 0, "deferred": 0, "quarantined": 1}
    assert reasons(lake.quarantine(DAY1)) == ["time_out_of_range"]


@pytest.mark.parametrize("grace", [0, 1, 3])
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_every_event_is_owned_by_exactly_one_partition_whatever_its_date(
    lake: Lake, grace: int, backwards: bool
) -> None:
    lake.grace = grace
    days = (DAY1, DAY2, DAY3, DAY4)
    dates = (DAY0, *days, DAY5, date(2026, 5, 6))
    for day in days:
        for hour in (0, 1, 2, 3, 23):
            texts = [event(f"{day}/{hour}/{when}", time=f"{when}T00:00:00Z") for when in dates]
            lake.write(key(day, hour), lines(*texts, "{broken", event(top={"time": None})))
    for partition in days[::-1] if backwards else days:
        lake.run(partition)
    settled = [row["Id"] for row in lake.rows()]
    for partition in days:
        settled += [record["EventId"] for record in lake.quarantine(partition) if record["EventId"]]
        counts = lake.manifest(partition)["events"]
        assert counts["read"] == counts["kept"] + counts["deferred"] + counts["quarantined"]
    # the 20 events without a time have an id of their own
    assert sorted(settled) == sorted(
        [f"{d}/{h}/{w}" for d in days for h in (0, 1, 2, 3, 23) for w in dates] + ["e1"] * 20
    )


def test_no_run_needs_to_wait_for_another(lake: Lake) -> None:
    lake.write(key(DAY2, 0), lines(event("a", time="2026-05-01T23:00:00Z"), event("b", time="2026-05-02T00:30:00Z")))
    lake.run(DAY2)
    lake.run(DAY1)
    assert {row["Id"]: row["owner"] for row in lake.rows()} == {"a": DAY1, "b": DAY2}


def test_a_rerun_replaces_exactly_its_own_files(lake: Lake) -> None:
    lake.write(key(DAY1), lines(event("a"), event("b", source="gone"), "{broken"))
    lake.write(key(DAY2), lines(event("c", time="2026-05-02T10:00:00Z"), event("late", time="2026-05-01T10:00:00Z")))
    lake.run(DAY1)
    lake.run(DAY2)
    others = {p: d for p, d in lake.files("").items() if "2026-05-02.parquet" in p}
    assert len(others) == 2
    lake.write(key(DAY1), event("a2"))
    lake.run(DAY1)
    assert {p: d for p, d in lake.files("").items() if "2026-05-02.parquet" in p} == others
    assert {row["Id"]: row["owner"] for row in lake.rows()} == {"a2": DAY1, "c": DAY2, "late": DAY2}
    assert lake.quarantine(DAY1) == []


def test_a_rerun_takes_away_its_files_under_other_dates_and_of_a_source_that_has_gone(lake: Lake) -> None:
    late = event("late", time="2026-05-01T10:00:00Z", source="old")
    lake.write(key(DAY3), lines(late, event("own", time="2026-05-03T10:00:00Z")))
    lake.run(DAY3)
    assert len(lake.files()) == 2
    lake.write(key(DAY3), event("own", time="2026-05-03T10:00:00Z"))
    lake.run(DAY3)
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-03/source=shop/2026-05-03.parquet"]


def test_a_rerun_of_a_day_that_has_become_empty_leaves_only_a_manifest(lake: Lake) -> None:
    lake.write(key(DAY1), lines(event("a"), "{broken"))
    lake.run()
    (lake.raw / key(DAY1)).unlink()
    lake.run(accept_vanished_raw=True)
    assert lake.files("auditlog_parquet") == lake.files("auditlog_quarantine") == {}
    assert lake.manifest()["rows"] == lake.manifest()["quarantined_records"] == 0


def test_a_rerun_is_byte_identical(lake: Lake) -> None:
    texts = [event(f"e{n}", time=f"2026-05-0{1 + n % 2}T10:00:0{n}Z", source=f"s{n % 3}") for n in range(9)]
    lake.write(key(DAY1), zipped(lines(*texts, "{broken", event(top={"id": "7"}))))
    lake.run()
    before = lake.files("auditlog_parquet") | lake.files("auditlog_quarantine")
    lake.run()
    assert lake.files("auditlog_parquet") | lake.files("auditlog_quarantine") == before


def test_a_late_object_is_repaired_by_running_the_partitions_that_read_its_hour_again(lake: Lake) -> None:
    for partition in (DAY1, DAY2):
        lake.run(partition)
    texts = lines(event("a", time="2026-05-01T23:00:00Z"), event("b", time="2026-05-02T00:00:00Z"), "{broken")
    lake.write(key(DAY2, 0, "late"), texts)
    for partition in (DAY1, DAY2):
        lake.run(partition)
    assert {row["Id"]: row["owner"] for row in lake.rows()} == {"a": DAY1, "b": DAY2}
    assert reasons(lake.quarantine(DAY2)) == ["not_json"]


def test_the_first_run_writes_what_every_run_of_the_lake_must_share(lake: Lake) -> None:
    lake.grace = 2
    lake.run()
    assert list(lake.files("auditlog_manifest")) == [
        "auditlog_manifest/2026-05-01.json",
        "auditlog_manifest/_lake.json",
    ]
    text = (lake.path / "auditlog_manifest/_lake.json").read_text()
    assert "2026-05-01" in text
    assert 2 in json.loads(text).values()


def test_a_run_with_another_grace_is_refused_and_says_how_to_move(lake: Lake) -> None:
    read(lake, event("a"))
    folders = ("auditlog_parquet", "auditlog_quarantine", "auditlog_manifest")
    before = [lake.files(folder) for folder in folders]
    for grace in (0, 2):
        with pytest.raises(GraceMismatchError, match=r"(?i)again|re-?run|run every") as refused:
            lake.run(DAY2, grace_hours=grace)
        assert isinstance(refused.value, AuditPipelineError)
    assert [lake.files(folder) for folder in folders] == before


def test_an_earlier_first_partition_is_taken_over(lake: Lake) -> None:
    lake.write(key(DAY2), event("a", time="2026-05-01T10:00:00Z"))
    lake.run(DAY2, start_date=DAY2)
    assert reasons(lake.quarantine(DAY2)) == ["time_out_of_range"]
    lake.run(DAY2, start_date=DAY1)
    assert lake.quarantine(DAY2) == []
    assert ids(lake.rows()) == ["a"]


def test_a_later_first_partition_does_not_change_the_lakes(lake: Lake) -> None:
    lake.run(DAY1, start_date=DAY1)
    lake.write(key(DAY2), event("a", time="2026-05-01T10:00:00Z"))
    lake.run(DAY2, start_date=DAY2)
    assert ids(lake.rows()) == ["a"]


# === Part 5, quarantine =============================================================================================


def test_a_record_of_a_whole_event_names_its_place_and_holds_its_text(lake: Lake) -> None:
    text = event("bad", time="no")
    read(lake, zipped(f"{BOM}{event('é')}\n {text}\n"))
    record = only(lake.quarantine())
    assert record.pop("Message")
    assert record == {
        "Reason": "bad_time",
        "RawKey": key(DAY1),
        "Offset": 3 + len(event("é").encode()) + 2,
        "EntityIndex": None,
        "EventId": "bad",
        "Source": "shop",
        "Raw": text.encode(),
    }


def test_a_record_of_an_entity_names_its_event_and_holds_the_entitys_text(lake: Lake) -> None:
    change = '{ "entity" : {"id" : "" , "name":"é\\u00e9"} }'
    read(lake, event("first") + event("e9", ENTITY, ENTITY, change))
    record = only(lake.quarantine())
    assert record.pop("Message")
    assert record == {
        "Reason": "missing_field",
        "RawKey": key(DAY1),
        "Offset": len(event("first")),
        "EntityIndex": 2,
        "EventId": "e9",
        "Source": "shop",
        "Raw": change.encode(),
    }


def test_a_record_of_broken_text_has_no_event(lake: Lake) -> None:
    read(lake, '{"id":"x","source":"y"')
    record = only(lake.quarantine())
    assert (record["Offset"], record["EntityIndex"], record["EventId"], record["Source"]) == (0, None, None, None)


def test_the_quarantine_has_its_columns_in_their_types(lake: Lake) -> None:
    read(lake, "x")
    file = pq.ParquetFile(lake.path / "auditlog_quarantine/dt=2026-05-01/2026-05-01.parquet")
    assert [(f.name, f.type) for f in file.schema_arrow] == [(f.name, f.type) for f in QUARANTINE_SCHEMA]


def test_every_reason_there_is(lake: Lake) -> None:
    texts = [
        "[]",
        "broken",
        event("a", top={"id": None}),
        event("b", top={"id": "1"}),
        event("c", detail={"entities": "[]"}),
        event("d", time="no"),
        event("e", time="2020-01-01T00:00:00Z"),
        event("f", source="/"),
        event("g"),
        event("g", entity(after="1")),
    ]
    lake.write(key(DAY1, 1, "a"), lines(*texts))
    lake.write(key(DAY1, 1, "b"), zipped("")[:-1])
    lake.run()
    assert sorted(reasons(lake.quarantine())) == sorted(REASONS)
    assert lake.manifest()["quarantine"]["by_reason"] == dict.fromkeys(REASONS, 1)


# === Part 5, duplicates =============================================================================================

COPY = entity(after="1")
OTHER = entity(after="2")


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
    ],
)
def test_events_are_equal_when_all_their_rows_are_equal_in_every_column(lake: Lake, second: str) -> None:
    counts = read(lake, event("a", COPY) + second)
    assert counts == {"read": 2, "kept": 1, "duplicate": 0, "deferred": 0, "quarantined": 1}
    assert reasons(lake.quarantine()) == ["conflicting_duplicate"]


@pytest.mark.parametrize(
    "second",
    [
        event("a", COPY, top={"account": "7", "region": '"x"'}),
        event("a", entity(after="1", unknown="7")),
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


LATE_DAYS = [(DAY1, DAY3), (DAY3, DAY1)]


@pytest.mark.parametrize("order", LATE_DAYS, ids=["in order", "backwards"])
def test_an_event_that_another_partition_has_written_into_that_dt_is_a_duplicate(
    lake: Lake, order: tuple[date, date]
) -> None:
    lake.write(key(DAY1), event("a", COPY))
    lake.write(key(DAY3), event("a", COPY, top={"account": "2"}))
    for partition in order:
        lake.run(partition)
    assert [(row["Id"], row["owner"]) for row in lake.rows()] == [("a", order[0])]
    second = lake.manifest(order[1])
    assert second["events"] == {"read": 1, "kept": 0, "duplicate": 1, "deferred": 0, "quarantined": 0}
    assert second["outputs"] == []


@pytest.mark.parametrize("order", LATE_DAYS, ids=["in order", "backwards"])
def test_one_that_conflicts_with_another_partitions_is_quarantined(lake: Lake, order: tuple[date, date]) -> None:
    texts = {DAY1: event("a", COPY), DAY3: event("a", OTHER)}
    for day, text in texts.items():
        lake.write(key(day), text)
    for partition in order:
        lake.run(partition)
    assert [(row["Id"], row["owner"]) for row in lake.rows()] == [("a", order[0])]
    records = lake.quarantine(order[1])
    assert [(r["Reason"], r["Raw"].decode()) for r in records] == [("conflicting_duplicate", texts[order[1]])]
    assert lake.manifest(order[1])["events"]["quarantined"] == 1


@pytest.mark.parametrize("order", [(DAY2, DAY3), (DAY3, DAY2)])
def test_a_late_event_is_held_against_another_late_one(lake: Lake, order: tuple[date, date]) -> None:
    for day in (DAY2, DAY3):
        lake.write(key(day), event("a", COPY))
    for partition in order:
        lake.run(partition)
    assert [row["owner"] for row in lake.rows()] == [order[0]]


def test_a_copy_is_found_where_several_partitions_have_written_into_that_dt(lake: Lake) -> None:
    lake.write(key(DAY2), event("from day 2"))
    lake.write(key(DAY3), event("from day 3"))
    lake.write(key(DAY1), event("own") + event("from day 3"))
    for partition in (DAY2, DAY3, DAY1):
        lake.run(partition)
    assert sorted(ids(lake.rows())) == ["from day 2", "from day 3", "own"]
    assert lake.manifest(DAY1)["events"]["duplicate"] == 1


def test_across_partitions_the_quarantined_entities_count_too(lake: Lake) -> None:
    lake.write(key(DAY1), event("same", COPY, "7") + event("other", COPY, "7"))
    lake.write(key(DAY3), event("same", COPY, "7") + event("other", COPY, "8"))
    for partition in (DAY1, DAY3):
        lake.run(partition)
    assert lake.manifest(DAY3)["events"] == {"read": 2, "kept": 0, "duplicate": 1, "deferred": 0, "quarantined": 1}
    assert [(r["Reason"], r["EventId"]) for r in lake.quarantine(DAY3)] == [("conflicting_duplicate", "other")]


def test_only_files_of_that_dt_are_looked_at(lake: Lake) -> None:
    lake.write(key(DAY1), event("a", COPY))
    lake.write(key(DAY3), event("a", COPY, time="2026-05-03T10:00:00Z"))
    for partition in (DAY1, DAY3):
        lake.run(partition)
    assert [(row["dt"], row["owner"]) for row in lake.rows()] == [("2026-05-01", DAY1), ("2026-05-03", DAY3)]


def test_a_rerun_does_not_hold_an_event_against_its_own_earlier_files(lake: Lake) -> None:
    lake.write(key(DAY1), event("a", COPY))
    lake.write(key(DAY3), event("a", COPY) + event("b", COPY))
    for partition in (DAY1, DAY3, DAY3, DAY1):
        lake.run(partition)
    assert [(row["Id"], row["owner"]) for row in lake.rows()] == [("a", DAY1), ("b", DAY3)]
    assert lake.manifest(DAY1)["events"]["kept"] == 1


def test_the_table_holds_each_event_once_when_the_runs_go_on_at_the_same_time(lake: Lake) -> None:
    days = (DAY1, DAY2, DAY3)
    for day in days:
        lake.write(key(day), lines(*(event(f"e{n}", COPY) for n in range(5))))
    lake.run(DAY4)  # so that the lake is there
    failed: list[BaseException] = []

    def run(partition: date) -> None:
        try:
            lake.run(partition)
        except BaseException as error:
            failed.append(error)

    for _ in range(3):
        threads = [threading.Thread(target=run, args=(day,)) for day in days]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert sorted(ids(lake.rows())) == ["e0", "e1", "e2", "e3", "e4"]


# === Part 5, order and conservation =================================================================================


def test_the_rows_of_a_file_are_sorted_by_timestamp_id_and_entity_index(lake: Lake) -> None:
    lake.write(key(DAY1, 5), event("b", ENTITY, ENTITY, time="2026-05-01T12:00:00Z") + event("\uff5e"))
    lake.write(key(DAY1, 6), lines(*(event(name, *[ENTITY] * 12) for name in ("😀", "é", "a", "Z", "10", "2", "aa"))))
    lake.write(key(DAY2, 0), event("z", time="2026-05-01T00:00:00.001Z") + event("y", time="2026-05-01T00:00:00.000Z"))
    lake.run()
    found = [(row["Timestamp"], row["Id"], row["EntityIndex"]) for row in lake.rows()]
    assert found == sorted(found)
    assert list(dict.fromkeys(ids(lake.rows()))) == ["y", "z", "10", "2", "Z", "a", "aa", "é", "\uff5e", "😀", "b"]
    assert [row["EntityIndex"] for row in lake.rows() if row["Id"] == "Z"] == list(range(12))


def test_every_event_and_row_is_accounted_for(lake: Lake) -> None:
    lake.write(key(DAY1, 3), lines("7", "broken", event("a", ENTITY, "7"), event("a", ENTITY, "7"), event("a")))
    lake.write(key(DAY1, 4), lines(event("b", "7"), event("c", time="2026-05-02T00:00:00Z"), event("d", source="?")))
    lake.write(key(DAY1, 5), zipped(event("x"))[:-1])
    lake.write(key(DAY2, 0), lines(event("e", ENTITY, ENTITY), event("f", time="2026-05-02T00:00:00Z"), "broken"))
    lake.run()
    manifest = lake.manifest()
    assert manifest["events"] == {"read": 12, "kept": 4, "duplicate": 1, "deferred": 2, "quarantined": 5}
    assert (manifest["rows"], manifest["late_rows"], manifest["quarantined_records"]) == (5, 1, 7)
    assert manifest["objects"] == {"read": 4, "unreadable": 1}
    assert len(lake.rows()) == 5
    assert len(lake.quarantine()) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 5},
        {"rows": 0},
        {"quarantined_records": 0},
        {"events": EventCounts(read=3, kept=1, quarantined=1)},
        {"events": EventCounts(read=2, kept=2, quarantined=1)},
    ],
)
def test_a_run_that_cannot_show_this_fails(lake: Lake, wrong: Record) -> None:
    lake.write(key(DAY1), event("a") + "broken")
    manifest = lake.run()
    manifest.check_conservation()
    with pytest.raises(ConservationError):
        msgspec.structs.replace(manifest, **wrong).check_conservation()


def test_a_day_gives_the_same_bytes_whatever_the_workers_and_the_memory(tmp_path: Path) -> None:
    """The rows of one source come from many objects, with copies and broken texts among them."""
    found = []
    for number, given in enumerate(({"workers": 1}, {"workers": 2, "memory_mb": 256})):
        lake = Lake(tmp_path / str(number))
        for part in range(40):
            numbers = range(part * 75, part * 75 + 100)
            texts = [event(f"e{n % 1500}", time=f"2026-05-0{1 + n % 2}T10:00:{n % 60:02}Z") for n in numbers]
            lake.write(key(DAY1, part % 24, f"{part:02}"), zipped("".join(texts) + "{broken"))
        lake.run(**given)
        found.append((lake.files("auditlog_parquet"), lake.files("auditlog_quarantine"), counts_of(lake.manifest())))
    assert found[0] == found[1]
    assert found[0][2]["kept"] == 1500
    assert found[0][2]["duplicate"] == 2500


# === Part 6: the manifest ===========================================================================================


def test_the_manifest_records_what_the_run_read_wrote_dropped_and_quarantined(lake: Lake) -> None:
    lake.write(key(DAY1, 3, "b"), event("a") + event("b", time="2026-05-01T09:00:00.5Z") + event("c", source="other"))
    lake.write(key(DAY1, 3, "a"), zipped(event("l", time="2026-05-02T09:00:00Z") + "broken" + event("q", "1", "2")))
    started = datetime.now(UTC)
    lake.run()
    manifest = lake.manifest()
    assert set(manifest) == {
        *("partition", "run_id", "code_version", "engine", "started_at", "finished_at", "grace_hours", "inputs"),
        *("objects", "events", "rows", "late_rows", "quarantined_records", "outputs", "quarantine"),
    }
    assert (manifest["partition"], manifest["engine"], manifest["grace_hours"]) == (
        "2026-05-01",
        lake.settings["engine"],
        1,
    )
    assert manifest["run_id"]
    assert manifest["code_version"]
    times = [datetime.fromisoformat(manifest[name]) for name in ("started_at", "finished_at")]
    assert started <= times[0] <= times[1] <= datetime.now(UTC)
    assert [(i["key"], i["size"]) for i in manifest["inputs"]] == [
        (key(DAY1, 3, name), (lake.raw / key(DAY1, 3, name)).stat().st_size) for name in ("a", "b")
    ]
    assert all(i["e_tag"] for i in manifest["inputs"])
    assert manifest["objects"] == {"read": 2, "unreadable": 0}
    assert manifest["events"] == {"read": 6, "kept": 4, "duplicate": 0, "deferred": 0, "quarantined": 2}
    assert (manifest["rows"], manifest["late_rows"], manifest["quarantined_records"]) == (4, 1, 3)
    assert manifest["quarantine"] == {
        "path": "auditlog_quarantine/dt=2026-05-01/2026-05-01.parquet",
        "records": 3,
        "by_reason": {"not_json": 1, "wrong_type": 2},
    }


def test_the_manifest_records_every_file_of_the_table(lake: Lake) -> None:
    lake.write(
        key(DAY1), event("a") + event("b", time="2026-05-01T09:00:00.5Z") + event("l", time="2026-05-02T09:00:00Z")
    )
    lake.run()
    files = lake.files()
    moments = {"2026-05-01": ("09:00:00.500", "10:00:00.000"), "2026-05-02": ("09:00:00.000", "09:00:00.000")}
    outputs = sorted(lake.manifest()["outputs"], key=lambda o: o["path"])
    assert [o["path"] for o in outputs] == list(files)
    for output in outputs:
        data, dt = files[output["path"]], output["dt"]
        assert output["path"] == f"auditlog_parquet/dt={dt}/source=shop/2026-05-01.parquet"
        assert (output["source"], output["rows"]) == ("shop", 2 if dt == "2026-05-01" else 1)
        assert (output["size"], output["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        for name, moment in zip(("min_timestamp", "max_timestamp"), moments[dt], strict=True):
            found = datetime.fromisoformat(output[name])
            assert found.replace(tzinfo=found.tzinfo or UTC) == datetime.fromisoformat(f"{dt}T{moment}+00:00")


def test_the_manifest_that_is_returned_is_the_one_that_is_written(lake: Lake) -> None:
    lake.write(key(DAY1), event("a") + "broken")
    manifest = lake.run()
    written = lake.manifest()
    assert (manifest.partition, manifest.run_id, manifest.rows) == (DAY1, written["run_id"], 1)
    assert manifest.events.read == written["events"]["read"] == 2


def test_an_empty_day_gives_a_manifest_with_zeros(lake: Lake) -> None:
    lake.run(DAY1)
    manifest = lake.manifest(DAY1)
    assert set(manifest["events"].values()) == {0}
    assert manifest["objects"] == {"read": 0, "unreadable": 0}
    assert (manifest["rows"], manifest["late_rows"], manifest["quarantined_records"]) == (0, 0, 0)
    assert manifest["inputs"] == manifest["outputs"] == []
    assert manifest["quarantine"] == {"path": None, "records": 0, "by_reason": {}}
    assert lake.files("auditlog_parquet") == lake.files("auditlog_quarantine") == {}


class KilledError(BaseException):
    """A run that is killed: not an ``Exception``, so that no handler of the product's can mend it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Let the next run die when it writes ``path``."""
    for name in ("put", "create"):
        original = getattr(Store, name)

        def dying(self: Store, key: str, *args: Any, original: Any = original) -> Any:
            if re.fullmatch(path, key):
                raise KilledError
            return original(self, key, *args)

        monkeypatch.setattr(Store, name, dying)


def test_the_manifest_is_written_last(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(key(DAY1), event("a") + "broken")
    kill_at(monkeypatch, "auditlog_manifest/2026-05-01.json")
    with pytest.raises(KilledError):
        lake.run()
    assert ids(lake.rows()) == ["a"]
    assert len(lake.quarantine()) == 1


@pytest.mark.parametrize("point", [r"auditlog_manifest/2026-05-01.json", r"auditlog_quarantine/.*"])
def test_the_next_run_cleans_up_after_one_that_left_no_manifest(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    lake.write(key(DAY1), event("a") + event("b", source="gone") + event("c", time="2026-05-02T00:00:00Z") + "broken")
    with monkeypatch.context() as killing:
        kill_at(killing, point)
        with pytest.raises(KilledError):
            lake.run()
    lake.write(key(DAY1), event("a"))
    lake.run()
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"]
    assert lake.quarantine() == []


def test_the_next_run_cleans_up_after_a_rerun_that_was_killed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(key(DAY1), event("a", source="first"))
    lake.run()
    lake.write(key(DAY1), event("a", source="second"))
    with monkeypatch.context() as killing:
        kill_at(killing, "auditlog_manifest/2026-05-01.json")
        with pytest.raises(KilledError):
            lake.run()
    lake.write(key(DAY1), event("a", source="third"))
    lake.run()
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=third/2026-05-01.parquet"]


def test_what_a_killed_run_left_does_not_stand_for_another_partition(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(key(DAY1), event("a", COPY))
    lake.write(key(DAY3), event("a", COPY))
    with monkeypatch.context() as killing:
        kill_at(killing, "auditlog_manifest/2026-05-01.json")
        with pytest.raises(KilledError):
            lake.run(DAY1)
    lake.run(DAY3)
    lake.run(DAY1)
    assert ids(lake.rows()) == ["a"]
