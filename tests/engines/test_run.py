"""Runs of partitions one after the other: what a rerun replaces, repairs and leaves alone."""

from tests.support.lake import DAY1, DAY2, DAY3, Lake, event, key, reasons, zipped
from tests.support.rules import lines

#: Each test with a lake.
ON_EVERY_ENGINE = True


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
