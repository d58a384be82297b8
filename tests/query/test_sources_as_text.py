"""A source is a text, whatever it looks like (docs/design.md, "Quarantine"): every reader finds its rows under it.

A reader of Hive folders may take ``source=null`` for no value, and ``source=1`` for a number.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import pytest

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.catalog import open_table
from audit_pipeline.quality import check_quality, quality_checks
from audit_pipeline.query.adhoc import run_sql
from audit_pipeline.settings import QuerySettings, Settings
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.support.cli_harness import Commands
from tests.support.lake import DAY1, DAY3, Lake, event, key
from tests.support.query_rows import LIKE_VALUES as SOURCES

SPAN: Final = (DAY1, DAY1 + timedelta(days=1))
DAYS: Final = ("--from", str(DAY1), "--to", str(DAY1))
DETAIL: Final = {"entity_type": '"Order"', "action": '"Create"'}


def deliver(lake: Lake, *sources: str) -> Lake:
    """Two events of each source, which share their Ids with the other sources'."""
    texts = [event(f"e{n}", source=source, detail=DETAIL) for source in sources for n in (1, 2)]
    lake.write(key(DAY1), "\n".join(texts))
    manifest = lake.run()
    assert manifest.quarantined_records == 0
    return lake


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return deliver(Lake(tmp_path_factory.mktemp("sources")), "shop", *SOURCES)


def settings_of(lake: Lake) -> QuerySettings:
    return QuerySettings(lake_url=str(lake.path), workers=1)


def queried(lake: Lake, *sources: str) -> Counter[str]:
    with AuditLogClient(settings_of(lake)) as client:
        query = AuditLogQuery(from_date=SPAN[0], to_date=SPAN[1], sources=list(sources) or None, limit=1000)
        return Counter(item.source for item in client.query(query).items)


def history(lake: Lake, *sources: str) -> Counter[str]:
    with AuditLogClient(settings_of(lake)) as client:
        entries = client.history("Order", "1", *SPAN, sources=list(sources) or None)
        return Counter(entry.item.source for entry in entries)


def selected(lake: Lake, where: str = "") -> Counter[str]:
    sql = f"SELECT source, count(*) AS n FROM auditlog {where} GROUP BY source"
    return Counter({row["source"]: row["n"] for row in run_sql(settings_of(lake), sql).table.to_pylist()})


def twice(*sources: str) -> Counter[str]:
    return Counter(dict.fromkeys(sources, 2))


# === Beside ordinary sources ========================================================================================


def test_all_of_them_are_found_by_a_query_a_history_and_sql(filled: Lake) -> None:
    everything = twice("shop", *SOURCES)
    assert queried(filled) == everything
    assert history(filled) == everything
    assert selected(filled) == everything


@pytest.mark.parametrize("source", SOURCES)
def test_each_is_found_by_its_name(filled: Lake, source: str) -> None:
    assert queried(filled, source) == twice(source)
    assert history(filled, source) == twice(source)
    assert selected(filled, f"WHERE source = '{source}'") == twice(source)


def test_several_are_found_by_their_names(filled: Lake) -> None:
    assert queried(filled, "null", "1", "shop") == twice("null", "1", "shop")
    assert selected(filled, "WHERE source IN ('NULL', 'true', '2026-05-01')") == twice("NULL", "true", "2026-05-01")


def test_none_is_the_sql_null(filled: Lake) -> None:
    assert selected(filled, "WHERE source IS NULL") == Counter()
    assert selected(filled, "WHERE source IS NOT NULL") == twice("shop", *SOURCES)


def test_they_are_compared_as_texts(filled: Lake) -> None:
    """Not ``1`` with ``1.0``, nor a date with another spelling of it, nor in any case."""
    for source in ("1.0", "01", "100000", "nUlL", "TRUE", "7", "31", "1000"):
        assert queried(filled, source) == Counter()
        assert selected(filled, f"WHERE source = '{source}'") == Counter()
    assert selected(filled, "WHERE source < '1'") == twice(*(s for s in ("shop", *SOURCES) if s < "1"))


def test_sql_can_treat_the_column_as_a_text(filled: Lake) -> None:
    sql = "SELECT DISTINCT source || '/' || dt AS r FROM auditlog ORDER BY 1"
    found = run_sql(settings_of(filled), sql).table["r"].to_pylist()
    assert found == sorted(f"{source}/{DAY1}" for source in ("shop", *SOURCES))


def test_pages_hold_each_row_once_in_the_order_of_texts(filled: Lake) -> None:
    with AuditLogClient(settings_of(filled)) as client:
        query = AuditLogQuery(from_date=SPAN[0], to_date=SPAN[1], order="asc", limit=3)
        found = [(item.id, item.source) for item in client.iterate(query)]
    assert found == sorted((f"e{n}", source) for source in ("shop", *SOURCES) for n in (1, 2))


