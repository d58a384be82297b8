"""The settings that all runs of a lake share."""

import json

import pytest

from audit_pipeline.errors import AuditPipelineError, GraceMismatchError
from tests.support.lake import DAY1, DAY2, Lake, event, ids, key, reasons
from tests.support.rules import read

#: Each test with a lake.
ON_EVERY_ENGINE = True


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
