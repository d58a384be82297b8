"""The check of the files that no manifest names; what it finds in a lake full of strangers is in
``engines/test_lake_strangers.py``."""

import json
from pathlib import Path

import pytest

from audit_pipeline.quality.unnamed_files import check_unnamed_files
from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.support.lake import DAY1, DAY2, Lake, event, key
from tests.support.verdicts import failure

TABLE = "auditlog_parquet"
COPY = f"{TABLE}/dt={DAY1}/source=shop/copy.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A day on time, and a day with a row for the first one's date."""
    lake = Lake(tmp_path)
    lake.write(key(DAY1), event("a"))
    lake.write(key(DAY2), event("late") + event("b", time=f"{DAY2}T10:00:00Z"))
    for day in (DAY1, DAY2):
        lake.run(day)
    return lake


def put(lake: Lake, path: str) -> None:
    (lake.path / path).parent.mkdir(parents=True, exist_ok=True)
    (lake.path / path).write_bytes(b"any")


def check(lake: Lake) -> tuple[Verdict, bool]:
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY1)
    assert manifest
    return check_unnamed_files(store, manifest)


def test_files_that_manifests_name_pass_whichever_partition_wrote_them(lake: Lake) -> None:
    verdict, are_dates_clean = check(lake)
    assert (verdict.passed, are_dates_clean) == (True, True)
    assert verdict.metadata == {"files_looked_at": 2, "unnamed": 0}


def test_a_file_under_a_date_of_the_run_holds_it_back(lake: Lake) -> None:
    put(lake, COPY)
    verdict, are_dates_clean = check(lake)
    assert failure(verdict, "error")["files"] == [COPY]
    assert not are_dates_clean


@pytest.mark.parametrize("path", [f"{TABLE}/copy.parquet", f"{TABLE}/dt=2026-04-01/source=shop/x", f"{TABLE}/old/x"])
def test_a_file_of_no_partition_fails_the_check_and_holds_no_day_back(lake: Lake, path: str) -> None:
    put(lake, path)
    verdict, are_dates_clean = check(lake)
    assert failure(verdict, "error")["files"] == [path]
    assert are_dates_clean


def test_a_file_under_the_date_of_another_partition_is_for_its_own_check(lake: Lake) -> None:
    put(lake, f"{TABLE}/dt={DAY2}/source=shop/copy.parquet")
    assert check(lake)[0].passed


def test_a_file_that_a_run_is_about_to_commit_is_no_stranger(lake: Lake) -> None:
    path = f"{TABLE}/dt={DAY1}/source=shop/2026-05-07.parquet"
    put(lake, path)
    assert not check(lake)[0].passed
    pending = lake.path / "auditlog_pending/2026-05-07.json"
    pending.parent.mkdir(exist_ok=True)
    pending.write_text(json.dumps([path]))
    assert check(lake)[0].passed


def test_the_files_of_a_broken_manifest_are_that_days_matter(lake: Lake) -> None:
    (lake.path / f"auditlog_manifest/{DAY2}.json").write_text("{")
    assert check(lake)[0].passed


def test_a_name_that_the_store_cannot_address_is_found_too(lake: Lake) -> None:
    for path in (f"{TABLE}/dt={DAY1}/source=shop/tab\t.parquet", f"{TABLE}/line\n.parquet"):
        put(lake, path)
    shown = [f"{TABLE}/dt={DAY1}/source=shop/tab\\t.parquet", f"{TABLE}/line\\n.parquet"]
    assert failure(check(lake)[0], "error")["files"] == shown
