"""Which run owns which event: by the event's date and the delivery hour of its object."""

from datetime import date

import pytest

from tests.support.lake import DAY0, DAY1, DAY2, DAY3, DAY4, DAY5, ENTITY, Lake, event, ids, key, reasons, zipped
from tests.support.rules import lines, objects, read

#: Each test with a lake.
ON_EVERY_ENGINE = True


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
    assert lake.manifest(DAY1)["objects"] == objects(1)
    assert lake.quarantine(DAY1) == []
    lake.run(DAY2)
    assert lake.manifest(DAY2)["objects"] == objects(1, unreadable=1)
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
