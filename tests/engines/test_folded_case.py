"""Sources that differ in case only: two folders on a disk that keeps case apart, an error on one that folds it.

No disk of this machine folds case. Where a test needs one, a second name in the other case leads to each folder of the
lake that is looked at, as on such a disk.
"""

import re
from pathlib import Path
from typing import Final

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store.objects import open_store
from tests.support.lake import DAY1, DAY2, Lake, event, ids, key

#: Each test with a lake.
ON_EVERY_ENGINE = True

TABLE: Final = "auditlog_parquet"


def fold(lake: Lake, *folders: str) -> None:
    """Let these paths of the lake be found in the other case too."""
    for folder in folders:
        path = lake.path / folder
        path.with_name(path.name.swapcase()).symlink_to(path, target_is_directory=True)


@pytest.fixture
def folding(lake: Lake) -> Lake:
    """A lake that has run, on a disk that folds case."""
    lake.write(key(DAY2), event("b", source="other", time="2026-05-02T10:00:00Z"))
    lake.run(DAY2)
    fold(lake, TABLE)
    return lake


def contents(lake: Lake) -> dict[str, bytes]:
    return {path: data for path, data in lake.files(".").items() if not path.startswith("auditlog_lock/")}


@pytest.mark.parametrize("sources", [("shop", "Shop"), ("null", "NULL", "Null"), ("a.b-C_1", "A.B-c_1")], ids="-".join)
def test_two_sources_of_a_day_in_one_folder_stop_the_day_before_anything_is_written(
    folding: Lake, sources: tuple[str, ...]
) -> None:
    before = contents(folding)
    folding.write(key(DAY1), "".join(event(f"e{n}", source=source) for n, source in enumerate(sources)))
    with pytest.raises(StoreError) as error:
        folding.run()
    assert contents(folding) == before
    listed = re.escape(", ".join(sorted(sources)))
    assert re.match(
        rf"partition 2026-05-01: sources of dt=2026-05-01 differ in case only \({listed}\)", str(error.value)
    )
    assert f"the disk of file://{folding.path} takes their folders for one, so nothing was written" in str(error.value)


def test_a_source_of_a_late_row_is_compared_with_those_of_its_date(folding: Lake) -> None:
    fold(folding, f"{TABLE}/dt=2026-05-02")
    folding.write(key(DAY2, 13), event("c", source="OTHER", time="2026-05-01T13:00:00Z"))
    folding.run(DAY2)  # of another date
    folding.write(key(DAY1, 23), event("d", source="OTHER", time="2026-05-02T00:10:00Z"))
    with pytest.raises(StoreError, match=r"sources of dt=2026-05-02 differ in case only \(OTHER, other\)"):
        folding.run(DAY1)


def test_a_folder_that_is_empty_counts(folding: Lake) -> None:
    (folding.path / TABLE / "dt=2026-05-01/source=SHOP").mkdir(parents=True)
    fold(folding, f"{TABLE}/dt=2026-05-01")
    folding.write(key(DAY1), event("a"))
    with pytest.raises(StoreError, match=r"\(SHOP, shop\).*a folder of the table that holds no files can be removed"):
        folding.run()


def test_sources_that_differ_in_more_are_written(folding: Lake) -> None:
    folding.write(key(DAY1), event("a") + event("b", source="Shop2") + event("c", source="s.hop"))
    folding.run()
    folding.run()
    assert sorted(ids(folding.rows(DAY1))) == ["a", "b", "c"]


def test_a_day_whose_first_run_it_is_in_a_lake_without_table_is_stopped_too(lake: Lake) -> None:
    lake.write(key(DAY2), "")
    lake.run(DAY2)
    assert not (lake.path / TABLE).exists()
    fold(lake, "auditlog_manifest/_lake.json")
    lake.write(key(DAY1), event("a") + event("b", source="SHOP"))
    with pytest.raises(StoreError, match=r"\(SHOP, shop\)"):
        lake.run()


def test_a_disk_that_keeps_case_apart_has_a_folder_for_each(lake: Lake) -> None:
    lake.write(key(DAY1), event("a") + event("b", source="Shop") + event("c", source="SHOP"))
    assert lake.run().rows == 3
    assert lake.run().rows == 3
    assert {row["source"]: row["Id"] for row in lake.rows()} == {"shop": "a", "Shop": "b", "SHOP": "c"}


def test_only_a_name_that_leads_to_the_same_file_is_folded(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert not store.folds_case(["a", "b"])
    (tmp_path / "b").mkdir()
    assert not store.folds_case(["a", "b"])
    (tmp_path / "B").mkdir()
    assert not store.folds_case(["a", "b"])
    (tmp_path / "B").rmdir()
    (tmp_path / "B").symlink_to(tmp_path / "b")
    assert store.folds_case(["a", "b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["B", "b"]
