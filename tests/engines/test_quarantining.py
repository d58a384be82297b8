"""The quarantine file of a run: its records, its columns and every reason."""

import pyarrow.parquet as pq

from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, REASONS
from tests.support.lake import DAY1, ENTITY, Lake, entity, event, key, reasons, zipped
from tests.support.rules import BOM, lines, only, read

#: Each test with a lake.
ON_EVERY_ENGINE = True


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
