"""The built-in quality checks, each on good rows and on bad ones: how many, which, and how bad."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipeline.contract.columns import ROW_SCHEMA
from audit_pipeline.errors import StoreError
from audit_pipeline.quality import check_quality, history, parts, quality_checks
from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.settings import Settings
from audit_pipeline.store.layout import data_path
from audit_pipeline.store.manifest import (
    EventCounts,
    Manifest,
    ObjectCounts,
    OutputFile,
    QuarantineFile,
    read_manifest,
    write_manifest,
)
from audit_pipeline.store.objects import open_store
from tests.support.lake import DAY1, DAY2, DAY3, Lake, Record, entity, event, key
from tests.support.lanes import examples
from tests.support.verdicts import failure

CRITICAL = {"key_unique", "required_not_null", "timestamp_in_dt", "entity_index_not_negative", "readable_share"}
WARNING = {
    "known_actor_types",
    "known_actions",
    "before_after_are_json_objects",
    "parent_consistent",
    "update_has_before_and_after",
    "rows_per_source",
    "new_sources",
}
ROW_CHECKS = sorted((CRITICAL | WARNING) - {"key_unique", "readable_share", "rows_per_source", "new_sources"})


def settings_of(lake: Lake, **changed: Any) -> Settings:
    return Settings(raw_url=str(lake.raw), lake_url=str(lake.path), start_date=lake.first, workers=1, **changed)


def check_all(lake: Lake, names: Iterable[str], partition: date = DAY1, **changed: Any) -> dict[str, Verdict]:
    store = open_store(str(lake.path))
    manifest = read_manifest(store, partition)
    assert manifest
    return check_quality(settings_of(lake, **changed), store, manifest, [*names])


def check(lake: Lake, name: str, partition: date = DAY1, **changed: Any) -> Verdict:
    verdicts = check_all(lake, [name], partition, **changed)
    assert list(verdicts) == [name]
    return verdicts[name]


def keys_of(rows: Sequence[Record]) -> list[tuple[str, str, int]]:
    return [(row["source"], row["Id"], row["EntityIndex"]) for row in rows]


def row(**fields: Any) -> Record:
    """A sound row, with a place for it."""
    sound = {"Id": "e", "Timestamp": datetime(2026, 5, 1, 10), "EntityId": "1", "EntityName": "n", "EntityIndex": 0}
    return sound | fields


def write_file(lake: Lake, path: str, rows: Sequence[Record]) -> None:
    """A data file as no run would write it: any column may be null."""
    nullable = pa.schema([field.with_nullable(True) for field in ROW_SCHEMA])
    target = lake.path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, nullable), target, row_group_size=3)


def output(path: str, rows: int) -> OutputFile:
    _, dt, source, _ = path.split("/")
    day = date.fromisoformat(dt.removeprefix("dt="))
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return OutputFile(path, day, source.removeprefix("source="), rows, 1, "", moment, moment)


def commit(
    lake: Lake,
    partition: date,
    outputs: Sequence[OutputFile],
    events: EventCounts | None = None,
    by_reason: Mapping[str, int] | None = None,
) -> None:
    """A manifest of these files, without a run."""
    rows = sum(one.rows for one in outputs)
    now = datetime.now(UTC)
    reasons = dict(by_reason or {})
    manifest = Manifest(
        partition=partition,
        run_id="test",
        code_version="test",
        engine="test",
        started_at=now,
        finished_at=now,
        grace_hours=1,
        inputs=[],
        objects=ObjectCounts(),
        events=events or EventCounts(read=rows, kept=rows),
        rows=rows,
        late_rows=sum(one.rows for one in outputs if one.dt != partition),
        quarantined_records=sum(reasons.values()),
        outputs=list(outputs),
        quarantine=QuarantineFile(None, sum(reasons.values()), reasons),
    )
    write_manifest(open_store(str(lake.path), create=True), manifest)


def write_day(lake: Lake, *rows: Record, partition: date = DAY1, source: str = "shop") -> None:
    """A day of one file with these rows."""
    path = data_path(partition, partition, source)
    write_file(lake, path, rows)
    commit(lake, partition, [output(path, len(rows))])


def write_sources(lake: Lake, partition: date, **rows: int) -> None:
    """A day of which only the manifest is there, with so many rows a source."""
    commit(lake, partition, [output(data_path(partition, partition, name), count) for name, count in rows.items()])


# === A good day ======================================================================================================


GOOD = (
    event("e1", entity(before='{"a":1}', after='{"a":2}'), entity(after="{}", before="{}"),
          detail={"action": '"Update"', "actor": '{"type":1,"name":"u"}'}),
    event("e2", entity(after="{}", parent='{"id":"7","name":"Order","type":"o"}'), detail={"action": '"Create"'}),
    event("e1", source="billing", detail={"action": '"Delete"', "actor": '{"type":0}'}),
    event("e3", source="billing"),
)  # fmt: skip


def test_every_check_passes_on_a_good_day_with_late_rows(lake: Lake) -> None:
    lake.write(key(DAY1), "\n".join(GOOD))
    lake.write(key(DAY2), "\n".join([event("e4"), event("e5", time="2026-05-02T01:00:00Z", source="billing")]))
    lake.run(DAY1)
    second = lake.run(DAY2)
    assert second.late_rows == 1
    for day in (DAY1, DAY2):
        verdicts = check_all(lake, CRITICAL | WARNING, day)
        assert {name for name, verdict in verdicts.items() if not verdict.passed} == set()
        assert all(verdict.description for verdict in verdicts.values())


def test_every_check_passes_on_a_day_without_rows(lake: Lake) -> None:
    lake.run(DAY1)
    lake.write(key(DAY2), "\n".join(event(f"e{n}", time="2026-05-02T10:00:00Z") for n in range(3)))
    lake.run(DAY2)
    lake.run(DAY3)
    for day in (DAY1, DAY3):
        verdicts = check_all(lake, CRITICAL | WARNING, day)
        assert {name for name, verdict in verdicts.items() if not verdict.passed} == set()


def test_the_checks_are_listed_with_what_can_hold_a_day_back_and_cost_no_import(lake: Lake) -> None:
    checks = quality_checks(settings_of(lake))
    assert {check.name: check.is_critical for check in checks} == dict.fromkeys(CRITICAL, True) | dict.fromkeys(
        WARNING, False
    )
    assert all(check.description.endswith(".") for check in checks)
    program = (
        "import sys; from audit_pipeline.quality import quality_checks; from audit_pipeline.settings import Settings;"
        "quality_checks(Settings(raw_url='r', lake_url='l', start_date='2026-05-01')); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"great_expectations", "pandas", "dagster"} & set(loaded.stdout.split())


def test_a_name_that_is_no_checks_is_refused(lake: Lake) -> None:
    write_day(lake, row())
    with pytest.raises(ValueError, match="no quality check known_colours"):
        check(lake, "known_colours")


def test_only_what_the_checks_need_is_read(lake: Lake) -> None:
    write_sources(lake, DAY1, shop=10)
    assert check(lake, "readable_share").passed
    assert check(lake, "new_sources").passed
    with pytest.raises(StoreError, match="is missing: run its partition again"):
        check(lake, "known_actions")


def test_a_file_that_cannot_be_read_stops_the_checks_in_one_line(lake: Lake) -> None:
    write_day(lake, row())
    (lake.path / data_path(DAY1, DAY1, "shop")).write_bytes(b"PAR1 no Parquet PAR1")
    with pytest.raises(StoreError, match=r"2026-05-01\.parquet cannot be read .*: run its partition again"):
        check(lake, "known_actions")


# === Critical checks =================================================================================================


def test_a_key_that_stands_twice_in_a_file_is_found(lake: Lake) -> None:
    write_day(lake, row(Id="a"), row(Id="b"), row(Id="b"), row(Id="b", EntityIndex=1), row(Id="b"))
    metadata = failure(check(lake, "key_unique"), "error")
    assert metadata["failed"] == 1
    assert metadata["rows"] == [{"source": "shop", "Id": "b", "EntityIndex": 0, "dt": "2026-05-01", "times": 3}]


def test_a_key_that_stands_in_another_partitions_file_of_the_same_date_is_found(lake: Lake) -> None:
    lake.write(key(DAY1), event("e1") + event("e2"))
    lake.run(DAY1)
    late = data_path(DAY2, DAY1, "shop")
    write_file(lake, late, [row(Id="e2"), row(Id="e9")])
    commit(lake, DAY2, [output(late, 2)])
    metadata = failure(check(lake, "key_unique"), "error")
    assert (metadata["failed"], keys_of(metadata["rows"])) == (1, [("shop", "e2", 0)])


def test_a_key_of_a_late_row_that_stands_in_that_date_already_is_found(lake: Lake) -> None:
    late, other = data_path(DAY2, DAY1, "shop"), data_path(DAY1, DAY1, "shop")
    write_file(lake, other, [row(Id="x"), row(Id="x"), row(Id="e2")])
    write_file(lake, late, [row(Id="e2"), row(Id="e3")])
    commit(lake, DAY1, [output(other, 3)])
    commit(lake, DAY2, [output(late, 2)])
    metadata = failure(check(lake, "key_unique", DAY2), "error")
    # x is the matter of the partition that wrote it
    assert (metadata["failed"], [(r["Id"], r["dt"]) for r in metadata["rows"]]) == (1, [("e2", "2026-05-01")])


def test_the_same_id_in_another_source_date_or_index_is_another_key(lake: Lake) -> None:
    shop, billing = data_path(DAY1, DAY1, "shop"), data_path(DAY1, DAY1, "billing")
    late = data_path(DAY1, DAY2, "shop")
    write_file(lake, shop, [row(), row(EntityIndex=1), row(Id=None), row(Id=None)])
    write_file(lake, billing, [row()])
    write_file(lake, late, [row()])
    commit(lake, DAY1, [output(shop, 4), output(billing, 1), output(late, 1)])
    assert check(lake, "key_unique").passed


def test_duplicate_keys_of_several_sources_are_counted_and_the_first_twenty_reported(lake: Lake) -> None:
    shop, billing = data_path(DAY1, DAY1, "shop"), data_path(DAY1, DAY1, "billing")
    write_file(lake, shop, [row(Id=f"e{n:02}") for n in range(30)] * 2)
    write_file(lake, billing, [row(), row()])
    commit(lake, DAY1, [output(shop, 60), output(billing, 2)])
    metadata = failure(check(lake, "key_unique"), "error")
    assert metadata["failed"] == 31
    assert keys_of(metadata["rows"]) == [("billing", "e", 0), *(("shop", f"e{n:02}", 0) for n in range(19))]


@pytest.mark.parametrize("column", ["Id", "Timestamp", "EntityId", "EntityName", "EntityIndex"])
def test_a_required_column_that_is_null_is_found(lake: Lake, column: str) -> None:
    write_day(lake, row(Id="a"), row(Id="b") | {column: None}, row(Id="c", ActorName=None))
    metadata = failure(check(lake, "required_not_null"), "error")
    assert metadata["failed"] == 1
    assert metadata["rows"] == [{"source": "shop", "Id": "b", "EntityIndex": 0, "dt": "2026-05-01"} | {column: None}]
    assert [one["broken"] for one in metadata["expectations"] if one["failed"]] == [f"{column} is null"]


def test_a_row_with_two_nulls_is_one_bad_row(lake: Lake) -> None:
    write_day(lake, row(Id="a", EntityId=None, EntityName=None), row(Id="b"))
    metadata = failure(check(lake, "required_not_null"), "error")
    assert (metadata["failed"], keys_of(metadata["rows"])) == (1, [("shop", "a", 0)])


@pytest.mark.parametrize(
    ("moment", "is_of_date"),
    [
        (datetime(2026, 5, 1), True),
        (datetime(2026, 5, 1, 23, 59, 59, 999000), True),
        (datetime(2026, 5, 2), False),
        (datetime(2026, 4, 30, 23, 59, 59, 999000), False),
        (datetime(9999, 5, 1), False),
        (datetime(1066, 5, 1), False),
    ],
)
def test_a_timestamp_outside_its_dt_is_found(lake: Lake, moment: datetime, is_of_date: bool) -> None:
    write_day(lake, row(Id="a"), row(Id="b", Timestamp=moment), row(Id="c", Timestamp=None))
    verdict = check(lake, "timestamp_in_dt")
    if is_of_date:
        assert verdict.passed
    else:
        metadata = failure(verdict, "error")
        assert (metadata["failed"], keys_of(metadata["rows"])) == (1, [("shop", "b", 0)])
        assert metadata["rows"][0]["Timestamp"] == moment.isoformat()


def test_a_late_rows_timestamp_is_held_to_its_own_dt(lake: Lake) -> None:
    late = data_path(DAY2, DAY1, "shop")
    write_file(lake, late, [row(Id="a"), row(Id="b", Timestamp=datetime(2026, 5, 2))])
    commit(lake, DAY2, [output(late, 2)])
    metadata = failure(check(lake, "timestamp_in_dt", DAY2), "error")
    assert [(r["Id"], r["dt"]) for r in metadata["rows"]] == [("b", "2026-05-01")]


def test_a_negative_entity_index_is_found(lake: Lake) -> None:
    write_day(lake, row(EntityIndex=0), row(EntityIndex=-1), row(EntityIndex=None), row(EntityIndex=7))
    metadata = failure(check(lake, "entity_index_not_negative"), "error")
    assert (metadata["failed"], keys_of(metadata["rows"])) == (1, [("shop", "e", -1)])


# === Checks that warn ================================================================================================


def test_an_actor_type_and_an_action_outside_the_contract_warn_and_null_passes(lake: Lake) -> None:
    lake.write(
        key(DAY1),
        "\n".join(
            [
                *GOOD,
                event("x1", detail={"actor": '{"type":3}', "action": '"update"'}),
                event("x2", detail={"actor": '{"type":"Robot"}', "action": '"Archive"'}, source="billing"),
                event("x3", detail={"actor": '{"type":2}', "action": "null"}),
            ]
        ),
    )
    lake.run()
    types = failure(check(lake, "known_actor_types"), "warn")
    assert [(r["Id"], r["ActorType"]) for r in types["rows"]] == [("x2", "Robot"), ("x1", "3")]
    actions = failure(check(lake, "known_actions"), "warn")
    assert [(r["Id"], r["Action"]) for r in actions["rows"]] == [("x2", "Archive"), ("x1", "update")]
    assert (types["failed"], actions["failed"]) == (2, 2)


DEEP = '{"a":' * 200 + "1" + "}" * 200


@pytest.mark.parametrize(
    ("text", "is_object"),
    [
        ("{}", True),
        ('{ "a" : [1.10, 1e999, null, {"b":"\\u00e9"}] }', True),
        (DEEP, True),
        ("[]", False),
        ('"{}"', False),
        ("1", False),
        ("true", False),
    ],
)
def test_before_and_after_that_are_no_objects_warn(lake: Lake, text: str, is_object: bool) -> None:
    changes = [entity(before="{}", after=text), entity(before=text), entity(before="null")]
    lake.write(key(DAY1), event("e1", *changes))
    lake.run()
    verdict = check(lake, "before_after_are_json_objects")
    if is_object:
        assert verdict.passed
    else:
        metadata = failure(verdict, "warn")
        assert (metadata["failed"], keys_of(metadata["rows"])) == (2, [("shop", "e1", 0), ("shop", "e1", 1)])
        key_of_row = {"source": "shop", "Id": "e1", "EntityIndex": 0, "dt": "2026-05-01"}
        assert metadata["rows"][0] == key_of_row | {"After": text}


@pytest.mark.parametrize("text", ["", "{", '{"a":1,}', '{"a":NaN}', '{"a":01}', "{} {}", "nul", '{"a":"\\ud800"}'])
def test_before_that_is_no_json_at_all_warns(lake: Lake, text: str) -> None:
    write_day(lake, row(Before="{}"), row(Id="bad", Before=text))
    metadata = failure(check(lake, "before_after_are_json_objects"), "warn")
    assert (metadata["failed"], metadata["rows"][0]["Before"]) == (1, text)


def test_an_object_nested_deeper_than_the_stack_is_one_still(lake: Lake) -> None:
    write_day(lake, row(Before='{"a":' * 5000 + "1" + "}" * 5000), row(Id="list", Before="[" * 5000 + "]" * 5000))
    metadata = failure(check(lake, "before_after_are_json_objects"), "warn")
    assert keys_of(metadata["rows"]) == [("shop", "list", 0)]


def test_a_parent_without_its_id_warns(lake: Lake) -> None:
    parents = [
        '{"id":"7","name":"Order","type":"o"}',
        '{"name":"Order"}',
        '{"type":"o"}',
        '{"id":"7"}',
        "null",
        '{"name":"Order","type":"o"}',
    ]
    lake.write(key(DAY1), event("e1", *(entity(parent=parent) for parent in parents)))
    lake.run()
    metadata = failure(check(lake, "parent_consistent"), "warn")
    assert (metadata["failed"], [r["EntityIndex"] for r in metadata["rows"]]) == (3, [1, 2, 5])
    assert metadata["rows"][0]["EntityParentName"] == "Order"


def test_an_update_without_before_or_after_warns(lake: Lake) -> None:
    states = [("{}", "{}"), (None, "{}"), ("{}", None), (None, None)]
    changes = [
        entity(**{k: v for k, v in zip(("before", "after"), state, strict=True) if v is not None}) for state in states
    ]
    lake.write(key(DAY1), event("e1", *changes, detail={"action": '"Update"'}) + event("e2", detail={}))
    lake.run()
    metadata = failure(check(lake, "update_has_before_and_after"), "warn")
    # the row that lacks both is one row
    assert (metadata["failed"], [r["EntityIndex"] for r in metadata["rows"]]) == (3, [1, 2, 3])
    assert [(one["broken"], one["failed"]) for one in metadata["expectations"]] == [
        ("Update without Before", 2),
        ("Update without After", 2),
    ]


def test_of_many_bad_rows_the_first_twenty_are_reported_and_long_values_are_cut(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_ROWS", 8)
    write_day(lake, *(row(Id=f"e{n:02}", Action="x" * 5000) for n in range(50)))
    metadata = failure(check(lake, "known_actions"), "warn")
    assert metadata["failed"] == 50
    assert [r["Id"] for r in metadata["rows"]] == [f"e{n:02}" for n in range(20)]
    assert {len(r["Action"]) for r in metadata["rows"]} == {201}


# === Shares and sources ==============================================================================================


@pytest.mark.parametrize(
    ("before", "now", "description"),
    [
        ([1000] * 7, 0, "usually 1,000"),
        ([1000, 0, 0, 0, 1000, 1000, 1000], 0, "usually 1,000"),
        ([20] * 7, 0, "usually 20"),
        ([1000] * 7, 5001, "has 5,001 rows"),
        ([1000] * 7, 199, "has 199 rows"),
        ([1, 0, 0], 150, "usually 0"),
        ([1000] * 7, 5000, None),
        ([1000] * 7, 200, None),
        # a few rows more or fewer say nothing, whatever the factor
        ([19] * 7, 0, None),
        ([10] * 7, 109, None),
        ([10] * 7, 1, None),
        # on most days it had none
        ([1000, 1000, 1000, 0, 0, 0, 0], 0, None),
        # new: another check's matter
        ([0] * 7, 9000, None),
        ([1000] * 2, 0, None),
    ],
)
def test_rows_of_a_source_are_held_to_the_median_of_the_days_before(
    lake: Lake, before: list[int], now: int, description: str | None
) -> None:
    day = date(2026, 5, 20)
    for distance, rows in enumerate(before, 1):
        write_sources(lake, day - timedelta(distance), steady=3000, **({"shop": rows} if rows else {}))
    # the eighth day before does not count
    write_sources(lake, day - timedelta(8), steady=3000, shop=10**6)
    write_sources(lake, day, steady=3001, **({"shop": now} if now else {}))
    verdict = check(lake, "rows_per_source", day)
    if description is None:
        assert verdict.passed, verdict
    else:
        metadata = failure(verdict, "warn")
        assert description in verdict.description
        assert (metadata["failed"], metadata["days_compared"]) == (1, len(before))
        assert [(r["source"], r["rows"]) for r in metadata["rows"]] == [("shop", now)]


def test_days_that_have_not_run_are_left_out_and_fewer_than_three_are_too_few(lake: Lake) -> None:
    day = date(2026, 5, 20)
    for distance in (1, 4, 7):
        write_sources(lake, day - timedelta(distance), shop=1000)
    write_sources(lake, day, billing=1)
    assert failure(check(lake, "rows_per_source", day), "warn")["days_compared"] == 3
    (lake.path / f"auditlog_manifest/{day - timedelta(4)}.json").unlink()
    verdict = check(lake, "rows_per_source", day)
    assert verdict.passed
    assert verdict.description == "only 2 of the 7 days before have run: too few to compare with"


@pytest.mark.parametrize(
    ("quarantined", "severity"), [(0, None), (1, None), (2, "warn"), (50, "warn"), (51, "error"), (1000, "error")]
)
def test_the_share_of_quarantined_events_warns_and_then_holds_the_day_back(
    lake: Lake, quarantined: int, severity: str | None
) -> None:
    events = EventCounts(read=1600, kept=1000 - quarantined, deferred=600, quarantined=quarantined)
    rows = [] if quarantined == 1000 else [output(data_path(DAY1, DAY1, "shop"), 1000 - quarantined)]
    commit(lake, DAY1, rows, events, {"not_json": quarantined} if quarantined else {})
    verdict = check(lake, "readable_share", quarantine_warn_share=0.001, quarantine_error_share=0.05)
    assert verdict.metadata["events_share"] == quarantined / 1000
    assert verdict.metadata["events"] == 1000
    if severity is None:
        assert verdict.passed
    else:
        metadata = failure(verdict, severity)
        assert metadata["failed"] == quarantined
        assert metadata["records_by_reason"] == [{"reason": "not_json", "records": quarantined}]
        assert f"{quarantined:,} not_json" in verdict.description


def test_quarantined_events_of_a_real_day_are_counted(lake: Lake) -> None:
    lake.write(key(DAY1), "\n".join([*GOOD, event("x", top={"time": '"yesterday"'}), '{"source":"shop"}']))
    lake.run()
    metadata = failure(check(lake, "readable_share", quarantine_error_share=0.3), "error")
    assert (metadata["failed"], metadata["events"]) == (2, 6)
    assert check(lake, "readable_share", quarantine_error_share=0.5).severity == "warn"
    assert check(lake, "readable_share", quarantine_warn_share=1, quarantine_error_share=1).passed


def test_a_source_never_seen_before_warns_and_on_the_first_day_nothing_can_be_said(lake: Lake) -> None:
    lake.write(key(DAY1), event("e1"))
    lake.write(key(DAY2), "\n".join(event("e1", source=name, time="2026-05-02T10:00:00Z") for name in ("new", "shop")))
    lake.run(DAY1)
    lake.run(DAY2)
    verdict = check(lake, "new_sources", DAY1)
    assert verdict.passed
    assert verdict.description == "no earlier partition has run: nothing to compare with"
    verdict = check(lake, "new_sources", DAY2)
    metadata = failure(verdict, "warn")
    assert (metadata["failed"], [(r["source"], r["rows"]) for r in metadata["rows"]]) == (1, [("new", 1)])
    assert "new (1 rows)" in verdict.description


def test_a_source_that_was_last_seen_months_ago_is_not_new(lake: Lake) -> None:
    day = date(2026, 5, 20)
    write_sources(lake, day - timedelta(100), old=5)
    for distance in range(1, 40):
        write_sources(lake, day - timedelta(distance), shop=5)
    write_sources(lake, day, old=5, shop=5)
    write_sources(lake, day + timedelta(1), shop=5)
    assert check(lake, "new_sources", day).passed
    # a later partition has not seen it before
    (lake.path / f"auditlog_manifest/{day - timedelta(100)}.json").unlink()
    assert failure(check(lake, "new_sources", day), "warn")["rows"][0]["source"] == "old"


def test_manifests_are_read_only_as_far_back_as_needed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    day = date(2026, 5, 20)
    for distance in range(1, 31):
        write_sources(lake, day - timedelta(distance), shop=5)
    read: set[date] = set()
    rows_by_source = history._rows_by_source
    monkeypatch.setattr(history, "_rows_by_source", lambda store, one: (read.add(one), rows_by_source(store, one))[1])
    write_sources(lake, day, shop=5)
    assert check(lake, "new_sources", day).passed
    # eight are read at once
    assert min(read) == day - timedelta(8)
    write_sources(lake, day, shop=5, new=5)
    failure(check(lake, "new_sources", day), "warn")
    assert min(read) == day - timedelta(30)


def test_an_earlier_manifest_that_is_broken_is_left_out(lake: Lake) -> None:
    write_sources(lake, DAY1, shop=5)
    write_sources(lake, DAY2, shop=5, new=5)
    assert failure(check(lake, "new_sources", DAY2), "warn")["rows"][0]["source"] == "new"
    (lake.path / f"auditlog_manifest/{DAY1}.json").write_bytes(b"{")
    assert "no earlier partition has run" in check(lake, "new_sources", DAY2).description


# === What cannot be evaluated ========================================================================================


def test_a_column_that_a_file_lacks_is_a_failure_of_its_own_kind(lake: Lake) -> None:
    write_day(lake, row(Action="Archive"), row(Id="f", EntityId=None))
    path = lake.path / data_path(DAY1, DAY1, "shop")
    pq.write_table(pq.read_table(path).drop_columns(["EntityName", "Action"]), path)
    verdicts = check_all(lake, ["required_not_null", "known_actions", "entity_index_not_negative", "key_unique"])
    metadata = failure(verdicts["required_not_null"], "error")
    assert "could not be evaluated" in verdicts["required_not_null"].description
    assert "EntityName" in metadata["problem"]
    # what could be evaluated is reported too
    assert [one["broken"] for one in metadata["expectations"] if one["failed"]] == ["EntityId is null"]
    assert "Action" in failure(verdicts["known_actions"], "warn")["problem"]
    assert verdicts["entity_index_not_negative"].passed
    assert verdicts["key_unique"].passed


def test_a_column_of_another_type_is_a_failure_of_its_own_kind(lake: Lake) -> None:
    write_day(lake, row())
    path = lake.path / data_path(DAY1, DAY1, "shop")
    table = pq.read_table(path)
    texts = table.set_column(table.schema.get_field_index("Timestamp"), "Timestamp", pa.array(["yesterday"]))
    pq.write_table(texts, path)
    metadata = failure(check(lake, "timestamp_in_dt"), "error")
    assert "event_date" in metadata["problem"]


def test_one_file_that_lacks_a_column_does_not_hide_the_others(lake: Lake) -> None:
    paths = [data_path(DAY1, DAY1, source) for source in ("billing", "identity", "shop")]
    for path in paths:
        write_file(lake, path, [row(ActorType="Robot")])
    damaged = lake.path / paths[1]
    pq.write_table(pq.ParquetFile(damaged).read().drop_columns(["Action"]), damaged)
    commit(lake, DAY1, [output(path, 1) for path in paths])
    verdicts = check_all(lake, ["known_actions", "known_actor_types"])
    assert "Action" in failure(verdicts["known_actions"], "warn")["problem"]
    assert [r["source"] for r in failure(verdicts["known_actor_types"], "warn")["rows"]] == [
        *("billing", "identity", "shop")
    ]


# === Parts ===========================================================================================================


def oracle(name: str) -> Callable[[Record], bool]:
    """Whether a row is bad, by a plain reading of the check."""
    required = ("Id", "Timestamp", "EntityId", "EntityName", "EntityIndex")
    return {
        "required_not_null": lambda r: any(r[column] is None for column in required),
        "timestamp_in_dt": lambda r: r["Timestamp"] is not None and r["Timestamp"].date().isoformat() != r["dt"],
        "entity_index_not_negative": lambda r: r["EntityIndex"] is not None and r["EntityIndex"] < 0,
        "known_actor_types": lambda r: r["ActorType"] not in (None, "Service", "User", "Client"),
        "known_actions": lambda r: r["Action"] not in (None, "Create", "Update", "Delete"),
        "before_after_are_json_objects": lambda r: any(not is_object(r[c]) for c in ("Before", "After") if r[c]),
        "parent_consistent": lambda r: (
            r["EntityParentId"] is None and (r["EntityParentName"] is not None or r["EntityParentType"] is not None)
        ),
        "update_has_before_and_after": lambda r: r["Action"] == "Update" and None in (r["Before"], r["After"]),
    }[name]


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


MOMENTS = (datetime(2026, 5, 1), datetime(2026, 5, 1, 23, 59), datetime(2026, 5, 2), datetime(2300, 1, 1))
ROWS = st.fixed_dictionaries(
    {
        "Id": maybe("a", "b"),
        "Timestamp": maybe(*MOMENTS),
        "EntityId": maybe("1", "2"),
        "EntityName": maybe("n", "m"),
        "EntityIndex": maybe(0, 3, -1),
        "ActorType": maybe("User", "Client", "user", "7"),
        "Action": maybe("Update", "Create", "Archive", "Updated"),
        "Before": maybe("{}", '{"a":1e999}', "[]", '{"a":}', "x"),
        "After": maybe("{}", ' {"a":{}} ', "null"),
        "EntityParentId": maybe("7"),
        "EntityParentName": maybe("Order"),
        "EntityParentType": maybe("o"),
    }
)  # fmt: skip


@examples(10)
@given(files=st.lists(st.lists(ROWS, max_size=9), min_size=1, max_size=3), part_rows=st.integers(3, 12))
def test_results_merged_from_parts_are_those_of_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Record]], part_rows: int
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    places = [(DAY1, "billing"), (DAY1, "shop"), (DAY2, "shop")]
    rows, outputs = [], []
    for (dt, source), some in zip(places, files, strict=False):
        path = data_path(DAY1, dt, source)
        write_file(lake, path, some)
        outputs.append(output(path, len(some)))
        rows += [one | {"dt": dt.isoformat(), "source": source} for one in some]
    commit(lake, DAY1, outputs)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "_PART_ROWS", part_rows)
        verdicts = check_all(lake, ROW_CHECKS)
    for name, verdict in verdicts.items():
        bad = [one for one in rows if oracle(name)(one)]
        assert verdict.passed == (not bad), name
        assert verdict.metadata.get("failed", 0) == len(bad), name
        assert keys_of(verdict.metadata.get("rows", [])) == keys_of(bad)[:20], name


def test_the_size_of_the_parts_changes_nothing_in_what_is_reported(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {"Action": "x", "Before": "[]", "EntityIndex": -1, "EntityName": None, "EntityParentName": "p"}
    days = [row(Id=f"e{n}", **({} if n % 3 else bad)) for n in range(14)]
    shop, billing = data_path(DAY1, DAY1, "shop"), data_path(DAY1, DAY1, "billing")
    write_file(lake, shop, days)
    write_file(lake, billing, days[:5])
    commit(lake, DAY1, [output(shop, 14), output(billing, 5)])
    whole = check_all(lake, ROW_CHECKS)
    assert sum(not verdict.passed for verdict in whole.values()) == 5
    for name, size in (("_PART_ROWS", 4), ("_PART_ROWS", 1), ("_PART_BYTES", 600)):
        with monkeypatch.context() as patched:
            patched.setattr(parts, name, size)
            assert check_all(lake, ROW_CHECKS) == whole


def test_parts_keep_to_their_rows_and_bytes_and_small_files_share_them(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [data_path(DAY1, DAY1, f"source-{n:02}") for n in range(10)]
    for path in paths:
        write_file(lake, path, [row(Id=f"e{n}", Before="x" * 1000) for n in range(5)])
    commit(lake, DAY1, [output(path, 5) for path in paths])
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY1)
    assert manifest

    def sizes(columns: set[str]) -> list[int]:
        return [len(part) for part in parts.read_parts(store, manifest, columns)]

    assert sizes({"Before"}) == [50]
    monkeypatch.setattr(parts, "_PART_ROWS", 20)
    assert sizes(set()) == [20, 20, 10]
    monkeypatch.setattr(parts, "_PART_BYTES", 3500)
    assert max(sizes({"Before"})) <= 3
    assert sum(sizes({"Before"})) == 50
    table = next(iter(parts.read_parts(store, manifest, {"Before"})))
    assert set(table.column_names) == {"Id", "EntityIndex", "Before", "dt", "source"}