# === Alone in a lake: nothing there tells that the folders are texts ================================================


ALONE: Final = [
    *(["null"], ["NULL"], ["null", "NULL", "Null"], ["1"], ["1", "2", "30"], ["1e5", "2e5"], ["2026-05-01"]),
    *(["2026-05-01", "2026-05-02"], ["true"], ["true", "false"], ["1.5", "2.25"], ["007", "08"], ["null", "1"]),
    *(["NaN"], ["10000000000000000000000"]),
]


@pytest.mark.parametrize("sources", ALONE, ids=" ".join)
def test_a_lake_of_such_sources_only_has_them_as_texts(tmp_path: Path, sources: list[str]) -> None:
    lake = deliver(Lake(tmp_path), *sources)
    assert queried(lake) == twice(*sources)
    assert queried(lake, sources[0]) == twice(sources[0])
    assert history(lake) == twice(*sources)
    assert selected(lake) == twice(*sources)
    assert selected(lake, f"WHERE source = '{sources[0]}'") == twice(sources[0])


# === The command line ===============================================================================================


@pytest.fixture
def cli(filled: Lake) -> Commands:
    return Commands({"AUDIT_LAKE_URL": str(filled.path), "AUDIT_WORKERS": "1"})


def lines(shown: str) -> Counter[str]:
    return Counter(json.loads(line)["source"] for line in shown.splitlines())


def test_the_commands_show_all_of_them(cli: Commands) -> None:
    everything = twice("shop", *SOURCES)
    assert lines(cli.shows("query", *DAYS, "--limit", "1000", "--format", "json")) == everything
    assert lines(cli.shows("history", "Order", "1", *DAYS, "--format", "json")) == everything
    shown = cli.shows("sql", "SELECT source, count(*) AS n FROM auditlog GROUP BY source", "--format", "json")
    assert {row["source"]: row["n"] for row in map(json.loads, shown.splitlines())} == everything


@pytest.mark.parametrize("source", ["null", "NULL", "1", "1e5", "2026-05-01", "true"])
def test_the_commands_find_each_by_its_name(cli: Commands, source: str) -> None:
    assert lines(cli.shows("query", *DAYS, "--source", source, "--format", "json")) == twice(source)
    assert lines(cli.shows("history", "Order", "1", *DAYS, "--source", source, "--format", "json")) == twice(source)


def sources_in(path: Path, form: str) -> Iterable[str]:
    if form == "parquet":
        return pq.ParquetFile(path).read()["source"].to_pylist()
    with path.open(newline="") as file:
        return [row["source"] for row in (csv.DictReader(file) if form == "csv" else map(json.loads, file))]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_file_of_all_rows_has_them_as_texts(cli: Commands, tmp_path: Path, form: str) -> None:
    path = tmp_path / "rows"
    cli.shows("query", *DAYS, "--all", "--format", form, "--output", str(path))
    assert Counter(sources_in(path, form)) == twice("shop", *SOURCES)


# === What else reads the table ======================================================================================


def test_the_catalog_finds_all_rows_of_the_day(filled: Lake) -> None:
    settings = Settings(raw_url=str(filled.raw), lake_url=str(filled.path), start_date=DAY1, workers=1)
    table = open_table(settings)
    table.define()
    manifest = read_manifest(open_store(str(filled.path)), DAY1)
    assert manifest
    assert table.look_up(manifest).rows_owned == manifest.rows == 2 * len(SOURCES) + 2


def test_no_check_takes_them_for_missing_or_for_numbers(filled: Lake) -> None:
    settings = Settings(raw_url=str(filled.raw), lake_url=str(filled.path), start_date=DAY1, workers=1)
    store = open_store(str(filled.path))
    manifest = read_manifest(store, DAY1)
    assert manifest
    verdicts = check_quality(settings, store, manifest, [check.name for check in quality_checks(settings)])
    assert {name for name, verdict in verdicts.items() if not verdict.passed and verdict.severity == "error"} == set()


def test_a_copy_that_comes_late_is_a_duplicate(tmp_path: Path) -> None:
    lake = deliver(Lake(tmp_path), *SOURCES[:7])
    copies = [event(f"e{n}", source=source, detail=DETAIL) for source in SOURCES[:7] for n in (1, 2)]
    lake.write(key(DAY3), "\n".join(copies))
    lake.run(DAY3)
    assert lake.manifest(DAY3)["events"] == {"read": 14, "kept": 0, "duplicate": 14, "deferred": 0, "quarantined": 0}
    assert queried(lake) == twice(*SOURCES[:7])
