"""Copies of an event across partitions: the table holds each event once per ``dt``, whatever ran first."""

import threading
from datetime import date

import pytest

from tests.support.lake import DAY1, DAY2, DAY3, DAY4, Lake, event, ids, key
from tests.support.rules import COPY, OTHER, lines

#: Each test with a lake.
ON_EVERY_ENGINE = True


LATE_DAYS = [(DAY1, DAY3), (DAY3, DAY1)]


@pytest.mark.parametrize("order", LATE_DAYS, ids=["in order", "backwards"])
def test_an_event_that_another_partition_has_written_into_that_dt_is_a_duplicate(
    lake: Lake, order: tuple[date, date]
) -> None:
    lake.write(key(DAY1), event("a", COPY))
    lake.write(key(DAY3), event("a", COPY, top={"version": '"2"'}))
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
