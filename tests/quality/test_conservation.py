"""The conservation check: it passes on a day as it was written, and names whatever was changed in the store since."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from audit_pipeline.quality import conservation
from audit_pipeline.quality.conservation import check_conservation
from audit_pipeline.quality.verdicts import Verdict
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from audit_pipeline.transform import parquet
from tests.support.lake import DAY1, DAY2, Lake, entity, event, key

SHOP = "auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"
DEPOT = "auditlog_parquet/dt=2026-05-01/source=depot/2026-05-01.parquet"
QUARANTINE = "auditlog_quarantine/dt=2026-05-01/2026-05-01.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """One day: two events of three rows in one source, one in another, a duplicate, and two records in quarantine."""
    made = Lake(tmp_path)
    three = [entity(), entity(), entity()]
    events = [event("a", *three), event("b", *three), event("c", source="depot"), event("c", source="depot")]
    made.write(key(DAY1), "".join([*events, event("bad", time="never"), "{broken"]))
    made.run()
    return made


def verdict_of(lake: Lake) -> Verdict:
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY1)
    assert manifest is not None
    return check_conservation(store, manifest)


def test_a_day_as_it_was_written_passes_with_what_was_counted(lake: Lake) -> None:
    verdict = verdict_of(lake)
    assert verdict.passed
    equation = "6 events read = 3 kept + 1 duplicate + 0 deferred + 2 quarantined"
    assert verdict.description == f"{equation}; 7 rows and 2 records in 3 files"
    assert {
        "equation": equation,
        "events_in_files": 3,
        "rows_in_files": 7,
        "rows_in_manifest": 7,
        "records_in_quarantine": 2,
        "files_checked": 3,
        "files_hashed": 2,
    }.items() <= verdict.metadata.items()


def without(path: Path, *columns: str) -> None:
    """The file without these columns, as its manifest would describe it."""
    pq.write_table(pq.ParquetFile(path).read().drop_columns(list(columns)), path)
    manifest = path.parents[3] / "auditlog_manifest/2026-05-01.json"
    described = json.loads(manifest.read_text())
    (output,) = (o for o in described["outputs"] if path.as_posix().endswith(o["path"]))
    output |= {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(described))


def test_a_file_of_a_release_with_fewer_columns_passes_and_one_that_lost_a_column_does_not(lake: Lake) -> None:
    without(lake.path / SHOP, "EventType", "Account", "Region", "Context", "Extra")
    assert verdict_of(lake).passed
    without(lake.path / DEPOT, "Extra")
    assert verdict_of(lake).description == f"{DEPOT} has other columns than it should"


def test_an_empty_day_passes(lake: Lake) -> None:
    lake.run(DAY2)
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY2)
    assert manifest is not None
    assert check_conservation(store, manifest).passed


def test_an_event_whose_rows_continue_in_the_next_file_counts_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 2)
    monkeypatch.setattr(parquet, "FILE_GROUPS", 1)
    lake.run()
    assert len(lake.files()) == 4
    verdict = verdict_of(lake)
    assert verdict.passed
    assert (verdict.metadata["events_in_files"], verdict.metadata["rows_in_files"]) == (3, 7)


def test_files_too_large_to_hash_are_counted_all_the_same(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conservation, "_HASHED_BYTES", 0)
    verdict = verdict_of(lake)
    assert verdict.passed
    assert (verdict.metadata["files_hashed"], verdict.metadata["rows_in_files"]) == (0, 7)
    exchange_a_file(lake)
    assert not verdict_of(lake).passed


# --- what was changed after the run ----------------------------------------------------------------------------------


def lose_a_file(lake: Lake) -> str:
    (lake.path / SHOP).unlink()
    return f"{SHOP} is missing; the files hold 1 events, but 3 were kept; the files hold 1 rows, but 7 were counted"


def leave_a_file(lake: Lake) -> str:
    stray = SHOP.replace("source=shop", "source=stray")
    (lake.path / stray).parent.mkdir()
    shutil.copy(lake.path / SHOP, lake.path / stray)
    return f"{stray} is not in the manifest"


def alter_a_byte(lake: Lake) -> str:
    path = lake.path / SHOP
    data = bytearray(path.read_bytes())
    data[-30] ^= 1  # in the footer's text about who wrote it
    path.write_bytes(data)
    return f"{SHOP} has other bytes than were written (sha256)"


def exchange_a_file(lake: Lake) -> str:
    shutil.copy(lake.path / SHOP, lake.path / DEPOT)
    return f"{DEPOT} holds 6 rows, not 1"


def damage_a_file(lake: Lake) -> str:
    (lake.path / SHOP).write_bytes(b"PAR1")
    return f"{SHOP} cannot be read: "


def add_a_column(lake: Lake) -> str:
    path = lake.path / SHOP
    pq.write_table(pq.read_table(path, partitioning=None).append_column("More", [[1] * 6]), path)
    return f"{SHOP} has other columns than it should"


def lose_the_quarantine(lake: Lake) -> str:
    (lake.path / QUARANTINE).unlink()
    return f"{QUARANTINE} is missing; the quarantine holds nothing, but 2 records were counted"


def miscount(lake: Lake) -> str:
    path = lake.path / "auditlog_manifest/2026-05-01.json"
    path.write_text(path.read_text().replace('"duplicate": 1', '"duplicate": 0'))
    return "6 events read but 5 accounted for"


@pytest.mark.parametrize(
    "tamper",
    [
        lose_a_file,
        leave_a_file,
        alter_a_byte,
        exchange_a_file,
        damage_a_file,
        add_a_column,
        lose_the_quarantine,
        miscount,
    ],
)
def test_what_was_changed_after_the_run_is_found_and_named(lake: Lake, tamper: Callable[[Lake], str]) -> None:
    expected = tamper(lake)
    verdict = verdict_of(lake)
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert expected in verdict.description
    assert "; ".join(verdict.metadata["problems"]) == verdict.description
