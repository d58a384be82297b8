"""The manifest: what it records of a run, and that everything in it is accounted for."""

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest

from audit_pipeline.errors import ConservationError
from audit_pipeline.store.manifest import EventCounts
from tests.support.lake import DAY1, DAY2, ENTITY, Lake, Record, event, key, zipped
from tests.support.rules import lines

#: Each test with a lake.
ON_EVERY_ENGINE = True


def test_every_event_and_row_is_accounted_for(lake: Lake) -> None:
    lake.write(key(DAY1, 3), lines("7", "broken", event("a", ENTITY, "7"), event("a", ENTITY, "7"), event("a")))
    lake.write(key(DAY1, 4), lines(event("b", "7"), event("c", time="2026-05-02T00:00:00Z"), event("d", source="?")))
    lake.write(key(DAY1, 5), zipped(event("x"))[:-1])
    lake.write(key(DAY2, 0), lines(event("e", ENTITY, ENTITY), event("f", time="2026-05-02T00:00:00Z"), "broken"))
    lake.run()
    manifest = lake.manifest()
    assert manifest["events"] == {"read": 12, "kept": 4, "duplicate": 1, "deferred": 2, "quarantined": 5}
    assert (manifest["rows"], manifest["late_rows"], manifest["quarantined_records"]) == (5, 1, 7)
    assert manifest["objects"] == {"read": 4, "unreadable": 1, "skipped": 0, "strays": 0}
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


def test_the_manifest_records_what_the_run_read_wrote_dropped_and_quarantined(lake: Lake) -> None:
    lake.write(key(DAY1, 3, "b"), event("a") + event("b", time="2026-05-01T09:00:00.5Z") + event("c", source="other"))
    lake.write(key(DAY1, 3, "a"), zipped(event("l", time="2026-05-02T09:00:00Z") + "broken" + event("q", "1", "2")))
    started = datetime.now(UTC)
    lake.run()
    manifest = lake.manifest()
    assert set(manifest) == {
        *("partition", "run_id", "code_version", "engine", "started_at", "finished_at", "grace_hours", "inputs"),
        *(
            "objects",
            "text_bytes",
            "unreadable_bytes",
            "events",
            "rows",
            "late_rows",
            "quarantined_records",
            "outputs",
            "quarantine",
        ),
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
    assert manifest["objects"] == {"read": 2, "unreadable": 0, "skipped": 0, "strays": 0}
    texts = [event("a"), event("b", time="2026-05-01T09:00:00.5Z"), event("c", source="other")]
    texts += [event("l", time="2026-05-02T09:00:00Z"), "broken", event("q", "1", "2")]
    lost = len("broken") + len(texts[-1])
    assert manifest["text_bytes"] == {"read": sum(map(len, texts)), "quarantined": lost}
    assert manifest["unreadable_bytes"] == 0
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
    assert manifest["objects"] == {"read": 0, "unreadable": 0, "skipped": 0, "strays": 0}
    assert (manifest["rows"], manifest["late_rows"], manifest["quarantined_records"]) == (0, 0, 0)
    assert manifest["inputs"] == manifest["outputs"] == []
    assert manifest["quarantine"] == {"path": None, "records": 0, "by_reason": {}}
    assert lake.files("auditlog_parquet") == lake.files("auditlog_quarantine") == {}
