"""The table in DuckDB: its columns, what it shows of a lake, and what it does not read."""

import shutil
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from audit_pipeline.catalog import open_table
from audit_pipeline.catalog.duckdb import connect
from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, ROW_SCHEMA, ROW_SCHEMAS
from audit_pipeline.engines import run_partition
from audit_pipeline.errors import SettingsError, StoreError
from audit_pipeline.settings import QuerySettings, Settings
from audit_pipeline.store.manifest import Manifest
from tests.support.dagster_harness import FIRST
from tests.support.paths import RAW_EXAMPLES

DAYS = (date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3))
TYPES = {"Timestamp": "TIMESTAMP", "EntityIndex": "INTEGER", "Offset": "BIGINT", "Raw": "BLOB"}


def settings_of(root: Path, lake: str = "lake") -> Settings:
    return Settings(raw_url=str(RAW_EXAMPLES), lake_url=str(root / lake), start_date=FIRST, workers=1, memory_mb=512)


def run_all(settings: Settings) -> list[Manifest]:
    return [run_partition(settings, day) for day in DAYS]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Manifest]]:
    settings = settings_of(tmp_path_factory.mktemp("filled"))
    return settings, run_all(settings)


def columns_of(connection: duckdb.DuckDBPyConnection, view: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {view}").fetchall()]


def expected_columns(*names: str) -> list[tuple[str, str]]:
    return [(name, TYPES.get(name, "VARCHAR")) for name in names]


def test_the_views_have_the_columns_of_the_contract(filled: tuple[Settings, list[Manifest]]) -> None:
    with connect(filled[0]) as connection:
        assert columns_of(connection, "auditlog") == expected_columns(*ROW_SCHEMA.names, "dt", "source")
        assert columns_of(connection, "auditlog_quarantine") == expected_columns(*QUARANTINE_SCHEMA.names, "dt")


@pytest.mark.parametrize("exists", [True, False], ids=["an empty folder", "no folder"])
def test_an_empty_lake_is_an_empty_table_with_the_same_columns(
    tmp_path: Path, filled: tuple[Settings, list[Manifest]], exists: bool
) -> None:
    settings = settings_of(tmp_path)
    if exists:
        (tmp_path / "lake").mkdir()
    with connect(settings) as empty, connect(filled[0]) as full:
        for view in ("auditlog", "auditlog_quarantine"):
            assert columns_of(empty, view) == columns_of(full, view)
            assert empty.execute(f"SELECT * FROM {view}").fetchall() == []


def test_a_lake_without_quarantine_still_has_its_table(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    manifest = run_partition(settings, DAYS[0])
    shutil.rmtree(tmp_path / "lake" / "auditlog_quarantine")
    with connect(settings) as connection:
        assert connection.execute("SELECT count(*) FROM auditlog").fetchall() == [(manifest.rows,)]
        assert connection.execute("SELECT count(*) FROM auditlog_quarantine").fetchall() == [(0,)]


def test_the_view_shows_the_rows_of_the_files(filled: tuple[Settings, list[Manifest]]) -> None:
    settings, manifests = filled
    with connect(settings) as connection:
        counted = connection.execute("SELECT dt, source, count(*) FROM auditlog GROUP BY ALL").fetchall()
        expected: dict[tuple[str, str], int] = {}
        for output in (output for manifest in manifests for output in manifest.outputs):
            place = (str(output.dt), output.source)
            expected[place] = expected.get(place, 0) + output.rows
        assert {(dt, source): rows for dt, source, rows in counted} == expected
        output = manifests[0].outputs[0]
        first = pq.ParquetFile(Path(settings.lake_url) / output.path).read().to_pylist()[0]
        (row,) = connection.execute(
            'SELECT * FROM auditlog WHERE dt = ? AND source = ? AND "Id" = ? AND "EntityIndex" = ?',
            [str(output.dt), output.source, first["Id"], first["EntityIndex"]],
        ).fetchall()
        assert row == (*first.values(), str(output.dt), output.source)
        assert isinstance(row[1], datetime)


def test_the_quarantine_shows_its_records_with_their_day(filled: tuple[Settings, list[Manifest]]) -> None:
    settings, manifests = filled
    with connect(settings) as connection:
        counted = connection.execute('SELECT dt, "Reason", count(*) FROM auditlog_quarantine GROUP BY ALL').fetchall()
    expected = {(str(m.partition), reason, n) for m in manifests for reason, n in m.quarantine.by_reason.items()}
    assert set(counted) == expected


def test_a_filter_by_date_and_source_reads_only_their_files(filled: tuple[Settings, list[Manifest]]) -> None:
    settings, manifests = filled
    place = manifests[0].outputs[0]
    with connect(settings) as connection:
        plan = connection.execute(
            f"EXPLAIN ANALYZE SELECT * FROM auditlog WHERE dt = '{place.dt}' AND source = '{place.source}'"
        ).fetchall()[0][1]
    files = len({output.path for manifest in manifests for output in manifest.outputs})
    assert f"Scanning Files: 1/{files}" in plan


@pytest.mark.parametrize(
    "name", ["a lake", "it's a lake", 'a "lake"', "lake [1]", "lake*", "lake?", "a=b c", "Datenseeä"]
)
def test_the_folder_of_a_lake_may_have_any_name(tmp_path: Path, name: str) -> None:
    settings = settings_of(tmp_path, name)
    manifests = run_all(settings)
    (tmp_path / "lake1").mkdir()  # what the name would match as a pattern
    with connect(settings) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM auditlog").fetchall()
        assert rows == (sum(manifest.rows for manifest in manifests),)
        assert connection.execute("SELECT DISTINCT length(dt) FROM auditlog").fetchall() == [(10,)]
    assert open_table(settings).look_up(manifests[0]).rows_owned == manifests[0].rows


def test_a_lake_may_lie_under_folders_that_read_as_partitions(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "dt=x/source=y/lake")
    rows = sum(manifest.rows for manifest in run_all(settings))
    with connect(settings) as connection:
        found = connection.execute("SELECT count(*) FROM auditlog WHERE dt < '2027' AND source <> 'y'").fetchall()
        assert found == [(rows,)]


def test_columns_that_older_files_lack_are_null_whichever_file_is_read_first(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    manifests = run_all(settings)
    files = sorted((tmp_path / "lake/auditlog_parquet").rglob("*.parquet"))
    for older in (files[:1], files[-1:], files):
        for path in older:
            pq.write_table(pq.ParquetFile(path).read(columns=ROW_SCHEMAS[0].names), path)
        newer = [pq.ParquetFile(path).read(columns=["Extra"]) for path in set(files) - set(older)]
        given = sum(len(table) - table["Extra"].null_count for table in newer if table.num_columns)
        with connect(settings) as connection:
            found = connection.execute('SELECT count("Id"), count("Extra") FROM auditlog').fetchall()
        assert found == [(sum(manifest.rows for manifest in manifests), given)]


def test_a_partition_is_looked_up_by_the_files_it_owns(filled: tuple[Settings, list[Manifest]]) -> None:
    settings, manifests = filled
    table = open_table(settings)
    table.define()
    for manifest in manifests:
        found = table.look_up(manifest)
        assert found.rows_owned == manifest.rows
        assert found.rows_of_date == sum(found.rows_by_hour.values())
        of_date = [o.rows for m in manifests for o in m.outputs if o.dt == manifest.partition]
        assert found.rows_of_date == sum(of_date)


def test_a_look_up_reads_no_other_dates(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    manifest = run_all(settings)[0]
    touched = {output.dt for output in manifest.outputs} | {manifest.partition}
    for path in (tmp_path / "lake/auditlog_parquet").glob("dt=*/source=*/*.parquet"):
        if path.parts[-3] not in {f"dt={dt}" for dt in touched}:
            path.write_bytes(b"no Parquet")
    assert open_table(settings).look_up(manifest).rows_owned == manifest.rows


def test_a_look_up_of_a_day_without_rows_finds_none(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    found = open_table(settings).look_up(run_partition(settings, date(2026, 5, 20)))
    assert (found.rows_owned, found.rows_of_date, found.rows_by_hour) == (0, 0, {})


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    manifest = run_partition(settings, DAYS[0])
    for output in manifest.outputs:
        (tmp_path / "lake" / output.path).write_bytes(b"no Parquet")
    with pytest.raises(StoreError, match="cannot be queried"):
        open_table(settings).look_up(manifest)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "set AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "k"}, "SecretAccessKey"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
    ],
)
def test_a_lake_in_s3_without_credentials_says_what_is_missing(
    given: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"} | given).items():
        monkeypatch.setenv(name, value)
    settings = QuerySettings(lake_url="s3://bucket/lake")
    with pytest.raises(SettingsError, match=message):
        connect(settings)


@pytest.mark.parametrize(("database", "table"), [("default", "auditlog"), ("main", "order"), ("audit", "table")])
def test_database_and_table_may_have_names_that_are_words_of_sql(database: str, table: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path).model_copy(update={"database": database, "table": table})
    with connect(settings) as connection:
        assert connection.execute(f'SELECT count(*) FROM "{database}"."{table}"').fetchone() == (0,)
